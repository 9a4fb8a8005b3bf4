"""What does the user see when an answer hangs, stalls, breaks off, or is reported wrongly?"""

from typing import NamedTuple, get_args

from golive.checklist.drill import (
    WORK_S,
    Course,
    Heard,
    course,
    hear,
    hear_chat,
    noted,
    saw,
    scale,
    timed,
    too_long,
)
from golive.checklist.http import Unreachable
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.sim.bill import Totals
from golive.sim.script import FOREVER, Cut, Script

CUT_AFTER = 10
"""Tokens, after which an answer breaks off."""
STALL_AFTER = 8
PACE_MS = 2.0
"""Between tokens, so that what was said is out before the answer breaks off."""


class _Silence(NamedTuple):
    """A provider that falls silent, and the setting that must end the wait."""

    script: Script
    setting: str
    limit_s: float


@check(
    "RT-1.first-token",
    row="RT-1",
    title="A provider that accepts the request and says nothing is left at the first-token limit, and another answers",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent", "clock"},
    remediation="Set first_token_s of the tier or provider; give the chain a second target, or `retries` above 0.",
)
async def first_token(target: Target) -> Result:
    """The first target hangs, once; the answer must come after the configured limit and not much later."""
    twin = await target.twin.fast()
    way = course(twin)
    silence = _Silence(Script(hang_ms=FOREVER), "first_token_s", min(way.first_token_s, way.call_s))
    return await _silenced(twin, way, silence)


@check(
    "RT-1.stall",
    row="RT-1",
    title="A provider that falls silent in mid-answer is left at the between-tokens limit, and the answer is whole",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent", "clock"},
    remediation="Set between_tokens_s of the tier or provider; give the chain a second target.",
)
async def stall(target: Target) -> Result:
    """The first target stops after a few tokens, once."""
    twin = await target.twin.fast()
    way = course(twin)
    script = Script(text=way.text, stall_after=STALL_AFTER, stall_ms=FOREVER)
    return await _silenced(twin, way, _Silence(script, "between_tokens_s", min(way.between_tokens_s, way.call_s)))


async def _silenced(twin: Twin, way: Course, silence: _Silence) -> Result:
    latest_s = silence.limit_s + way.longest_backoff_s + WORK_S * twin.speed
    found = Finding(
        f"answered after {silence.setting} = {silence.limit_s:g} s and before {latest_s:g} s (of which "
        f"{WORK_S * twin.speed:g} s for work in a machine that time makes slower)"
    )
    if silence.limit_s >= way.deadline_s:
        return found.unknown(f"the run's limits.deadline_s ({way.deadline_s:g} s) is over first")
    if why := too_long(twin, latest_s):
        return found.unknown(why)
    if way.alone and not way.retries:
        return found.unknown(f"{way.alone}; and it is not asked again (retries = 0)")
    await twin.simulator.play(Script(text=way.text))
    found.saw(await twin.simulator.play(silence.script, times=1, models=[way.primary]))
    try:
        heard = await hear(twin, f"Is anybody there? ({silence.setting})")
    except Unreachable as error:
        if not error.fields.get("timed_out"):
            raise
        found.measured = "no end within the time we wait"
        return found.failed(f"{silence.setting} did not end the wait")
    seconds = timed(twin, heard.reply)
    found.saw(saw(twin, heard, f"answered after {seconds:.1f} s of the server's time"))
    _, events = await twin.journal(heard.reply.headers.get("x-request-id", ""))
    codes = [str(event["body"].get("code")) for event in events if event["kind"] == "model.failed"]
    found.measured = (
        f"1 of 1 answered: {heard.ending} after {seconds:.1f} s, {heard.resets} resets, attempts failed: "
        f"{codes}; {scale(twin)}"
    )
    if wrong := _wrong_text(way, heard, broke=silence.script.stall_after is not None):
        return found.failed(wrong)
    if codes != ["model.timeout"]:
        return found.failed(f"one attempt was to end as model.timeout, not {codes or 'none'}")
    if seconds > latest_s:
        return found.failed(f"the answer came {seconds - latest_s:.0f} s too late")
    return found.passed()


def _wrong_text(way: Course, heard: Heard, *, broke: bool) -> str:
    """What is wrong with what a native client was left with; empty: nothing."""
    if broke and way.tier.on_break == "fail":
        if heard.ending != "partial" or not heard.message:
            return f"the run ended as {heard.ending}, not as partial with words for the user, as on_break = fail has it"
        return "" if way.text is None or way.text.startswith(heard.text) else "the text is not what the provider said"
    if not heard.answered:
        return f"the run ended as {heard.ending or 'nothing'} ({heard.reason})"
    if way.text is not None and heard.text != way.text:
        return f"the user was left with {len(heard.text)} characters that are not the {len(way.text)} of the answer"
    return ""


# ---- cut ------------------------------------------------------------------------------------------------------------


@check(
    "MD-2.cut",
    row="MD-2",
    title=f"An answer that breaks off after {CUT_AFTER} tokens is made whole, or is never called whole",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent"},
    remediation="Keep on_break at continue or reset; say `prefill = true` in [capabilities] for targets that continue.",
)
async def cut(target: Target) -> Result:
    """Each way of breaking off, heard by a native client and by one of chat completions."""
    twin = target.twin
    way = course(twin)
    found = Finding("native clients: the whole text and nothing else; chat: the whole text, or never `stop`")
    await twin.simulator.play(Script(text=way.text, pace_ms=PACE_MS))
    whole = await hear(twin, "With nothing broken.")
    faults: list[str] = []
    counts = {"native": 0, "chat": 0, "partial": 0}
    slowest_s = 0.0
    kinds = get_args(Cut)
    for kind in kinds:
        script = Script(text=way.text, pace_ms=PACE_MS, cut_after=CUT_AFTER, cut=kind)
        await twin.simulator.play(script, times=1, models=[way.primary])
        native = await hear(twin, f"Does it break off? ({kind})")
        await twin.simulator.play(script, times=1, models=[way.primary])
        chat = await hear_chat(twin, f"Does it break off? ({kind}, chat)")
        found.saw(saw(twin, native, f"native, cut by {kind}"))
        found.saw(saw(twin, chat, f"chat, cut by {kind}"))
        slowest_s = max(slowest_s, native.reply.seconds - whole.reply.seconds)
        wrong = {"native": _wrong_text(way, native, broke=True), "chat": _wrong_chat(way, chat)}
        faults += [f"{face}, cut by {kind}: {fault}" for face, fault in wrong.items() if fault]
        counts["native"] += not wrong["native"]
        counts["chat"] += chat.answered and not wrong["chat"]
        counts["partial"] += not chat.answered and not wrong["chat"]
    found.measured = (
        f"native: {counts['native']} of {len(kinds)} as promised, at most {slowest_s:.3f} s later than unbroken; chat: "
        f"{counts['chat']} whole, {counts['partial']} ended as partial, of {len(kinds)}"
    )
    return found.failed("; ".join(faults[:4])) if faults else found.passed()


def _wrong_chat(way: Course, heard: Heard) -> str:
    if heard.ending == "stop":
        if way.text is not None and heard.text != way.text:
            return f"`stop` after {len(heard.text)} characters that are not the {len(way.text)} of the answer"
        return "" if heard.text else "`stop` after nothing"
    if way.text is not None and not way.text.startswith(heard.text):
        return "the text is spliced of two answers"
    if heard.ending == "length":
        return ""
    if not heard.ending.startswith("error"):
        return f"it ended as {heard.ending or 'nothing'}, neither `length` nor an error"
    return "[DONE] after an error" if heard.done else ""


# ---- wrong usage ----------------------------------------------------------------------------------------------------


@check(
    "MD-7.usage",
    row="MD-7",
    title="A provider that reports no usage, or nonsense, is still priced, at no less than it bills",
    phase="cost",
    severity="major",
    needs={"inject", "golive", "agent"},
    remediation="Count what a provider does not report at its bound; hold its invoice against `golive runs`.",
)
async def usage(target: Target) -> Result:
    """Missing and negative: bounded and marked. Reported twice: counted once. (NaN is no JSON: MD-2.malformed.)"""
    twin = target.twin
    way = course(twin)
    found = Finding("tokens no fewer than the provider bills, a cost where there is a price, marked as estimated")
    faults: list[str] = []
    measured: list[str] = []
    for kind in ("missing", "negative", "twice"):
        before = (await twin.simulator.bill())[1]
        found.saw(await twin.simulator.play(Script(text=way.text, usage=kind)))
        heard = await hear(twin, f"What does this cost? ({kind})")
        reply = await twin.send("GET", f"/v1/runs/{heard.reply.headers.get('x-request-id', 'none')}")
        found.saw(twin.http.evidence(reply, f"usage reported: {kind}"))
        run, after = reply.json(), (await twin.simulator.bill())[1]
        billed, counted = _tokens(before, after), run.get("usage", {})
        tokens = (counted.get("input_tokens", 0), counted.get("output_tokens", 0))
        measured.append(
            f"{kind}: {tokens[0]}+{tokens[1]} tokens of {billed[0]}+{billed[1]} billed, {run.get('cost_microusd')} "
            f"micro-USD{', estimated' if run.get('estimated') else ''}, {heard.ending}"
        )
        if not heard.answered:
            faults.append(f"{kind}: the run ended as {heard.ending} ({heard.reason})")
        elif tokens[0] < billed[0] or tokens[1] < billed[1]:
            faults.append(f"{kind}: golive counts {tokens} tokens in and out, the provider bills {billed}")
        elif kind == "twice" and tokens != billed:
            faults.append(f"twice: golive counts {tokens} tokens in and out, the provider bills {billed}")
        elif (kind != "twice") != bool(run.get("estimated")):
            faults.append(f"{kind}: the run says estimated = {run.get('estimated')}")
        elif not run.get("priced"):
            faults.append(f"{kind}: the run has no price")
    found.measured = "; ".join(measured)
    found.saw(noted(twin, "tokens counted and billed", "\n".join(measured)))
    if faults:
        return found.failed("; ".join(faults))
    return found.passed("a report that is wrong and looks right is believed: hold your provider's invoice against it")


def _tokens(before: Totals, after: Totals) -> tuple[int, int]:
    return after.input_tokens - before.input_tokens, after.output_tokens - before.output_tokens
