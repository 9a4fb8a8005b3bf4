"""The drill of erasing: it passes on a sound server, and fails when erasing is really broken."""

from pathlib import Path

import pytest

from tests.e2e.check_kit import hold, project, twin_of

CHECK = "GW-11.erasure"


async def test_it_passes_on_a_sound_server(tmp_path: Path) -> None:
    """With figures."""
    async with twin_of(project(tmp_path / "project")) as twin:
        found = await hold(CHECK, twin)
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
    ],
)
async def test_it_sees_what_is_broken(tmp_path: Path, sabotage: str, said: str) -> None:
    """Rows that stay, keys that stay, bytes that stay, a backup that brings all back, others who lose theirs."""
    async with twin_of(project(tmp_path / "project"), sabotage) as twin:
        found = await hold(CHECK, twin)
    assert found.status == "fail", (found.status, found.why, found.measured)
    assert said in found.why
