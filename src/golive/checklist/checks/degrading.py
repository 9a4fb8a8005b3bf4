"""Does a run that cannot do everything say so? Its words and the names of what is missing, for each way of degrading.

The words are held against those that the agent declares (`[messages]`), in each of its languages.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from golive.checklist.drill import course, in_words, scale, timed
from golive.checklist.registry import CheckFunction, check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target, need_agent
from golive.checklist.twin import Twin
from golive.config.following import Follows
from golive.core.words import WAYS
from golive.models.capabilities import Capabilities
from golive.runtime.words import Messages, say
from golive.sim.script import FOREVER, Script, ToolUse

MOST_LANGUAGES = 4
"""Further languages of the agent are not tried, and the check says so."""
NO_SUCH_TOOL = "golive_check_no_such_tool"
"""What the scripted model calls: no agent has it, so that nothing of the user's is carried out."""
DEADLINE_S = 12.0
"""What the runs are given that are to run out of time, seconds of the twin; a shorter limit of the agent counts."""
SHARE = 0.7
"""Of the shortest patience with a model, so that the run's own time is over first."""
SHORTEST_S = 0.1
"""Less, in seconds of the machine, would not do for the first words."""
PICTURE = "https://check.golive.invalid/picture.png"
"""Nobody fetches it: who takes no picture is not asked."""
WORDS = "One two three four five six seven eight nine ten eleven twelve."

UNFIT: tuple[Any, ...] = (WORDS, {}, [], None, 0, True)
"""Answers of which most schemas refuse one."""


class Fall(Struct, frozen=True, kw_only=True):
    """One way of degrading, and what is to come of it.

    `reasons`: of the run, or their beginnings. `lost`: (kind, name) of each part that is missing.
    """

    way: str
    script: Script
    outcomes: tuple[str, ...]
    reasons: tuple[str, ...]
    deadline_s: float | None = None
    max_steps: int | None = None
    text: bool = False
    """Whether what the model said before must stand in the answer."""
    lost: tuple[tuple[str, str], ...] = (("answer", ""),)
    or_else: str = ""
    """The way that the last of `reasons` is: some vendors tell the two apart by words alone, which nobody matches."""
    skipped: str = ""
    """The tool of which the run must say, too, that it gave no result."""
    picture: bool = False
    """Whether a picture is asked about."""
    unless: Callable[[Twin], str] = lambda _: ""
    """Why the agent cannot fall this way; empty where it can."""
    says: Callable[[Twin], str] | None = None
    """What the model says, where that depends on the agent; stands in the place of the script's text."""

    def of(self, twin: Twin) -> "Fall":
        """The same, for this twin's agent."""
        return self if self.says is None else replace(self, script=replace(self.script, text=self.says(twin)))


def _answering(twin: Twin) -> str:
    """The tier of the agent whose answer a run gives."""
    tiers = twin.loaded.agents[str(twin.agent)].config.models
    return "default" if "default" in tiers else next(iter(tiers))


def _formless(twin: Twin) -> str:
    """Where the agent declares no form, no answer misses it."""
    name = _answering(twin)
    declared = name in twin.loaded.agents[str(twin.agent)].output_schemas
    return "" if declared else f"[models.{name}] of agent.toml has no output_schema to be missed"


def _unfit(twin: Twin) -> str:
    """JSON that does not follow the agent's schema; no JSON where everything follows it."""
    follows = Follows(twin.loaded.agents[str(twin.agent)].output_schemas[_answering(twin)])
    return next((json.dumps(value) for value in UNFIT if follows.mismatch(value) is not None), WORDS)


def _sighted(twin: Twin) -> str:
    """Who asks about a picture is sent away only where the configuration says of each model that it takes none."""
    known = Capabilities(twin.loaded.config.capabilities)
    able = [target for target in course(twin).tier.chain if known.of(*target.split("/", 1)).images]
    return f"{', '.join(able)} may be sent pictures: no [capabilities] section says images = false" if able else ""


FALLS: dict[str, Fall] = {
    "deadline": Fall(
        way="deadline", script=Script(text=WORDS, stall_after=6, stall_ms=FOREVER), outcomes=("partial",),
        reasons=("deadline",), deadline_s=DEADLINE_S, text=True,
    ),
    "deadline-empty": Fall(
        way="deadline_empty", script=Script(hang_ms=FOREVER), outcomes=("partial",), reasons=("deadline",),
        deadline_s=DEADLINE_S,
    ),
    "max-steps": Fall(
        way="max_steps", script=Script(tool_calls=(ToolUse(NO_SUCH_TOOL),), always_tools=True), outcomes=("partial",),
        reasons=("max_steps",), max_steps=1, lost=(("answer", ""), ("tool", NO_SUCH_TOOL)), skipped=NO_SUCH_TOOL,
    ),
    "model-out": Fall(way="model_out", script=Script(refuse=True), outcomes=("failed",), reasons=("model.",)),
    "model-cut": Fall(
        way="model_cut", script=Script(text=WORDS, cut_after=6), outcomes=("partial",), reasons=("model.",), text=True
    ),
    "max-output-tokens": Fall(
        way="max_output_tokens", script=Script(text=WORDS, finish_reason="length"), outcomes=("partial",),
        reasons=("max_output_tokens",), text=True,
    ),
    "model-empty": Fall(
        way="model_empty", script=Script(text=""), outcomes=("failed",), reasons=("model.empty",)
    ),
    "refused": Fall(
        way="refused", script=Script(text="", refusal="I will not."), outcomes=("refused",),
        reasons=("refusal", "content_filter"),
    ),
    "too-long": Fall(
        way="too_long", script=Script(max_context=1), outcomes=("failed",),
        reasons=("model.context_too_long", "model.bad_request"), or_else="bad_request",
    ),
    "bad-request": Fall(
        way="bad_request", script=Script(status=400), outcomes=("failed",), reasons=("model.bad_request",)
    ),
    "output-invalid": Fall(
        way="output_invalid", script=Script(text=WORDS), outcomes=("partial",), reasons=("output_invalid",),
        text=True, lost=(("output", ""),), unless=_formless, says=_unfit,
    ),
    "no-images": Fall(
        way="no_images", script=Script(text=WORDS), outcomes=("failed",), reasons=("model.incapable",), picture=True,
        unless=_sighted,
    ),
    "not-set-up": Fall(way="not_set_up", script=Script(status=404), outcomes=("failed",), reasons=("model.not_found",)),
}  # fmt: skip
"""By the end of the check's id."""


async def _fall(target: Target, fall: Fall) -> Result:
    """Provokes it once for each language of the agent."""
    messages = target.twin.loaded.agents[need_agent(target)].config.messages
    languages = variants(messages)
    found = Finding(f"outcome {' or '.join(fall.outcomes)}, the words for it, and the missing parts by name")
    faults: list[str] = []
    heard: list[str] = []
    for language in languages[:MOST_LANGUAGES]:
        twin = await target.twin.fast()
        if why := fall.unless(twin) or _hasty(twin, fall):
            return found.unknown(why)
        here = fall.of(twin)
        found.saw(await twin.simulator.play(here.script))
        asked: dict[str, Any] = {"language": language, "deadline_s": _least(twin, fall), "max_steps": fall.max_steps}
        if fall.picture:
            seen = [{"type": "text", "text": twin.question("What is this?")}, {"type": "image", "url": PICTURE}]
            asked["input"] = [{"role": "user", "content": seen}]
        reply, run = await twin.run(twin.question("Hello?"), **{name: value for name, value in asked.items() if value})
        found.saw(twin.http.evidence(reply, f"over after {timed(twin, reply):.1f} s {scale(twin)}"))
        faults += [f"{named(language)}{fault}" for fault in wrong(here, run, messages, language, twin)]
        ended = f"{run.get('outcome')} ({run.get('reason')}) after {timed(twin, reply):.1f} s"
        heard.append(f"{named(language)}{ended}, {told(run)}")
    found.measured = f"{'; '.join(heard)}; {scale(twin)}"
    if faults:
        return found.failed("; ".join(faults))
    return settled(found, messages, fall.way)


def settled(found: Finding, messages: Messages, way: str) -> Result:
    """What a check answers that found no fault in the languages it tried."""
    languages = variants(messages)
    if len(languages) > MOST_LANGUAGES:
        return found.warned(f"shortened: {MOST_LANGUAGES} of the agent's {len(languages)} variants were tried")
    return found.passed(unsaid(messages, way))


def variants(messages: Messages) -> list[str]:
    """The agent's languages; "" is the one of the words that belong to no variant."""
    return ["", *(key for key, words in messages.items() if not isinstance(words, str))]


def unsaid(messages: Messages, way: str) -> str:
    """A note on the agent's languages that have no words for this, and whose readers are told others; empty: none."""
    lacking = [key for key, words in messages.items() if not isinstance(words, str) and way not in words]
    if not lacking:
        return ""
    tables = ", ".join(f"[messages.{key}]" for key in lacking)
    return f"{tables} without `{way}`: readers of {', '.join(lacking)} are told it in the words without a language"


def named(language: str) -> str:
    """Begins what is told of one language."""
    return f"{language}: " if language else ""


def told(run: dict[str, Any]) -> str:
    """What user and programs are told, in a line."""
    parts = [f"{part.get('name') or part.get('kind')} ({part.get('code')})" for part in run.get("missing") or ()]
    return f"missing {', '.join(parts) or 'nothing'}, {in_words(str(run.get('text') or ''), str(run.get('message')))}"


def _least(twin: Twin, fall: Fall) -> float | None:
    """The deadline that ends the run, because it is shorter than the agent's own and than any patience with a model."""
    if fall.deadline_s is None:
        return None
    told = course(twin)
    patience_s = min(told.first_token_s, told.between_tokens_s, told.call_s)
    return round(min(fall.deadline_s, told.deadline_s, patience_s * SHARE), 3)


def _hasty(twin: Twin, fall: Fall) -> str:
    """Why the run cannot be made to run out of time; empty where it can."""
    least = _least(twin, fall)
    if least is None or least / twin.speed >= SHORTEST_S:
        return ""
    return f"with the agent's time limits the run would have {least:g} s, too short at {twin.speed:g} times the speed"


def wrong(fall: Fall, run: dict[str, Any], messages: Messages, language: str, twin: Twin) -> Iterator[str]:
    """What is not as it must be of a run that fell so: its outcome, its words in the language, its text, its parts."""
    outcome, reason = run.get("outcome"), str(run.get("reason"))
    if outcome not in fall.outcomes or not reason.startswith(fall.reasons):
        yield f"the run ended as {outcome} ({reason})"
        return
    said = str(run.get("message") or "")
    values = {"seconds": f"{_least(twin, fall) or 0:g}", "steps": str(fall.max_steps)}
    way = fall.or_else if fall.or_else and reason == fall.reasons[-1] else fall.way
    wanted = [say(messages, language, way, **{name: values[name] for name in WAYS[way].placeholders})]
    if fall.skipped:
        wanted.append(say(messages, language, "tool_skipped", tools=fall.skipped))
    if said != " ".join(wanted):
        yield f"the user is told “{said}” instead of “{' '.join(wanted)}”"
    if fall.text and not (run.get("text") and str(fall.script.text).startswith(str(run["text"]).rstrip())):
        yield f"of what the model had said, “{run.get('text')}” is left"
    missing = run.get("missing")
    parts = [(part.get("kind"), part.get("name")) for part in missing] if isinstance(missing, list) else []
    if parts != list(fall.lost):
        yield f"missing is {missing}, and not {' and '.join(' '.join(part).strip() for part in fall.lost)}"


def register(end: str, way: str, function: CheckFunction) -> None:
    """The check `RT-14.end`, of the way of degrading."""
    check(
        f"RT-14.{end}",
        row="RT-14",
        title=f"Words for the user, and names for programs: {WAYS[way].when.partition(';')[0].replace('`', '')}",
        phase="resilience",
        severity="major",
        needs={"inject", "clock", "golive", "agent"},
        where="fast",
        remediation="Let no proxy rewrite bodies; set words of your own in [messages] of agent.toml.",
    )(function)


for _end, _one in FALLS.items():
    register(_end, _one.way, partial(_fall, fall=_one))


@check(
    "RT-2.partial",
    row="RT-2",
    title="A run that is out of time keeps what it has, and its journal names what is missing",
    phase="resilience",
    severity="blocker",
    needs={"inject", "clock", "golive", "agent"},
    where="fast",
    remediation="Set limits.deadline_s in agent.toml, and give models shorter time limits than the run.",
)
async def partial_result(target: Target) -> Result:
    """The model stalls in the middle of its answer: the text so far stands, in the answer and in the journal."""
    need_agent(target)
    fall = FALLS["deadline"]
    twin = await target.twin.fast()
    if why := _hasty(twin, fall):
        return Finding("outcome partial").unknown(why)
    found = Finding("outcome partial, the text so far, and run.finished in the journal with the same missing parts")
    found.saw(await twin.simulator.play(fall.script))
    reply, run = await twin.run(twin.question("Hello?"), deadline_s=_least(twin, fall))
    found.saw(twin.http.evidence(reply, f"over after {timed(twin, reply):.1f} s {scale(twin)}"))
    journal, events = await twin.journal(str(run.get("run")))
    found.saw(journal)
    text, missing = str(run.get("text") or ""), run.get("missing") or []
    found.measured = f"{run.get('outcome')} after {timed(twin, reply):.1f} s, {told(run)}; {scale(twin)}"
    if run.get("outcome") != "partial":
        return found.failed(f"the run ended as {run.get('outcome')} ({run.get('reason')})")
    if not text or not WORDS.startswith(text.rstrip()):
        return found.failed(f"of what the model had said, “{text}” is left")
    if [part.get("kind") for part in missing] != ["answer"]:
        return found.failed("the run does not name the answer as missing")
    last = events[-1] if events else {}
    if last.get("kind") != "run.finished" or last["body"].get("missing") != missing:
        return found.failed("the journal does not name what is missing")
    return found.passed()
