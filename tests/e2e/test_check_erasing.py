"""The drill of erasing: it passes on a sound server, and fails when erasing is really broken."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from golive.checklist.twin import Twin
from tests.e2e.check_kit import breaking, hold, project, twin_of

CHECK = "GW-11.erasure"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


async def test_it_passes_on_a_sound_server(well: Twin) -> None:
    """With figures."""
    found = await hold(CHECK, well)
    assert (found.status, found.why) == ("pass", ""), found.measured
    assert "0 faults" in found.measured


@pytest.mark.parametrize(
    ("sabotage", "said"),
    [
        ("hoarding", "rows of a run that was erased"),
        ("sparing", "wrapped keys of"),
        ("smearing", "stored values or wrapped keys of"),
        ("reviving", "after a restore: the journal of ann"),
        ("sweeping", "lost what was said"),
        ("touching", "golive keys revoke ended with 1"),
        ("blindly", "did not look through the database's files: "),
    ],
)
async def test_it_sees_what_is_broken(well: Twin, sabotage: str, said: str) -> None:
    """Rows that stay, keys that stay, bytes that stay, a backup that brings all back, others who lose theirs; a server
    that lets go of its database, or cannot look."""
    async with breaking(well, sabotage) as twin:
        found = await hold(CHECK, twin)
    assert found.status == "fail", (found.status, found.why, found.measured)
    assert said in found.why
