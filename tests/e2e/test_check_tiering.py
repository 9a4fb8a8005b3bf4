"""The checks of the row RT-5 fail when the thing they are about is really broken, and pass when it is well."""

from pathlib import Path

from golive.checklist.engine import prove
from golive.checklist.registry import load as load_checks
from tests.e2e.check_kit import FURTHER, PRICES, hold, project, twin_of

ELSEWHERE = ("GW-1.first", "GW-1.proxy", "RT-2.partial", "RT-2.tool-raises", "MD-2.cut", "MD-3", "MD-4", "MD-7")


def tiered(folder: Path, *lines: str, steps: int = 4) -> Path:
    """A project whose agent has a supervisor on a cheap tier, and these lines more of [routing]."""
    made = project(folder, chain='"first/large"')
    settings = made / "agents" / "clerk" / "agent.toml"
    policy = "\n".join(('supervisor = "cheap"', *lines))
    text = settings.read_text().replace("max_steps = 4", f"max_steps = {steps}")
    settings.write_text(f'{text}[models.cheap]\nchain = ["second/tiny"]\n[routing]\n{policy}\n')
    return made


async def test_everything_else_is_checked_at_the_strong_tier(tmp_path: Path) -> None:
    """With routing, a judge and a second credential, a sound server passes: what is drilled is not routed."""
    golive = FURTHER.replace("[providers.first]", '[providers.first]\ndialect = "anthropic"') + PRICES
    made = tiered(tmp_path, "judge = true", "summarise_over = 8_000")
    (made / "golive.toml").write_text(golive)
    async with twin_of(made) as sound:
        report = await prove(load_checks().select(ELSEWHERE), sound)
    found = {check.id: check.status for check in report.checks}
    assert set(found.values()) == {"pass"}, [(check.id, check.why) for check in report.checks if check.why]
    assert {"MD-2.cut", "MD-2.cut-messages", "MD-3.rotation", "MD-7.usage", "RT-2.tool-raises"} <= found.keys()


async def test_routing_sees_a_doubt_that_does_not_count(tmp_path: Path) -> None:
    """A supervisor that is unsure, and still the cheap tier answers: the turn that went wrong is named."""
    async with twin_of(tiered(tmp_path), "doubt") as hasty:
        found = await hold("RT-5.routing", hasty)
    assert found.status == "fail"
    assert found.why == (
        "unsure: the turn was sent to ['direct'], and not to strong; "
        "unsure: ['second/tiny'] answered, and not first/large"
    )


async def test_routing_sees_a_supervisor_that_is_waited_for(tmp_path: Path) -> None:
    """It hangs, and the strong tier is asked only when the provider's own limit has passed."""
    async with twin_of(tiered(tmp_path), "dawdle") as patient:
        found = await hold("RT-5.routing", patient)
    assert found.status == "fail"
    assert found.why.startswith("hanging: it took ")
    assert found.why.endswith(" s, and not 5 s (routing.wait_s)")


async def test_routing_passes_with_its_saving(tmp_path: Path) -> None:
    """The same agent on a sound server passes, and both costs are told."""
    async with twin_of(tiered(tmp_path)) as sound:
        found = await hold("RT-5.routing", sound)
        steps = await hold("RT-3.step-cap", sound)
        others = [(await hold(check, sound)).status for check in ("RT-5.judging", "RT-5.summarising")]
    assert (found.status, found.why) == ("pass", "")
    assert " instead of $" in found.measured
    assert (steps.status, steps.why) == ("pass", "")
    assert others == ["unknown", "unknown"]


async def test_judging_and_summarising_pass(tmp_path: Path) -> None:
    """Of an agent that has both. That a judge costs more than it saves, with a prompt of a few words, is told."""
    async with twin_of(tiered(tmp_path, "judge = true", "summarise_over = 8_000")) as sound:
        routing = await hold("RT-5.routing", sound)
        found = [await hold(check, sound) for check in ("RT-5.judging", "RT-5.summarising", "RT-3.step-cap")]
    assert [(each.status, each.why) for each in found] == [("pass", "")] * 3
    assert routing.status == "warn"
    assert routing.why.startswith("a simple turn costs $")


async def test_judging_sees_a_judge_whose_word_does_not_count(tmp_path: Path) -> None:
    """Whatever it says is taken for a yes: each answer that it did not accept is named."""
    async with twin_of(tiered(tmp_path, "judge = true"), "yes_man") as hasty:
        found = await hold("RT-5.judging", hasty)
    assert found.status == "fail"
    for case in ("unbacked", "unsure", "nonsense"):
        assert f"{case}: the user was shown “We have seventeen" in found.why
    assert "good:" not in found.why
    assert "out:" not in found.why


async def test_judging_sees_a_draft_that_leaks(tmp_path: Path) -> None:
    """The answer streams while it is still to be judged."""
    async with twin_of(tiered(tmp_path, "judge = true"), "leak") as hasty:
        found = await hold("RT-5.judging", hasty)
    assert found.status == "fail"
    assert "unsure: the user was shown “We have seventeen" in found.why


async def test_judging_is_not_known_with_a_single_step(tmp_path: Path) -> None:
    """There the strong tier answers everything, and nothing is left to be judged."""
    async with twin_of(tiered(tmp_path, "judge = true", steps=1)) as short:
        assert (await hold("RT-5.judging", short)).status == "unknown"


async def test_summarising_sees_a_newest_turn_that_is_condensed(tmp_path: Path) -> None:
    """The turn right before the question is to stay word for word: in the second there is nothing to condense yet."""
    async with twin_of(tiered(tmp_path, "summarise_over = 8_000"), "forgetful") as hasty:
        found = await hold("RT-5.summarising", hasty)
    assert found.status == "fail"
    assert "condensed: the four turns were condensed [0, 1, 0, 0] times" in found.why


async def test_summarising_sees_a_history_that_is_lost_with_its_summary(tmp_path: Path) -> None:
    """The summariser is out, and the older part is dropped all the same."""
    async with twin_of(tiered(tmp_path, "summarise_over = 8_000"), "careless") as hasty:
        found = await hold("RT-5.summarising", hasty)
    assert found.status == "fail"
    assert "out: in turn 3 the strong tier was not sent the long turn, which nobody had condensed" in found.why


async def test_summarising_sees_what_is_condensed_again_and_again(tmp_path: Path) -> None:
    """No run begins with the summary of the one before it."""
    async with twin_of(tiered(tmp_path, "summarise_over = 8_000"), "diligent") as hasty:
        found = await hold("RT-5.summarising", hasty)
    assert found.status == "fail"
    assert "condensed: the four turns were condensed [0, 0, 1, 1] times" in found.why
