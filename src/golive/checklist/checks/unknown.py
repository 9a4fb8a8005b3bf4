"""What becomes of a call whose outcome nobody knows, because its server was killed in the middle of it?

As each tool declares: its status function is asked, or it is called again under the same key, or a person decides.
"""

from typing import Any, NamedTuple

from golive.checklist.crash import (
    Caught,
    Place,
    Stage,
    at_rest,
    back,
    catch,
    impossible,
    kill,
    last_is,
    shown,
    staged,
    tell,
    wrong_effects,
)
from golive.checklist.ledger import Pause, Way
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.config.schema import ToolConfig

SAID = "It was carried out; the receipt is in the drawer."
"""What the model is told of a call of which a person says that it was done."""


class _Case(NamedTuple):
    """A call that is caught in its pause. `begun`, `done`: how often, in the end. `choice`: the person's."""

    way: Way
    pause: Pause
    begun: int
    done: int
    choice: str = ""

    @property
    def place(self) -> str:
        """In words."""
        decided = f", decided as {self.choice}" if self.choice else ""
        return f"{self.pause} the effect of a tool that declares {self.way}{decided}"


CASES = (
    _Case("status", "before", 2, 1),
    _Case("status", "after", 1, 1),
    _Case("idempotent", "before", 2, 1),
    _Case("idempotent", "after", 2, 1),
    _Case("nothing", "after", 1, 1, "done"),
    _Case("nothing", "before", 2, 1, "again"),
    _Case("nothing", "before", 1, 0, "skip"),
)


@check(
    "RT-8.unknown",
    row="RT-8",
    title="A call that a crash caught is asked for, repeated under its key, or decided by a person, as is declared",
    phase="resilience",
    severity="blocker",
    needs={"inject", "process", "store", "golive", "agent"},
    where="effecting",
    remediation="Declare `status` or `idempotent` in [tools.NAME] where it is true; decide with `golive runs decide`.",
)
async def unknown_outcome(target: Target) -> Result:
    """Every way of declaring, killed before the effect and after it; a person decides about what declares nothing."""
    found = Finding("each call carried out as declared, at most once; undeclared ones wait until a person decides")
    if why := impossible(target):
        return found.unknown(why)
    stage = await staged(target)
    found.saw(shown(stage))
    places = [
        Place(case.place, stage.asks(stage.use(case.way, case.pause)), last_is("tool.started"), case.pause)
        for case in CASES
    ]
    runs = await catch(stage, *places)
    faults = await kill(stage)
    await stage.twin.simulator.play(stage.asks(stage.use("status")))
    await back(stage.twin)
    await at_rest(stage.twin, runs)
    waited = 0
    for case, caught in zip(CASES, runs, strict=True):
        if case.choice:
            wrong = await _decide(stage, case, caught, found)
            waited += not wrong
            faults += [f"the run caught {case.place} {wrong}"] if wrong else []
    await at_rest(stage.twin, [caught for caught in runs if not caught.view.get("outcome")])
    told = [_told(stage, case, caught) for case, caught in zip(CASES, runs, strict=True)]
    for case, caught in zip(CASES, runs, strict=True):
        faults += list(wrong_effects(stage, caught)) + _wrong(target, stage, case, caught)
    found.measured = f"{waited} of {sum(bool(case.choice) for case in CASES)} waited for a person; {'; '.join(told)}"
    shown_runs = [each for each in runs if any(each.place in fault for fault in faults)] or runs[-1:]
    for caught in shown_runs[:2]:
        await tell(stage, found, caught)
    return found.failed("; ".join(faults[:4])) if faults else found.passed()


async def _decide(stage: Stage, case: _Case, caught: Caught, found: Finding) -> str:
    """Looks whether the run waits, and makes the choice; what is wrong about that, empty: nothing."""
    twin = stage.twin
    asked: list[dict[str, Any]] = caught.view.get("decisions") or []
    if [one.get("about") for one in asked] != ["unknown_effect"]:
        return f"waits for no decision: it stands at {caught.outcome}"
    again = len([entry for entry in twin.ledger.entries(caught.run) if entry.what == "begun"]) - 1
    if again:
        return f"called its tool {again} more times before anybody had decided"
    listed = (await twin.send("GET", f"/v1/decisions?run={caught.run}&pending=true")).json()
    if [one.get("id") for one in listed.get("data", [])] != [asked[0]["id"]]:
        return "waits for a decision that GET /v1/decisions does not list"
    body = {"choice": case.choice} | ({"content": SAID} if case.choice == "done" else {})
    reply = await twin.send("POST", f"/v1/runs/{caught.run}/decisions/{asked[0]['id']}", body)
    found.saw(twin.http.evidence(reply, f"the run caught {case.place}: {asked[0].get('question')}"))
    caught.view = {}
    return "" if reply.status == 200 else f"takes no decision: HTTP {reply.status}"


def _counts(stage: Stage, caught: Caught) -> tuple[int, int, int]:
    what = [entry.what for entry in stage.twin.ledger.entries(caught.run)]
    return what.count("begun"), what.count("done"), what.count("asked")


def _told(stage: Stage, case: _Case, caught: Caught) -> str:
    begun, done, asked = _counts(stage, caught)
    return f"{case.place}: called {begun}x, carried out {done}x, asked for {asked}x, {caught.outcome}"


def _wrong(target: Target, stage: Stage, case: _Case, caught: Caught) -> list[str]:
    named = f"the run caught {case.place}"
    settings = target.twin.loaded.agents[str(target.agent)].config.tools.get(stage.tools[case.way], ToolConfig())
    wanted = "partial" if case.choice == "skip" and settings.critical else "completed"
    if caught.view.get("outcome") != wanted:
        return [f"{named} stands at {caught.outcome}"]
    faults = []
    begun, done, asked = _counts(stage, caught)
    if (begun, done) != (case.begun, case.done):
        faults.append(
            f"{named} called its tool {begun}x and carried it out {done}x, instead of {case.begun}x and {case.done}x"
        )
    if case.way == "status" and not asked:
        faults.append(f"{named} did not ask for the status")
    results = [event["body"] for event in caught.events if event["kind"] == "tool.finished"]
    if case.choice == "done" and [result["content"] for result in results] != [SAID]:
        faults.append(f"{named} was told {[result['content'] for result in results]} instead of what a person said")
    return faults
