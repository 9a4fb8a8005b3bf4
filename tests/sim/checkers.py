"""What must hold in every world of runs, effects, money and breakers; of streams see `stream_checkers.py`."""

from collections import Counter
from typing import TYPE_CHECKING

from golive.core.errors import GoliveError
from golive.core.events import (
    CancelRequested,
    DecisionMade,
    DecisionRequested,
    RunFinished,
    ToolFinished,
    ToolStarted,
    decode_body,
)
from golive.models.gate import Gate
from golive.runtime.state import RunState
from tests.sim.checker import Checker, Violation, case_of
from tests.sim.database import Appended, Claimed
from tests.sim.effects import RULES, Effect
from tests.sim.providers import OPEN_S
from tests.sim.whose import TENANTS

if TYPE_CHECKING:
    from tests.sim.clients import Client


class Ends(Checker):
    """Every accepted run ends; what a client was told of exists."""

    name = "ends"

    def on_told_accepted(self, client: "Client", run: str) -> None:
        if not self.events(run):
            raise Violation(f"{client.name} was told of {run}, and the store knows no such run")

    def at_rest(self) -> None:
        for run in self.runs():
            events = self.events(run)
            if not events or events[-1].kind != "run.finished":
                last = events[-1].kind if events else "nothing"
                raise Violation(f"{run} never ended: its journal stands at {last} ({len(events)} events)")
        for client in self.world.clients:
            if client.run is not None and not client.finished:
                raise Violation(f"{client.name} never saw the end of {client.run}; it stands at {client.cursor}")


class Journal(Checker):
    """A journal has no gap, its epochs never go back, one end stands at its end, and at rest is who need not go on."""

    name = "journal"

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}
        self._ended: set[str] = set()

    def on_append(self, done: Appended) -> None:
        for event in done.events:
            seq, epoch = self._last.get(event.run, (0, 0))
            if event.seq != seq + 1:
                raise Violation(f"{event.run}: seq {event.seq} follows {seq}")
            if event.epoch < epoch:
                raise Violation(f"{event.run}: epoch {event.epoch} follows {epoch}")
            if event.run in self._ended:
                raise Violation(f"{event.run}: {event.kind} follows the end")
            self._last[event.run] = (event.seq, event.epoch)
            if event.kind == "run.finished":
                self._ended.add(event.run)
                if not done.at_rest:
                    raise Violation(f"{event.run} has ended and is not at rest")

    def at_rest(self) -> None:
        for run in self.runs():
            events = self.events(run)
            if [event.seq for event in events] != list(range(1, len(events) + 1)):
                raise Violation(f"{run}: the journal that is read is not the one that was written")
            if len(events) != self._last[run][0]:
                raise Violation(f"{run}: {self._last[run][0]} events were written, {len(events)} are there")


class Fence(Checker):
    """Nothing is written under an epoch that is over, and nobody's run is taken who lives."""

    name = "fence"

    def on_append(self, done: Appended) -> None:
        run = done.lease.run
        held = self.world.database.rows("SELECT epoch FROM leases WHERE run = ?", run)
        if held and held[0] != done.lease.epoch:
            raise Violation(f"{run}: {done.process} wrote under epoch {done.lease.epoch}, and {held[0]} holds it")

    def on_claim(self, done: Claimed) -> None:
        taken = sorted(lease.run for lease in done.leases if lease.run in done.living)
        if taken:
            raise Violation(f"{done.process} took over {taken}, whose holders live")


class Effects(Checker):
    """Nothing is done twice, nothing undone that was said to be done, and each intent is durable before its effect."""

    name = "effects"

    def __init__(self) -> None:
        self._refs: dict[tuple[str, str], Effect] = {}
        self._keys: dict[str, Effect] = {}

    def on_effect(self, effect: Effect) -> None:
        other = self._refs.setdefault((effect.tool, effect.ref), effect)
        if other is not effect:
            raise Violation(f"{effect.tool} {effect.ref} was done twice: under {other.key} and {effect.key}")
        other = self._keys.setdefault(effect.key, effect)
        if other is not effect:
            raise Violation(f"{effect.key} stands for {other.tool} {other.ref} and for {effect.tool} {effect.ref}")
        started = (body for event in self.events(effect.run) if isinstance(body := decode_body(event), ToolStarted))
        if effect.key not in {body.key for body in started}:
            raise Violation(f"{effect.tool} {effect.ref} was done before its intent under {effect.key} was durable")

    def at_rest(self) -> None:
        for run in self.runs():
            bodies = [decode_body(event) for event in self.events(run)]
            said_by_people = any(isinstance(body, DecisionMade) for body in bodies)
            for body in bodies:
                if isinstance(body, ToolFinished) and body.ok and body.name in RULES and not said_by_people:
                    self._was_done(run, body)
            self._all_told(run, [body for body in bodies if isinstance(body, ToolFinished)], bodies[-1])

    def _was_done(self, run: str, body: ToolFinished) -> None:
        key = body.key.removesuffix("/undo")
        if key not in self._keys:
            raise Violation(f"{run}: {body.name} under {body.key} is said to be done, and was not")

    def _all_told(self, run: str, finished: list[ToolFinished], last: object) -> None:
        """A whole answer rests on an outcome of every call."""
        case = case_of(self.world, self.events(run))
        if isinstance(last, RunFinished) and last.outcome == "completed" and case is not None:
            asked = sum(len(turn.calls) for turn in case[0].answers(case[1]))
            if len({body.key for body in finished}) != asked:
                raise Violation(f"{run} is completed with {len(finished)} outcomes of {asked} calls")


class Undone(Checker):
    """What was to be taken back is taken back, once, where a run says `cancelled`, or named; and nothing else is."""

    name = "undone"

    def at_rest(self) -> None:
        taken = Counter(effect.key for effect in self.world.beyond.undone)
        for key, times in taken.items():
            if times > 1:
                raise Violation(f"{key} was taken back {times} times")
        for run in self.runs():
            bodies = [decode_body(event) for event in self.events(run)]
            asked = any(isinstance(body, CancelRequested) and body.undo for body in bodies)
            end = bodies[-1] if isinstance(bodies[-1], RunFinished) and bodies[-1].outcome == "cancelled" else None
            for effect in self.world.beyond.done:
                if effect.run != run:
                    continue
                times = taken.pop(f"{effect.key}/undo", 0)
                if times and not (asked and RULES[effect.tool].undo):
                    raise Violation(f"{run}: {effect.tool} under {effect.key} was taken back, and nobody wanted that")
                if asked and end is not None and not times and self._due(effect, end):
                    raise Violation(f"{run}: {effect.tool} under {effect.key} stands, and the end does not name it")
        if taken:
            raise Violation(f"taken back was what was never done: {sorted(taken)}")

    def _due(self, effect: Effect, end: RunFinished) -> bool:
        """Whether it should have been taken back. Whoever cancels where the run's version is gone can take nothing
        back; and what came about by the death of a server only after the end nobody can know of."""
        named = any(part.kind == "undo" and part.name == effect.tool for part in end.missing)
        gone = any(one.kind == "deploy" for one in self.world.plan.faults)
        return RULES[effect.tool].undo and not named and not gone


class Schedules(Checker):
    """Each time of a schedule begins one run, whoever lives then; where no clock was wrong."""

    name = "schedules"

    def at_rest(self) -> None:
        if any(fault.kind == "clock" for fault in self.world.plan.faults):
            return
        begun = sum(b'"schedule":"report"' in self.events(run)[0].body for run in self.runs())
        due = int(self.world.loop.elapsed // 60)
        if not due - 1 <= begun <= due:
            raise Violation(f"{begun} runs of the schedule were begun, and it was due {due} times")


class Whole(Checker):
    """What is `completed` is whole: all that the model said, in order, and nothing else."""

    name = "whole"

    def at_rest(self) -> None:
        for run in self.runs():
            events = self.events(run)
            state = RunState.of(events)
            found = case_of(self.world, events)
            if state.finished is None or state.finished.outcome != "completed" or found is None:
                continue
            case, attempt = found
            meant = "\n\n".join(turn.text for turn in case.answers(attempt) if turn.text)
            if state.answer != meant:
                raise Violation(f"{run} is completed with {state.answer!r}, and {meant!r} was said")


class Money(Checker):
    """The ledger, the run's end and its row name the same amount."""

    name = "money"

    def at_rest(self) -> None:
        for run in self.runs():
            store = self.store_of(run)
            spent = self.world.database.now(store.spent(run))
            view = self.world.database.now(store.run(run))
            end = decode_body(self.events(run)[-1])
            assert isinstance(end, RunFinished)
            if view is None or not spent == view.cost_microusd == end.cost_microusd:
                row = None if view is None else view.cost_microusd
                raise Violation(f"{run} cost {end.cost_microusd} by its end, {row} by its row, {spent} by the ledger")


class Views(Checker):
    """The rows that lists show say what the journals say."""

    name = "views"

    def at_rest(self) -> None:
        for run in self.runs():
            store = self.store_of(run)
            state, view = RunState.of(self.events(run)), self.world.database.now(store.run(run))
            end = state.finished
            if view is None or end is None or (view.outcome, view.reason) != (end.outcome, end.reason):
                raise Violation(f"{run}: its row says {view and view.outcome}, its journal {end and end.outcome}")
            if (view.steps, view.output_tokens) != (state.steps, state.usage.output_tokens):
                raise Violation(f"{run}: its row counts {view.steps} steps, its journal {state.steps}")


class Tail(Checker):
    """Who reads the tail of all runs, now and then, sees every event once, each run's in order."""

    name = "tail"
    EVERY = 7

    def __init__(self) -> None:
        self._cursors = dict.fromkeys(TENANTS, "")
        self._count = 0
        self._seen: dict[str, int] = {}

    def on_append(self, done: Appended) -> None:
        self._count += 1
        if self._count % self.EVERY == 0:
            for tenant in TENANTS:
                self._read(tenant, 40)

    def _read(self, tenant: str, limit: int) -> bool:
        store = self.world.database.opened.tenant(tenant)
        events, self._cursors[tenant] = self.world.database.now(store.tail(self._cursors[tenant], limit))
        for event in events:
            if event.seq != self._seen.get(event.run, 0) + 1:
                raise Violation(f"the tail shows {event.run} seq {event.seq} after {self._seen.get(event.run, 0)}")
            self._seen[event.run] = event.seq
        return bool(events)

    def at_rest(self) -> None:
        for tenant in TENANTS:
            while self._read(tenant, 1_000):
                pass
        for run in self.runs():
            if self._seen.get(run) != len(self.events(run)):
                raise Violation(f"the tail never showed all of {run}")


class OwnFaults(Checker):
    """golive meets no fault of its own: what the world does to it are errors it knows."""

    name = "faults"

    def on_fault(self, process: str, run: str, error: BaseException) -> None:
        if not isinstance(error, GoliveError) or error.code in ("internal", "store.conflict"):
            raise Violation(f"{process}: {run} met {error!r}")

    def at_end(self) -> None:
        if self.world.loop.faults:
            raise Violation("; ".join(self.world.loop.faults[:3]))


class Breakers(Checker):
    """A breaker moves from closed to open, from open to half-open not before its time, from there to open or closed."""

    name = "breakers"
    LAWFUL = frozenset({("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed")})

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], float] = {}

    def on_gate(self, process: str, gate: Gate, before: str) -> None:
        now, key = gate.state.state, (process, gate.target)
        at = self.world.loop.time()
        if (before, now) not in self.LAWFUL:
            raise Violation(f"{process}: the breaker of {gate.target} moved from {before} to {now}")
        if before == "open" and at < self._opened[key] + OPEN_S - 0.001:
            raise Violation(f"{process}: the breaker of {gate.target} was open for {at - self._opened[key]:.3f} s only")
        if now == "open":
            self._opened[key] = at


class Webhooks(Checker):
    """Whoever asked to be told of ends and decisions was told of each, once by its id, and of nothing else."""

    name = "webhooks"

    def at_rest(self) -> None:
        found: dict[tuple[str, str | None], set[str]] = {}
        for told in self.world.office.told:
            found.setdefault((told.run, told.decision), set()).add(told.id)
        for run in self.runs():
            bodies = [decode_body(event) for event in self.events(run)]
            asked = [body.id for body in bodies if isinstance(body, DecisionRequested)]
            for decision in (None, *asked):
                ids = found.pop((run, decision), set())
                if len(ids) != 1:
                    what = f"decision {decision}" if decision else "end"
                    raise Violation(f"of the {what} of {run} the webhook was told under {len(ids)} ids: {sorted(ids)}")
        due = self.world.database.rows("SELECT id FROM outbox WHERE state <> 'sent'")
        if due:
            raise Violation(f"messages that came are not settled, or were given up: {due[:5]}")
        if found:
            raise Violation(f"the webhook was told of what did not happen: {sorted(map(str, found))}")


class Leaks(Checker):
    """Of a replica that was shut down nothing is left: no task, no timer, no connection."""

    name = "leaks"

    def at_end(self) -> None:
        for replica in self.world.replicas:
            tasks, timers = self.world.loop.pending(replica.process)
            tasks = [task for task in tasks if not task.endswith(":shut down")]
            if tasks or timers:
                raise Violation(f"{replica.process.name} left behind tasks {tasks} and timers {timers}")
            if replica.transport.open_connections:
                raise Violation(f"{replica.process.name} left {replica.transport.open_connections} connections open")
        for name, provider in self.world.providers.items():
            if provider.open_connections:
                raise Violation(f"{provider.open_connections} connections to {name} are still open")
        if self.world.database.watchers:
            raise Violation(f"{self.world.database.watchers} still wait for changes of a run")
