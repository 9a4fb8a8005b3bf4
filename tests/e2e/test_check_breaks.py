"""A break where nobody can go on: one target, and no retry."""

from pathlib import Path

from golive.checklist.checks.breaks import KINDS
from tests.e2e.check_kit import GOLIVE, PRICES, hold, project, twin_of

ONCE = GOLIVE + "[retry]\nretries = 0\n" + PRICES


async def test_a_chain_of_one_that_is_asked_once_leaves_a_part(tmp_path: Path) -> None:
    """The same target is not asked again at once: what was shown stands, and is not called whole."""
    async with twin_of(project(tmp_path, golive=ONCE, chain='"first/large"')) as sound:
        found = await hold("MD-2.cut", sound)
    assert (found.status, found.why[:15]) == ("pass", "clients that ca"), found.why
    assert found.measured.startswith(f"native: {len(KINDS)} of {len(KINDS)} as promised")


async def test_cut_sees_a_part_of_the_only_target_that_is_called_whole(tmp_path: Path) -> None:
    async with twin_of(project(tmp_path, golive=ONCE, chain='"first/large"'), "truncation") as broken:
        found = await hold("MD-2.cut", broken)
    assert found.status == "fail"
    assert found.why.startswith(
        "native, cut by close: the run ended as completed, not as partial with words for the user, as one target with "
        "retries = 0 has it"
    )
