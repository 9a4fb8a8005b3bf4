"""Runs that do less than they were asked for: what is missing, by name and in words."""

import asyncio
from pathlib import Path

import pytest

from golive.core.errors import (
    ContentRefused,
    ContextTooLong,
    ModelAuthFailed,
    ModelBadRequest,
    ModelCut,
    ModelIncapable,
    ModelUnreachable,
)
from golive.core.events import Missing
from golive.core.words import WAYS, fault
from golive.models.call import TextDelta
from golive.runtime.api import RunResult
from golive.runtime.words import choose, say
from golive.tools.toolset import ToolInvocation, ToolOutcome
from tests.unit.runtime_kit import Item, ScriptedModel, Tools, World, answer, asks

GERMAN = {way: f"<{way}>" for way in WAYS} | {"deadline": "<deadline {seconds}>", "tool_out": "<tool_out {tools}>"}


async def _found(_: ToolInvocation) -> ToolOutcome:
    return ToolOutcome(True, "found")


async def _late(_: ToolInvocation) -> ToolOutcome:
    return ToolOutcome(False, "not done within 1 s", "tool.timeout")


async def _hangs(_: ToolInvocation) -> ToolOutcome:
    await asyncio.Event().wait()
    raise AssertionError


async def _too_slow(_: ToolInvocation) -> ToolOutcome:
    await asyncio.sleep(0.06)
    return ToolOutcome(False, "not done within 0.05 s", "tool.timeout")


def _once(*outcomes: ToolOutcome) -> Tools:
    left = list(outcomes)

    async def look(_: ToolInvocation) -> ToolOutcome:
        return left.pop(0)

    return Tools(look=look)


async def _run(path: Path, *turns: list[Item], tools: Tools | None = None, **options: object) -> RunResult:
    languages = options.pop("languages", ())
    world = World(path, ScriptedModel(*turns), tools, **options)
    return await world.runtime.wait("default", await world.start(languages=languages))


LOOK = asks(("look", "{}"))
TURNS: list[tuple[str, list[list[Item]], str, str]] = [
    ("model_out", [[ModelUnreachable("gone")]], "failed", "model.unreachable"),
    ("model_cut", [[TextDelta("Half"), ModelCut("cut")]], "partial", "model.cut"),
    ("model_empty", [answer()], "failed", "model.empty"),
    ("max_output_tokens", [answer("Half", reason="length")], "partial", "max_output_tokens"),
    ("refused", [answer("No", reason="refusal")], "refused", "refusal"),
    ("refused", [[ContentRefused("no")]], "refused", "model.content_refused"),
    ("too_long", [[ContextTooLong("long")]], "failed", "model.context_too_long"),
    ("bad_request", [[ModelBadRequest("bad")]], "failed", "model.bad_request"),
    ("not_set_up", [[ModelAuthFailed("key")]], "failed", "model.auth"),
    ("not_set_up", [[ModelIncapable("no", lacking=("tools",))]], "failed", "model.incapable"),
    ("no_images", [[ModelIncapable("no", lacking=("tools", "images"))]], "failed", "model.incapable"),
]


@pytest.mark.parametrize(("way", "turns", "outcome", "reason"), TURNS)
async def test_each_way_has_its_words_and_names_the_answer(
    tmp_path: Path, way: str, turns: list[list[Item]], outcome: str, reason: str
) -> None:
    """In English by default, in the agent's words for the user's language; and the answer is named as missing."""
    (tmp_path / "en").mkdir()
    english = await _run(tmp_path / "en", *turns)
    assert (english.outcome, english.reason) == (outcome, reason)
    assert english.message == WAYS[way].words
    assert english.missing == (Missing("answer", "", reason),)
    german = await _run(tmp_path, *turns, messages={"de": GERMAN}, languages=("de-AT", "en"))
    assert german.message == f"<{way}>"


async def test_a_deadline_says_how_long_and_names_the_tool_that_hangs(tmp_path: Path) -> None:
    """A run that waits for a tool when its time is over names answer and tool, and has the words for both."""
    result = await _run(
        tmp_path, asks(("look", "{}"), text="Let me see."), tools=Tools(look=_too_slow), deadline_s=0.05,
        messages={"deadline": "Nur {seconds} s.", "language": "de"},
    )  # fmt: skip
    assert (result.outcome, result.reason, result.text) == ("partial", "deadline", "Let me see.")
    assert result.missing == (Missing("answer", "", "deadline"), Missing("tool", "look", "tool.timeout"))
    assert result.message == "Nur 0.05 s. I got no result from look; what depends on it is missing or delayed."


async def test_without_text_the_run_says_what_it_did(tmp_path: Path) -> None:
    """A model that is out after a tool was carried out ends the run as partial: something was done."""
    result = await _run(tmp_path, LOOK, [ModelUnreachable("gone")], tools=Tools(look=_found))
    assert (result.outcome, result.reason, result.text) == ("partial", "model.unreachable", "")
    assert result.missing == (Missing("answer", "", "model.unreachable"),)
    assert result.message == f"{WAYS['model_out'].words} What I did do: look."


async def test_the_step_cap_names_the_tools_that_were_asked_for(tmp_path: Path) -> None:
    """Calls that the cap forbade are missing; the steps stand in the words."""
    result = await _run(tmp_path, LOOK, tools=Tools(look=_found), max_steps=1, messages={"max_steps": "{steps}!"})
    assert result.missing == (Missing("answer", "", "max_steps"), Missing("tool", "look", "max_steps"))
    assert result.message.startswith("1! I got no result from look;")


async def test_a_tool_that_is_not_critical_is_skipped_and_named(tmp_path: Path) -> None:
    """The model had its say: the run is completed, and says what it went without."""
    result = await _run(tmp_path, LOOK, answer("It is not to be had."), tools=Tools(look=_late))
    assert (result.outcome, result.reason) == ("completed", "done")
    assert result.missing == (Missing("tool", "look", "tool.timeout"),)
    assert result.message == "I got no result from look; what depends on it is missing or delayed."


async def test_a_critical_tool_makes_the_answer_partial(tmp_path: Path) -> None:
    """The answer stands, and is not passed off as whole; another tool that failed is told apart."""
    turns = asks(("look", "{}"), ("ask", "{}")), answer("I do not know.")
    result = await _run(tmp_path, *turns, tools=Tools(look=_late, ask=_late), critical=frozenset({"look"}))
    assert (result.outcome, result.reason, result.text) == ("partial", "tool.timeout", "I do not know.")
    assert result.missing == (Missing("tool", "look", "tool.timeout"), Missing("tool", "ask", "tool.timeout"))
    assert result.message == (
        "I got no result from look, without which this is not a whole answer. Please try again later. "
        "I got no result from ask; what depends on it is missing or delayed."
    )


async def test_a_later_success_makes_good(tmp_path: Path) -> None:
    """What the model tried again and got is not missing, critical or not."""
    tools = _once(ToolOutcome(False, "late", "tool.timeout"), ToolOutcome(True, "found"))
    result = await _run(tmp_path, LOOK, LOOK, answer("Found."), tools=tools, critical=frozenset({"look"}))
    assert (result.outcome, result.message, result.missing) == ("completed", "", ())


async def test_a_success_beside_a_failure_does_not_make_good(tmp_path: Path) -> None:
    """Two calls of one step are two questions: the one that failed is missing."""
    tools = _once(ToolOutcome(False, "late", "tool.timeout"), ToolOutcome(True, "found"))
    result = await _run(tmp_path, asks(("look", "{}"), ("look", '{"b":1}')), answer("Half found."), tools=tools)
    assert result.missing == (Missing("tool", "look", "tool.timeout"),)


@pytest.mark.parametrize("code", ["tool.unknown", "tool.arguments_invalid"])
async def test_a_mistake_of_the_model_is_no_missing_tool(tmp_path: Path, code: str) -> None:
    """A tool that does not exist, or was called wrongly, is not out."""
    tools = _once(ToolOutcome(False, "no", code))
    result = await _run(tmp_path, LOOK, answer("Well."), tools=tools, critical=frozenset({"look"}))
    assert (result.outcome, result.message, result.missing) == ("completed", "", ())


async def test_who_cancels_is_told_nothing_of_tools(tmp_path: Path) -> None:
    """The reason given stands alone; the parts are named for programs."""
    world = World(tmp_path, ScriptedModel(LOOK), Tools(look=_hangs))
    run = await world.start()
    while not world.runtime._carrier.live["default", run].journal.state.effects:
        await asyncio.sleep(0)
    result = await world.runtime.steering.cancel("default", run, "key_1", "Never mind.")
    assert (result.outcome, result.message) == ("cancelled", "Never mind.")
    assert result.missing == (Missing("answer", "", "cancelled"), Missing("tool", "look", "cancelled"))


def test_every_way_has_faultless_words() -> None:
    """The English words hold themselves to what is asked of an agent's."""
    assert {way: fault(way, one.words) for way, one in WAYS.items() if fault(way, one.words)} == {}
    for way, one in WAYS.items():
        assert "{" not in say({}, "", way, **dict.fromkeys(one.placeholders, "x"))


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("{second} s", "has the placeholder {second}, which does not exist there"),
        ("{} s", "has the placeholder {}, which does not exist there"),
        ("{seconds.real}", "has the placeholder {seconds.real}, which does not exist there"),
        ("{seconds:>9999999}", "has more than a name between the braces of {seconds}"),
        ("{seconds!r}", "has more than a name between the braces of {seconds}"),
        (" ", "is empty"),
        ("{{seconds}} {seconds}", ""),
    ],
)
def test_words_are_held_to_their_placeholders(words: str, wrong: str) -> None:
    """Nothing but the names of a way may stand between braces."""
    assert fault("deadline", words) == wrong


def test_a_brace_too_many_is_told() -> None:
    """Words that cannot be filled in are refused when they are read, not when a user waits for them."""
    assert fault("deadline", "{seconds").startswith("has a brace that opens or closes nothing")


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ((), ""),
        (("de",), "de"),
        (("DE-at",), "de"),
        (("pt-BR",), "pt-BR"),
        (("pt",), ""),
        (("fr", "de"), "de"),
        (("en", "de"), ""),
        (("en-GB", "de"), ""),
    ],
)
def test_the_first_language_the_agent_has_is_chosen(wanted: tuple[str, ...], chosen: str) -> None:
    """A regional wish is served by its language; who reads the agent's own language first gets its own words."""
    assert choose({"deadline": "x", "de": {}, "pt-BR": {}}, wanted) == chosen


def test_an_agent_whose_own_words_are_german() -> None:
    """`language` says what the words without a variant are written in."""
    messages = {"language": "de", "en": {"cancelled": "Gone."}, "cancelled": "Weg."}
    assert choose(messages, ("de", "en")) == ""
    assert say(messages, choose(messages, ("en",)), "cancelled") == "Gone."
    assert say(messages, "", "cancelled") == "Weg."
    assert say(messages, "en", "refused") == WAYS["refused"].words
