"""What do clients see when the server goes away under them? One stream over a kill; runs that a stop hands over."""

import asyncio

from msgspec import Struct, json

from golive.checklist.crash import (
    CATCH_S,
    LOOK_S,
    Caught,
    Place,
    Stage,
    at_rest,
    back,
    begin,
    catch,
    first_new_s,
    gone,
    has,
    impossible,
    kill,
    last_is,
    reach,
    staged,
    tell,
    wrong,
)
from golive.checklist.http import Reply, Unreachable
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.core.errors import ShuttingDown
from golive.core.tasks import Tasks
from golive.sim.script import FOREVER, Script

KILL_AFTER = 14
"""Pieces of text: some of what the client has is durable then, and some is not."""
PACE_MS = 30.0
"""Between words before the kill."""
PACE_AFTER_MS = 5.0


class _Told(Struct):
    """What an event says: of a piece of text, of one that is taken back, or of an error."""

    item: str = ""
    text: str = ""
    length: int | None = None
    pos: int | None = None
    code: str = ""


class Client:
    """A client of one run that does as the stream tells it, over all its connections."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.names: list[str] = []
        self.error = ""
        self.faults: list[str] = []
        self._pieces: list[tuple[int, str, str]] = []
        """Where each ends in the stream, its item, its text."""

    @property
    def text(self) -> str:
        """What it shows."""
        return "".join(text for _, _, text in self._pieces)

    @property
    def finished(self) -> bool:
        """Whether it was told the run's end."""
        return "run.finished" in self.names

    async def follow(self, twin: Twin, run: str, *, stop_after: int | None = None, timeout_s: float = 20.0) -> Reply:
        """Follows the run from where it stands, until the stream ends or breaks, or so much time or text has come."""
        pieces = 0
        last_id = self.ids[-1] if self.ids else ""
        async with twin.stream("GET", f"/v1/runs/{run}/events", last_id=last_id, timeout_s=timeout_s) as stream:
            try:
                async for event in stream.events():
                    self._hear(event.id, event.event, json.decode(event.data or b"{}", type=_Told))
                    pieces += event.event == "text.delta"
                    if pieces == stop_after:
                        break
            except Unreachable:  # cut, or too slow: what came is what counts
                pass
            return stream.reply()

    def _hear(self, event_id: str, name: str, told: _Told) -> None:
        if name == "error":
            self.error = told.code
            return
        self._count(event_id, name, told)
        self.names.append(name)
        self.ids.append(event_id)
        if name == "text.delta":
            self._pieces.append((_place(event_id)[1], told.item, told.text))
        elif name == "text.reset" and told.length is not None:
            self._cut_item(told.item, told.length)

    def _count(self, event_id: str, name: str, told: _Told) -> None:
        """Each event follows the one before: text by its length, anything else by one."""
        if not self.ids:
            return
        before, here = _place(self.ids[-1]), _place(event_id)
        length = len(told.text) if name == "text.delta" else 1
        if told.pos is not None:  # what follows begins there again, as a crash took the rest
            self._pieces = [piece for each in self._pieces if (piece := _until(each, told.pos)) is not None]
        elif here <= before:
            self.faults.append(f"{name} {event_id} came after {self.ids[-1]}")
        elif here[1] - before[1] > length:
            self.faults.append(f"{here[1] - before[1] - length} characters or events are missing before {event_id}")

    def _cut_item(self, item: str, length: int) -> None:
        kept = []
        for end, of, text in self._pieces:
            if of != item:
                kept.append((end, of, text))
            elif length > 0:
                kept.append((end, of, text[:length]))
                length -= len(text)
        self._pieces = kept


def _place(event_id: str) -> tuple[int, int]:
    epoch, _, pos = event_id.partition("-")
    return int(epoch), int(pos)


def _until(piece: tuple[int, str, str], pos: int) -> tuple[int, str, str] | None:
    end, item, text = piece
    if end <= pos:
        return piece
    left = text[: max(0, len(text) - (end - pos))]
    return (pos, item, left) if left else None


@check(
    "RT-9.stream",
    row="RT-9",
    title="A client that follows a run over kill -9 and restart has one stream: nothing lost, nothing twice",
    phase="resilience",
    severity="blocker",
    needs={"inject", "process", "store", "golive", "agent"},
    where="effecting",
    remediation="Let clients come back with Last-Event-ID, and obey text.reset; let no proxy drop or answer events.",
)
async def streams(target: Target) -> Result:
    """Killed after a tool, in mid-answer; the client comes back, and another one reads all of it from the beginning."""
    found = Finding("0 events lost, 0 twice; text as the run's own; the same read from the beginning")
    if why := impossible(target):
        return found.unknown(why)
    stage = await staged(target)
    if stage.text is None:
        return found.unknown("the agent's answers follow a schema, and are over too soon to be met in the middle")
    twin = stage.twin
    script = stage.asks(stage.use("idempotent"), then=stage.answer(PACE_MS))
    caught = await begin(stage, "under a reader", script, 1)
    client, late = Client(), Client()
    found.saw(twin.http.evidence(await client.follow(twin, caught.run, stop_after=KILL_AFTER), "before the kill"))
    await reach(stage, caught, has("text.block"))
    shown_chars = len(client.text)
    faults = await kill(stage)
    await twin.simulator.play(stage.asks(stage.use("idempotent"), then=stage.answer(PACE_AFTER_MS)))
    since = await back(twin)
    came_back = twin.clock.monotonic()
    found.saw(twin.http.evidence(await client.follow(twin, caught.run), "after it, from the last event that it had"))
    seconds = twin.clock.monotonic() - came_back
    await late.follow(twin, caught.run)
    await at_rest(twin, [caught])
    text = str(caught.view.get("text"))
    for name, each in (("it", client), ("one from the beginning", late)):
        faults += each.faults[:2]
        if not each.finished:
            faults.append(f"{name} was not told the run's end")
        elif each.text != text:
            faults.append(f"{name} shows {len(each.text)} characters that are not the {len(text)} of the run")
    faults += list(wrong(stage, caught, stage.text))
    first = first_new_s([caught], since)
    found.measured = (
        f"killed after {shown_chars} characters; the rest of {len(text)} in {seconds:.2f} s from the return, over "
        f"{len({_place(each)[0] for each in client.ids})} epochs, {client.names.count('text.reset')} resets; first new "
        f"event {f'{first[0]:.2f} s after ready, {first[1]:.2f} s after exec' if first else 'none'}"
    )
    await tell(stage, found, caught)
    return found.failed("; ".join(faults[:4])) if faults else found.passed()


@check(
    "RT-9.handover",
    row="RT-9",
    title="SIGTERM lets go of open runs: readers are told, none ends, and the next start goes on with them",
    phase="resilience",
    severity="blocker",
    needs={"inject", "process", "store", "golive", "agent"},
    where="effecting",
    remediation="Give the process server.drain_s and some seconds before anything kills it (its grace period).",
)
async def hands_over(target: Target) -> Result:
    """A silent model, an answer half said, and a tool at work; two signals, as the drain is not what is tried here."""
    found = Finding("exit code 0, readers told, no run ended by the stop; then every run completed, each effect once")
    if why := impossible(target):
        return found.unknown(why)
    stage = await staged(target)
    twin = stage.twin
    runs = await _open(stage)
    client = Client()
    async with Tasks("a reader") as tasks:
        tasks.start(client.follow(twin, runs[1].run), "follows")
        async with asyncio.timeout(CATCH_S):
            while not client.ids:  # noqa: ASYNC110 - it listens on a connection of its own
                await asyncio.sleep(LOOK_S)
        await twin.process.stop()
    code, faults = twin.process.exit_code, await gone(stage)
    await twin.simulator.play(stage.asks(stage.use("status")))
    since = await back(twin)
    await at_rest(twin, runs)
    if code != 0:
        faults.append(f"the server ended with code {code}")
    if client.error != ShuttingDown.code:
        faults.append(f"a reader was told {client.error or 'nothing'} instead of {ShuttingDown.code}")
    for caught in runs:
        faults += list(wrong(stage, caught, stage.text))
        if not caught.boundaries():
            faults.append(f"the run caught {caught.place} was not handed over")
    first = first_new_s(runs, since)
    whole = sum(caught.view.get("outcome") == "completed" for caught in runs)
    found.measured = (
        f"{whole} of {len(runs)} runs handed over and completed, at "
        f"{', '.join(place for caught in runs for place in caught.boundaries()) or 'no boundary'}; first new event "
        f"{f'{first[0]:.2f} s after ready, {first[1]:.2f} s after exec' if first else 'none'}"
    )
    for caught in runs[1:]:
        await tell(stage, found, caught)
    return found.failed("; ".join(faults[:4])) if faults else found.passed()


async def _open(stage: Stage) -> list[Caught]:
    half, half_said = stage.half()
    return await catch(
        stage,
        Place("before any answer", Script(hang_ms=FOREVER), last_is("model.started")),
        Place("in mid-answer", stage.asks(stage.use("idempotent"), then=half), half_said),
        Place("after the effect of a tool", stage.asks(stage.use("status", "after")), last_is("tool.started"), "after"),
    )
