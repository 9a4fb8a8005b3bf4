"""SEC-6.suspended fails when the suspended are let in, or their runs go on, and says for how long."""

from pathlib import Path

import pytest

from golive.checklist import postgres
from golive.checklist.checks import suspending
from tests.e2e.check_kit import hold, project, twin_of


async def test_suspended_are_out_at_a_server_in_order(tmp_path: Path) -> None:
    """With the four times."""
    async with twin_of(project(tmp_path / "p")) as well:
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
    tmp_path: Path, sabotage: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas that learn of it late, runs that go on, users that nobody asks for, and others that are out, too."""
    monkeypatch.setattr(suspending, "WAIT_S", 4.0)
    async with twin_of(project(tmp_path / "p"), sabotage) as broken:
        report = await hold("SEC-6.suspended", broken)
    assert report.status == "fail"
    assert said in report.why


async def test_suspended_is_not_known_without_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setattr(postgres, "WHEEL", "golive_no_such_package")
    async with twin_of(project(tmp_path / "p")) as well:
        report = await hold("SEC-6.suspended", well)
    assert (report.status, report.why) == ("unknown", postgres.MISSING)
