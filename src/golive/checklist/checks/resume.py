"""Does a stream that was cut go on where it stopped? Cut in the middle of a step, and in the middle of a word."""

from msgspec import Struct, json

from golive.checklist.http import Reply
from golive.checklist.registry import check
from golive.checklist.results import Evidence, Finding, Result
from golive.checklist.target import Target, need_agent
from golive.sim.script import Script

WORDS = "The ferry to Ærø left at dawn; gulls 🐦 followed, coffee was poured, and nobody spoke until the island rose. "
TEXT = WORDS * 4
PACE_MS = 15.0
CUT_AFTER = (8, 12)
"""Pieces of text after which the first and the second connection is cut."""


class _Heard(Struct):
    """Text and ids over all connections."""

    text: str = ""
    ids: list[str] = []
    sizes: list[int] = []
    finished: bool = False


class _Delta(Struct):
    text: str = ""


@check(
    "GW-1.resume",
    row="GW-1",
    title="A stream cut in the middle resumes by Last-Event-ID without loss or repetition",
    phase="serving",
    severity="blocker",
    needs={"golive", "agent"},
    remediation="Let Last-Event-ID through to the server, and no proxy answer or drop events in its place.",
    references=("https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header",),
)
async def resumes(target: Target) -> Result:
    """Two cuts while the step runs; then the joined text must be the run's own. Last, from inside a finished word."""
    agent = need_agent(target)
    if "inject" in target.handles:
        await target.twin.simulator.play(Script(text=TEXT, pace_ms=PACE_MS))
    heard = _Heard()
    body = {
        "input": target.question("Tell me of the ferry, at some length."),
        "stream": True,
        "on_disconnect": "continue",
    }
    path = f"/v1/agents/{agent}/runs"
    first = await _read(target, heard, "POST", path, body, stop_after=CUT_AFTER[0])
    run = first.headers.get("x-request-id", "")
    found = Finding("0 characters lost, 0 repeated")
    found.saw(target.http.evidence(first, f"cut by us after {len(heard.text)} characters"))
    if first.status != 200 or not heard.ids:
        return found.failed(f"no stream to cut: HTTP {first.status}")
    events = f"/v1/runs/{run}/events"
    cuts = 1
    for stop_after in (CUT_AFTER[1], None):
        if not heard.finished:
            reply = await _read(target, heard, "GET", events, None, stop_after=stop_after)
            found.saw(target.http.evidence(reply, f"joined so far: {len(heard.text)} characters"))
            cuts += stop_after is not None
    whole, asked = await _whole(target, run)
    found.saw(asked)
    faults = _differences(heard, whole)
    if not faults and max(heard.sizes) > 1:
        tail, expected, again = await _inside_a_piece(target, events, heard)
        found.saw(again)
        if tail != expected:
            faults.append(f"resumed inside a piece: got {len(tail)} characters where {len(expected)} were left")
    told = "; ".join(faults)
    found.measured = f"{cuts} cuts, {len(whole)} characters, {told or '0 lost, 0 repeated'}"
    return found.failed(told) if faults else found.passed()


async def _read(
    target: Target, heard: _Heard, method: str, path: str, body: object, *, stop_after: int | None
) -> Reply:
    """Adds what a connection brings, from where `heard` stands; cuts it after so many pieces of text."""
    pieces = 0
    async with target.stream(method, path, body, last_id=heard.ids[-1] if heard.ids else "") as stream:
        async for event in stream.events():
            if event.event == "text.delta":
                text = json.decode(event.data, type=_Delta).text
                heard.text += text
                heard.sizes.append(len(text))
                pieces += 1
            else:
                heard.sizes.append(0)
            heard.ids.append(event.id)
            heard.finished = heard.finished or event.event == "run.finished"
            if pieces == stop_after:
                break
        return stream.reply()


async def _whole(target: Target, run: str) -> tuple[str, Evidence]:
    """The run's text as the run itself tells it."""
    reply = await target.send("GET", f"/v1/runs/{run}")
    found = reply.json()
    text = str(found.get("text", "")) if isinstance(found, dict) else ""
    return text, target.http.evidence(reply, "the run's own text")


def _differences(heard: _Heard, whole: str) -> list[str]:
    faults = []
    if not heard.finished:
        faults.append("the stream ended without run.finished")
    if len(set(heard.ids)) < len(heard.ids):
        faults.append(f"{len(heard.ids) - len(set(heard.ids))} events came twice")
    if not whole:
        faults.append("the run has no text to compare with")
    elif heard.text != whole:
        at = next((n for n, (a, b) in enumerate(zip(heard.text, whole, strict=False)) if a != b), None)
        where = min(len(heard.text), len(whole)) if at is None else at
        faults.append(f"{len(heard.text) - len(whole):+d} characters, first difference at {where}")
    return faults


async def _inside_a_piece(target: Target, events: str, heard: _Heard) -> tuple[str, str, Evidence]:
    """Resumes one character before the end of a piece in the middle: what comes, and what must come."""
    candidates = [index for index, size in enumerate(heard.sizes) if size > 1]
    middle = candidates[len(candidates) // 2]
    epoch, _, pos = heard.ids[middle].partition("-")
    again = _Heard(ids=[f"{epoch}-{int(pos) - 1}"])
    reply = await _read(target, again, "GET", events, None, stop_after=None)
    left = 1 + sum(heard.sizes[middle + 1 :])
    return again.text, heard.text[-left:], target.http.evidence(reply, "resumed inside a piece")
