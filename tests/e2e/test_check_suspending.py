"""SEC-6.suspended fails when the suspended are let in, or their runs go on, and says for how long."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from golive.checklist import postgres
from golive.checklist.checks import suspending
from golive.checklist.twin import Twin
from tests.e2e.check_kit import breaking, hold, project, twin_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


async def test_suspended_are_out_at_a_server_in_order(well: Twin) -> None:
    """With the four times."""
    report = await hold("SEC-6.suspended", well)
    assert (report.status, report.why) == ("pass", "")
    assert report.measured.startswith("user refused after ")
    assert "never" not in report.measured


@pytest.mark.parametrize(
    ("sabotage", "said"),
    [
        ("hard_of_hearing", "the tenant is let in at the other replica for"),
        ("unending", "the tenant has a run open at the other replica 4 s after being suspended"),
        ("userless", "the user is let in at the other replica 4 s after being suspended"),
        ("zealous", "another of the same tenant is out"),
    ],
)
async def test_suspended_sees_who_is_still_in(
    well: Twin, sabotage: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas that learn of it late, runs that go on, users that nobody asks for, and others that are out, too."""
    monkeypatch.setattr(suspending, "WAIT_S", 4.0)
    async with breaking(well, sabotage) as broken:
        report = await hold("SEC-6.suspended", broken)
    assert report.status == "fail"
    assert said in report.why


async def test_suspended_is_not_known_without_postgresql(well: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setattr(postgres, "WHEEL", "golive_no_such_package")
    report = await hold("SEC-6.suspended", well)
    assert (report.status, report.why) == ("unknown", postgres.MISSING)
