"""The drills of sealing: each passes on a sound server, and fails when what it is about is really broken."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from golive.checklist.twin import Twin
from tests.e2e.check_kit import breaking, hold, project, twin_of

CHECKS = ("GW-11.at-rest", "GW-11.binding", "GW-11.rotation")


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


async def test_all_pass_on_a_sound_server(well: Twin) -> None:
    """One after the other on one twin, which is as before afterwards; each with figures."""
    found = {check: await hold(check, well) for check in CHECKS}
    assert {check: (one.status, one.why) for check, one in found.items()} == dict.fromkeys(CHECKS, ("pass", ""))
    assert "0 found in golive.db" in found["GW-11.at-rest"].measured
    assert "store.sealed" in found["GW-11.binding"].measured
    assert "the run stands at completed" in found["GW-11.rotation"].measured


@pytest.mark.parametrize(
    ("check", "sabotage", "said"),
    [
        ("GW-11.at-rest", "plain", "prompt stands in golive.db"),
        ("GW-11.binding", "unbound", "tells what was said in the other"),
        ("GW-11.binding", "trusting", "is told as if it had been said"),
        ("GW-11.rotation", "narrow", "the run of a user cannot be read after the rotation"),
        ("GW-11.rotation", "forced", "that the server that runs does not have"),
    ],
)
async def test_each_sees_what_is_broken(well: Twin, check: str, sabotage: str, said: str) -> None:
    """Content in plain words; values that are bound to no row; a server that
    opens no key under another master key than its present one; a rotation that no server is asked about."""
    async with breaking(well, sabotage) as twin:
        found = await hold(check, twin)
    assert found.status == "fail", (found.status, found.why, found.measured)
    assert said in found.why
