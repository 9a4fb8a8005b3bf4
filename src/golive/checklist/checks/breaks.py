"""What does the user see when an answer hangs, stalls, breaks off, or is reported wrongly?"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, get_args

from golive.checklist.drill import (
    WORK_S,
    Course,
    course,
    noted,
    saw,
    scale,
    shown,
    timed,
    too_long,
)
from golive.checklist.faces import CHAT, MESSAGES, RESPONSES, Face, Heard, hear
from golive.checklist.http import Unreachable
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.sim.bill import Totals
from golive.sim.script import FOREVER, Cut, Script

CUT_AFTER = 10
"""Tokens, after which an answer breaks off."""
KINDS: tuple[Cut, ...] = get_args(Cut)
PARTS = (
    "clients that cannot take anything back were left with a part, and told so: a target with `prefill = true` in "
    "[capabilities] goes on where the text stops"
)
"""What may be made better where the promise held."""
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
    where="fast",
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
    where="fast",
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
        f"answered after {silence.setting} = {silence.limit_s:g} s and before {latest_s:g} s (this machine may work "
        f"{WORK_S:g} s, which count as {WORK_S * twin.speed:g} s there)"
    )
    if silence.limit_s >= way.deadline_s:
        return found.unknown(f"the run's limits.deadline_s ({way.deadline_s:g} s) is over first")
    if why := too_long(twin, latest_s):
        return found.unknown(why)
    if way.alone and not way.retries:
        return found.unknown(f"{way.alone}; and it is not asked again (retries = 0)")
    await twin.simulator.play(Script(text=way.text))
    usual_s = timed(twin, (await hear(twin, "Is all well?")).reply)
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
        f"{heard.answered:d} of 1 answered: {heard.ending} after {seconds:.1f} s, {seconds - usual_s:.1f} s later than "
        f"when all is well, {heard.resets} resets, attempts failed: {', '.join(codes) or 'none'}; {shown(heard)}; "
        f"{scale(twin)}"
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
    if broke and (way.tier.on_break == "fail" or (way.alone and not way.retries)):
        if heard.ending != "partial" or not heard.message:
            setting = "on_break = fail has it" if way.tier.on_break == "fail" else "one target with retries = 0 has it"
            return f"the run ended as {heard.ending}, not as partial with words for the user, as {setting}"
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
    usual_s = await _usual_s(twin, way)
    faults: list[str] = []
    right, slowest_s, last = 0, 0.0, ""
    for kind in KINDS:
        heard = await _broken(twin, way, kind, hear)
        found.saw(saw(twin, heard, f"native, cut by {kind}"))
        slowest_s, last = max(slowest_s, heard.reply.seconds - usual_s), shown(heard)
        wrong = _wrong_text(way, heard, broke=True)
        right += not wrong
        faults += [f"native, cut by {kind}: {wrong}"] if wrong else []
    on_chat, wrong_chat, note = await _on_face(twin, way, CHAT, found)
    found.measured = (
        f"native: {right} of {len(KINDS)} as promised, at most {slowest_s * 1000:.0f} ms later than unbroken, {last}; "
        f"chat: {on_chat}; {scale(twin)}"
    )
    if faults or wrong_chat:
        return found.failed("; ".join(faults[:2] + wrong_chat[:2]))
    return found.passed(note)


def _cut_on(end: str, face: Face) -> None:
    @check(
        f"MD-2.cut-{end}",
        row="MD-2",
        title=f"The same on the face of {face.name}: each character once, or `{face.part}` or an error at the end",
        phase="resilience",
        severity="blocker",
        needs={"inject", "golive", "agent"},
        remediation="Keep on_break at continue; say `prefill = true` in [capabilities] for targets that continue.",
    )
    async def cut_on(target: Target) -> Result:
        twin = target.twin
        found = Finding(f"the whole text, once; or a part of it that ends as `{face.part}` or an error, never as whole")
        found.measured, faults, note = await _on_face(twin, course(twin), face, found)
        found.measured += f"; {scale(twin)}"
        return found.failed("; ".join(faults)) if faults else found.passed(note)


_cut_on("responses", RESPONSES)
_cut_on("messages", MESSAGES)


async def _on_face(twin: Twin, way: Course, face: Face, found: Finding) -> tuple[str, list[str], str]:
    """Each way of breaking off, on a face whose clients cannot take anything back: measured, faults, and a note."""
    usual_s = await _usual_s(twin, way, face)
    faults: list[str] = []
    whole = part = error = 0
    slowest_s, last = 0.0, ""
    for kind in KINDS:
        heard = await _broken(twin, way, kind, face.hear)
        found.saw(saw(twin, heard, f"{face.name}, cut by {kind}"))
        slowest_s, last = max(slowest_s, heard.reply.seconds - usual_s), shown(heard)
        wrong = _wrong_end(way, face, heard)
        faults += [f"{face.name}, cut by {kind}: {wrong}"] if wrong else []
        whole += not wrong and heard.ending == face.whole
        part += not wrong and heard.ending == face.part
        error += not wrong and heard.ending.startswith("error")
    measured = (
        f"{whole} whole, {part} ended as partial, {error} as an error, of {len(KINDS)}, at most "
        f"{slowest_s * 1000:.0f} ms later than unbroken, {last}"
    )
    return measured, faults, PARTS if part + error else ""


async def _usual_s(twin: Twin, way: Course, face: Face | None = None) -> float:
    await twin.simulator.play(Script(text=way.text, pace_ms=PACE_MS))
    return (await (face.hear if face else hear)(twin, "With nothing broken.")).reply.seconds


async def _broken(twin: Twin, way: Course, kind: Cut, hearing: Callable[[Target, str], Awaitable[Heard]]) -> Heard:
    """An answer that breaks off, once, at the first target."""
    script = Script(text=way.text, pace_ms=PACE_MS, cut_after=CUT_AFTER, cut=kind)
    await twin.simulator.play(script, times=1, models=[way.primary])
    return await hearing(twin, f"Does it break off? ({kind})")


def _wrong_end(way: Course, face: Face, heard: Heard) -> str:
    """What is wrong with what a client was left with that can take nothing back; empty: nothing."""
    if heard.ending == face.whole:
        if way.text is not None and heard.text != way.text:
            return f"`{face.whole}` after {len(heard.text)} characters that are not the {len(way.text)} of the answer"
        return "" if heard.text else f"`{face.whole}` after nothing"
    if way.text is not None and not way.text.startswith(heard.text):
        return "the text is spliced of two answers"
    if heard.ending == face.part:
        return ""
    if not heard.ending.startswith("error"):
        return f"it ended as {heard.ending or 'nothing'}, neither `{face.part}` nor an error"
    return "after an error the stream was closed as a whole one is" if heard.done else ""


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
