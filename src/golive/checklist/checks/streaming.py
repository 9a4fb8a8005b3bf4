"""Does a streamed answer stream? The first word must be out while the provider is still speaking."""

from msgspec import Struct

from golive.checklist.http import Reply
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target, chat_text
from golive.sim.script import Script

PAUSE_S = 1.0
"""How long the scripted provider falls silent in the middle of its answer."""
MANY_PIECES = 8
"""A remote answer of fewer pieces says nothing about streaming."""
SLOW_S = 0.4
"""A remote answer that is over sooner may rightly have come at once."""
SPREAD_S = 0.1
"""Least time between a remote answer's first and last piece."""

ASK = "Describe a morning at a harbour in about one hundred and fifty words."
REMEDY = (
    "Send each piece on as it comes, in the agent's code and in whatever stands before the server: no compression of "
    "event streams, no response buffering, no middleware that reads the whole answer."
)
_SSE = "https://html.spec.whatwg.org/multipage/server-sent-events.html"


class Heard(Struct):
    """What was heard of one streamed answer. Times in seconds from the request; None: no text came."""

    reply: Reply
    first_s: float | None = None
    last_s: float = 0.0
    end_s: float = 0.0
    pieces: int = 0
    reads: int = 0
    ended_before_first: bool | None = None
    """On a twin: whether the provider had already finished when the first text came."""


@check(
    "GW-1.first-token",
    row="GW-1",
    title="Streaming streams: the first token leaves before the provider has finished",
    phase="serving",
    severity="blocker",
    remediation=REMEDY,
    references=(_SSE,),
)
async def first_token(target: Target) -> Result:
    """On a twin the provider pauses in mid-answer, and its bill tells whether it was done; else arrival times."""
    if "inject" in target.handles:
        return await _while_it_pauses(target)
    found = Finding(f"pieces arrive over at least {SPREAD_S:g} s")
    heard = await listen(target, target.chat(ASK, stream=True))
    found.saw(target.http.evidence(heard.reply))
    found.measured = told(heard)
    if heard.reply.status != 200:
        return found.failed(f"the request was answered {heard.reply.status}")
    if heard.first_s is None:
        return found.failed("no text came")
    if heard.last_s - heard.first_s >= SPREAD_S and heard.reads > 2:
        return found.passed()
    if heard.end_s < SLOW_S or heard.pieces < MANY_PIECES:
        return found.unknown("the answer was too short or too quick to tell: check a twin, or a longer answer")
    return found.failed("the whole answer came at its end")


async def _while_it_pauses(target: Target) -> Result:
    simulator = target.twin.simulator
    found = Finding("the first text comes while the provider pauses, its call not yet on its bill")
    found.saw(await simulator.play(Script(tokens=40, stall_after=4, stall_ms=PAUSE_S * 1000)))
    faces: list[tuple[str, dict[str, object]]] = [("/v1/chat/completions", target.chat(ASK, stream=True))]
    if target.agent is not None:
        faces.append((f"/v1/agents/{target.agent}/runs", {"input": target.question(ASK), "stream": True}))
    measured, late = [], []
    for path, body in faces:
        before = await simulator.calls()
        heard = await listen(target, body, path, calls_before=before)
        note = "the provider was still speaking" if heard.ended_before_first is False else "the provider had finished"
        found.saw(target.http.evidence(heard.reply, f"when the first text came, {note}; {told(heard)}"))
        measured.append(f"{path}: {told(heard)}")
        if heard.ended_before_first is not False:
            late.append(path)
    found.measured = "; ".join(measured)
    if late:
        return found.failed(f"text came only after the provider had finished: {', '.join(late)}")
    return found.passed()


async def listen(
    target: Target, body: object, path: str = "/v1/chat/completions", *, calls_before: int | None = None
) -> Heard:
    """Reads a streamed answer to its end. `calls_before`: of a twin, calls on the bill before the request."""
    async with target.stream("POST", path, body) as stream:
        heard, last_read = Heard(stream.reply()), 0
        async for event in stream.events():
            if event.event != "text.delta" and not chat_text(event.data):
                continue
            heard.pieces += 1
            if heard.first_s is None:
                heard.first_s = event.after_s
                if calls_before is not None:
                    heard.ended_before_first = await target.twin.simulator.calls() > calls_before
            if event.read != last_read:
                heard.reads += 1
            last_read, heard.last_s = event.read, event.after_s
        heard.end_s = stream.seconds
        heard.reply = stream.reply()
    return heard


def told(heard: Heard) -> str:
    """In words for a report."""
    if heard.first_s is None:
        return f"no text, end after {heard.end_s:.2f} s"
    return (
        f"first text after {heard.first_s:.2f} s, end after {heard.end_s:.2f} s, "
        f"{heard.pieces} pieces in {heard.reads} reads"
    )
