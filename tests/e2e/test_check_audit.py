"""The checks of SEC-7 fail when something is really not recorded, or tampering is really not told.

docs/check.md names these sabotages in a table, which `test_check.py` compares with the register.
"""

from pathlib import Path

import pytest

from tests.e2e.check_kit import GOLIVE, PRICES, hold, project, twin_of

QUICK = GOLIVE + PRICES + "[audit]\nsum_up_s = 1\n"
"""Strangers' attempts are summed up each second: the check waits for it."""


async def broken(folder: Path, check: str, *sabotages: str) -> str:
    """Why the check fails on a golive in which these are broken."""
    async with twin_of(project(folder, golive=QUICK), *sabotages) as found:
        report = await hold(check, found)
    assert report.status == "fail", report
    return report.why


async def test_a_server_in_order_passes(tmp_path: Path) -> None:
    """Both, with evidence."""
    async with twin_of(project(tmp_path / "p", golive=QUICK)) as found:
        for check in ("SEC-7.recorded", "SEC-7.tamper"):
            report = await hold(check, found)
            assert (report.status, report.why) == ("pass", ""), report
            assert report.evidence


async def test_recorded_sees_denials_that_leave_nothing(tmp_path: Path) -> None:
    """With the endpoint."""
    why = await broken(tmp_path / "p", "SEC-7.recorded", "unrecorded_denials")
    assert "POST /v1/keys denied" in why or "denied" in why


async def test_recorded_sees_an_act_that_leaves_nothing(tmp_path: Path) -> None:
    """Before it, and after."""
    why = await broken(tmp_path / "p", "SEC-7.recorded", "unrecorded_acts")
    assert "POST /v1/breakers/reset: that it may" in why
    assert "/v1/keys" not in why


@pytest.mark.parametrize(
    ("sabotage", "missed"), [("believing", "an entry changed (entry 3)"), ("gapless", "an entry removed (entry 5)")]
)
async def test_tamper_sees_a_verification_that_looks_away(tmp_path: Path, sabotage: str, missed: str) -> None:
    """From hashes, and from gaps."""
    assert missed in await broken(tmp_path / "p", "SEC-7.tamper", sabotage)
