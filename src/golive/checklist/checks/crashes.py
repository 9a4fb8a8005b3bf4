"""Do runs survive the death of their server? Killed at many places at once, and twice; stopped; and followed meanwhile.

In the twin used here stand-ins enter their effects into a file (`ledger.py`), under the agent's own names and settings
of its tools where it has such tools; nothing of the user's is called.
"""

from collections import Counter

from golive.checklist.crash import (
    Back,
    Caught,
    Place,
    Stage,
    at_rest,
    back,
    begin,
    catch,
    first_new_s,
    has,
    impossible,
    kill,
    last_is,
    reach,
    shown,
    staged,
    tell,
    wrong,
)
from golive.checklist.ledger import Pause
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.sim.script import FOREVER, Script

SWARM = 8
"""Runs that are under way, unheld, when the server dies: they are met wherever they are."""
SWARM_MS = 30.0
"""What each wait of theirs takes."""
PACE_MS = 20.0
"""Between words of those that go on after the first crash, so that the second one finds them at work."""
FEWEST = 5
"""Boundaries; fewer are no proof."""
CONVERSATION = "golive-check-crash"


def _places(stage: Stage, queue: bool, side_by_side: bool) -> list[Place]:
    """Those that need a worker's thread for good come last."""
    status, idempotent = stage.use("status"), stage.use("idempotent")
    silent, (half, half_said) = Script(hang_ms=FOREVER), stage.half()
    places = [
        Place("at its end", stage.asks(status), has("run.finished")),
        Place("after its tool", stage.asks(idempotent, then=silent), has("model.started", 2)),
        Place("in mid-answer", stage.asks(status, then=half), half_said),
        Place("before any answer", silent, last_is("model.started"), conversation=CONVERSATION),
    ]
    if queue:
        places.append(Place("in a queue", silent, has("run.accepted"), conversation=CONVERSATION))
    pauses: tuple[Pause, ...] = ("before", "after")
    for pause in pauses:
        for way in ("status", "idempotent"):
            name = f"{pause} the effect of a tool that declares {way}"
            script = stage.asks(stage.use(way, pause))
            places.append(Place(name, script, last_is("tool.started"), pause))
    if side_by_side:
        script = stage.asks(idempotent, stage.use("status", "after"))
        places.append(Place("with one of two tools done", script, has("tool.finished"), "after", calls=2))
    return places


@check(
    "RT-9.kill",
    row="RT-9",
    title="kill -9 of the server at many places of its runs, and again: each goes on to its end, no effect comes twice",
    phase="resilience",
    severity="blocker",
    needs={"inject", "process", "store", "golive", "agent"},
    where="effecting",
    remediation="Declare `idempotent` or `status` for tools; keep the store on a disk that honours fsync.",
)
async def killed(target: Target) -> Result:
    """Held at known places, and a swarm that is not; after the restart all go on, and are killed once more."""
    found = Finding("every run completed with the whole text; each effect once, none that is said to be done missing")
    if why := impossible(target):
        return found.unknown(why)
    stage = await staged(target)
    found.saw(shown(stage))
    twin = stage.twin
    runs = await _caught(stage)
    faults = await kill(stage)
    await twin.simulator.play(stage.asks(stage.use("status"), then=stage.answer(PACE_MS)))
    times = [await back(twin)]
    open_run = next(caught for caught in runs if caught.place == "in mid-answer")
    await reach(stage, open_run, lambda events: bool(events) and events[-1]["epoch"] > 1)
    faults += await kill(stage)
    await twin.simulator.play(stage.asks(stage.use("status")))
    times.append(await back(twin))
    await at_rest(twin, runs)
    text = str(runs[0].view.get("text")) if runs[0].view.get("outcome") else None
    for caught in runs:
        faults += list(wrong(stage, caught, text))
    shown_runs = [each for each in runs if any(each.place in fault for fault in faults)] or [open_run]
    for caught in shown_runs[:2]:
        await tell(stage, found, caught)
    return _verdict(found, runs, times, faults)


def _verdict(found: Finding, runs: list[Caught], times: list[Back], faults: list[str]) -> Result:
    met = Counter(place for caught in runs for place in caught.boundaries())
    whole = sum(caught.view.get("outcome") == "completed" for caught in runs)
    first = [first_new_s(runs, since) for since in times]
    after = "; ".join(
        "no new event" if each is None else f"first new event {each[0]:.2f} s after ready, {each[1]:.2f} s after exec"
        for each in first
    )
    places = ", ".join(f"{place} {times}x" if times > 1 else place for place, times in met.most_common())
    found.measured = (
        f"{whole} of {len(runs)} runs completed; 2 kills met them {met.total()} times at {len(met)} boundaries "
        f"({places}); {after}"
    )
    if faults:
        return found.failed("; ".join(faults[:4]))
    if len(met) < FEWEST:
        return found.warned(f"the kills met runs at {len(met)} boundaries, fewer than {FEWEST}")
    return found.passed()


async def _caught(stage: Stage) -> list[Caught]:
    """Runs at their places, each held there, and a swarm that goes on by itself."""
    loaded = stage.twin.loaded
    limits = loaded.agents[str(stage.twin.agent)].config.limits
    places = _places(stage, loaded.config.server.conversation_queue > 0, limits.max_tool_calls_per_step > 1)
    runs = await catch(stage, *places)
    paced = Script(text=stage.text, first_token_ms=SWARM_MS, pace_ms=SWARM_MS / 5)
    swarm = Script(turns=(Script(tool_calls=(stage.use("idempotent"),), first_token_ms=SWARM_MS), paced))
    return runs + [await begin(stage, f"on its way ({number + 1})", swarm, 1) for number in range(SWARM)]
