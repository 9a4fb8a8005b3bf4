"""What the drills of crashes share: runs that are caught where a script holds them, and what became of them.

Where a run was when its server died is never assumed: its journal says it, by the last event of each epoch.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from golive.checklist.drill import course, noted
from golive.checklist.http import Unreachable
from golive.checklist.ledger import ARGUMENT, Pause, Way, chosen
from golive.checklist.results import Evidence, Finding
from golive.checklist.target import Target, need_agent
from golive.checklist.twin import Twin
from golive.core.errors import GoliveError
from golive.sim.script import FOREVER, Script, ToolUse

LOOK_S = 0.02
CATCH_S = 3.0
"""Longest wait for a run to reach its place; it is caught where it is then."""
GIVE_UP_S = 15.0
"""Longest wait for what a server has taken over, beyond the text that it still has to say."""
WORKERS_S = 5.0
"""Longest wait for the workers of a dead server to be gone."""
STALL_AFTER = 10
"""Words after which an answer stands still that is to be caught."""

CUT = "model.cut"
"""Why runs end whose answers may not be gone on with."""

Events = list[dict[str, Any]]
Reached = Callable[[Events], bool]


class Stage(NamedTuple):
    """A twin whose tools enter their effects into a file, and the tool that stands for each way of declaring."""

    twin: Twin
    tools: dict[Way, str]

    def use(self, way: Way, pause: Pause = "never") -> ToolUse:
        """A call of the tool."""
        return ToolUse(self.tools[way], {ARGUMENT: pause})

    def asks(self, *uses: ToolUse, then: Script | None = None) -> Script:
        """A model that calls tools and then answers."""
        return Script(turns=(Script(tool_calls=uses), then or self.answer()))

    @property
    def text(self) -> str | None:
        """What the model answers; None: what the agent's schema asks for."""
        return course(self.twin).text

    @property
    def breaks(self) -> bool:
        """Whether an answer that breaks off ends its run, as the tier has it."""
        return course(self.twin).tier.on_break == "fail"

    def answer(self, pace_ms: float = 0.0) -> Script:
        """The model's answer."""
        return Script(text=self.text, pace_ms=pace_ms)

    def half(self, for_ms: float = FOREVER) -> tuple[Script, "Reached"]:
        """An answer that stands still in the middle, and how the journal tells; at its beginning where it is short."""
        if self.text is None:
            return Script(hang_ms=for_ms), has("model.started", 2)
        script = Script(text=self.text, pace_ms=2.0, stall_after=STALL_AFTER, stall_ms=for_ms)
        return script, has("text.block")


class Caught(Struct):
    """A run that was begun to be caught. `calls`: how many calls of tools it makes, whatever happens."""

    place: str
    run: str
    calls: int
    view: dict[str, Any] = {}
    events: Events = []

    @property
    def outcome(self) -> str:
        """How it ended, or where it stands."""
        ended = self.view.get("outcome")
        return f"{ended} ({self.view.get('reason')})" if ended else str(self.view.get("state", "gone"))

    def boundaries(self) -> list[str]:
        """The last event before each crash that met the run."""
        return [
            f"{event['kind']} of step {event['body']['step']}" if "step" in event["body"] else str(event["kind"])
            for event, following in zip(self.events, self.events[1:], strict=False)
            if following["epoch"] > event["epoch"]
        ]


class Place(NamedTuple):
    """Where a run is to be caught. `calls`: how many calls of tools it makes; `pause`: of its last one."""

    name: str
    script: Script
    reached: Reached
    pause: Pause = "never"
    calls: int = 1
    conversation: str = ""


def impossible(target: Target) -> str:
    """Why no run can be caught at a tool; empty where one can."""
    if target.twin.loaded.agents[need_agent(target)].config.limits.max_steps < 2:
        return "limits.max_steps is 1: the model has no turn left to answer in once a tool was called"
    return ""


async def own_tools(target: Target) -> list[str]:
    """The agent's tools, as the running twin tells them."""
    return [str(tool["name"]) for tool in (await target.card())["tools"]]


async def staged(target: Target) -> Stage:
    """The stage of a target; nobody pauses on it yet."""
    names = await own_tools(target)
    return set_up(target, await target.twin.effecting(names), names)


def set_up(target: Target, twin: Twin, names: Sequence[str]) -> Stage:
    """A twin with stand-ins for these tools as a stage."""
    twin.ledger.release()
    return Stage(twin, chosen(target.twin.loaded.agents[need_agent(target)].config, names))


def shown(stage: Stage) -> Evidence:
    """What was called in place of the agent's tools."""
    path = f"agents/{stage.twin.agent}/tools.py"
    text = (stage.twin.folder / path).read_text(encoding="utf-8")
    names = ", ".join(f"{name} (declares {way})" for way, name in stage.tools.items())
    return noted(stage.twin, f"{path} of the twin, in which these enter their effects into a file: {names}", text)


# ---- before the crash ------------------------------------------------------------------------------------------------


async def begin(stage: Stage, place: str, script: Script, calls: int, **fields: object) -> Caught:
    """Begins a run under the script, for nobody in particular to wait for.

    Raises:
        GoliveError: the server refuses it.
    """
    twin = stage.twin
    await twin.simulator.play(script)
    body = {"input": twin.question("Please see to it."), "background": True, **fields}
    reply = await twin.send("POST", f"/v1/agents/{twin.agent}/runs", body)
    found = reply.json()
    if reply.status >= 300 or not isinstance(found, dict):
        raise GoliveError(f"a run is refused: HTTP {reply.status}, {reply.body[:300].decode('utf-8', 'replace')}")
    return Caught(place, str(found["run"]), calls)


async def catch(stage: Stage, *places: Place) -> list[Caught]:
    """Begins a run for each place, one after the other, and waits until it is there; tools pause from now on."""
    stage.twin.ledger.hold()
    runs = []
    for place in places:
        fields = {"conversation_id": place.conversation} if place.conversation else {}
        caught = await begin(stage, place.name, place.script, place.calls, **fields)
        await reach(stage, caught, place.reached, place.pause)
        runs.append(caught)
    return runs


async def reach(stage: Stage, caught: Caught, reached: Reached, pause: Pause = "never") -> None:
    """Waits until the run's journal says so, and its tool is in its pause; for `CATCH_S` at most each."""
    twin = stage.twin
    end = twin.clock.monotonic() + CATCH_S
    while twin.clock.monotonic() < end:
        events = (await twin.journal(caught.run))[1]
        if reached(events):
            if pause != "never":
                await _in_pause(stage, caught, pause)
            return
        if has("run.finished")(events):
            return
        await asyncio.sleep(LOOK_S)


def last_is(*kinds: str) -> Reached:
    """The newest event is one of these."""
    return lambda events: bool(events) and events[-1]["kind"] in kinds


def has(kind: str, times: int = 1) -> Reached:
    """There are so many events of the kind."""
    return lambda events: sum(event["kind"] == kind for event in events) >= times


async def _in_pause(stage: Stage, caught: Caught, pause: Pause) -> None:
    """Waits until the run's last call is in its pause, as the file says."""
    wanted = "begun" if pause == "before" else "done"
    end = stage.twin.clock.monotonic() + CATCH_S
    while stage.twin.clock.monotonic() < end:
        if [entry for entry in stage.twin.ledger.entries(caught.run) if entry.what == wanted]:
            return
        await asyncio.sleep(LOOK_S)


# ---- the crash, and after it -----------------------------------------------------------------------------------------


async def kill(stage: Stage) -> list[str]:
    """SIGKILL to the server; returns once its workers are gone, too: what is wrong, as some are not."""
    await stage.twin.process.kill()
    return await gone(stage)


async def gone(stage: Stage) -> list[str]:
    """Waits for the workers of a server that has ended, and lets nobody pause any more; what is wrong, as some stay."""
    end = stage.twin.clock.monotonic() + WORKERS_S
    while alive := stage.twin.ledger.alive():
        if stage.twin.clock.monotonic() >= end:
            break
        await asyncio.sleep(LOOK_S)
    stage.twin.ledger.release()
    return [f"workers {alive} outlived their server by {WORKERS_S:g} s"] if alive else []


class Back(NamedTuple):
    """A server that was started again. Seconds since the epoch."""

    exec_at: float
    ready_at: float


async def back(twin: Twin) -> Back:
    """Starts the server again."""
    exec_at = twin.clock.now()
    await twin.process.start()
    return Back(exec_at, twin.clock.now())


async def at_rest(twin: Twin, runs: Sequence[Caught]) -> None:
    """Waits until each run has ended or waits for a person, for `GIVE_UP_S` at most; notes how each stands."""
    end = twin.clock.monotonic() + GIVE_UP_S
    left = list(runs)
    while left and twin.clock.monotonic() < end:
        for caught in list(left):
            await look(twin, caught)
            if caught.view.get("outcome") or caught.view.get("decisions"):
                left.remove(caught)
        await asyncio.sleep(LOOK_S)
    for caught in runs:
        caught.events = (await twin.journal(caught.run))[1]


async def look(twin: Twin, caught: Caught) -> None:
    """How the run stands."""
    try:
        found = (await twin.send("GET", f"/v1/runs/{caught.run}")).json()
    except Unreachable:
        return
    caught.view = found if isinstance(found, dict) else {}


def first_new_s(runs: Sequence[Caught], since: Back) -> tuple[float, float] | None:
    """How long after the server was ready, and after it was started, it added the first event; None: it added none."""
    later = [event["at"] for caught in runs for event in caught.events if event["at"] >= since.exec_at]
    return (max(0.0, min(later) - since.ready_at), min(later) - since.exec_at) if later else None


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def wrong(stage: Stage, caught: Caught, text: str | None) -> Iterator[str]:
    """What is not as it must be of a run that went on after a crash; `text`: what it must say, None: not known."""
    named = f"the run caught {caught.place}"
    if stage.breaks and (caught.view.get("outcome"), caught.view.get("reason")) == ("partial", CUT):
        if text is not None and not text.startswith(str(caught.view.get("text"))):
            yield f"{named} keeps what is no part of the answer"
    elif caught.view.get("outcome") != "completed":
        yield f"{named} stands at {caught.outcome}"
    elif text is not None and caught.view.get("text") != text:
        said = str(caught.view.get("text"))
        yield f"{named} says {len(said)} characters that are not the {len(text)} of the answer"
    yield from wrong_effects(stage, caught)


def wrong_effects(stage: Stage, caught: Caught) -> Iterator[str]:
    """Effects that came twice, or that the run says are done and are not; and calls under several keys."""
    named = f"the run caught {caught.place}"
    entries = stage.twin.ledger.entries(caught.run)
    done = [entry.key for entry in entries if entry.what == "done"]
    keys = {entry.key for entry in entries}
    if len(done) > caught.calls:
        yield f"{named} had {len(done)} effects of {caught.calls} calls"
    if len(keys) > caught.calls:
        yield f"{named} made {caught.calls} calls under {len(keys)} keys"
    for event in caught.events:
        body = event["body"]
        if event["kind"] == "tool.finished" and body.get("ok") and body["key"] not in done:
            yield f"{named} says that {body['name']} was carried out, and it was not"


async def tell(stage: Stage, found: Finding, caught: Caught) -> None:
    """The run's journal, and the entries of its tools, as evidence."""
    journal, _ = await stage.twin.journal(caught.run)
    found.saw(journal)
    found.saw(noted(stage.twin, f"effects of the run caught {caught.place}", stage.twin.ledger.text(caught.run)))
