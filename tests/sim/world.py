"""The simulated world: replicas of golive, providers, tools, clients and a database on one virtual loop, from one seed.

Owns the order of things: begin, let the plan's faults happen, heal everything, wait for the last run, shut down. What
must hold is not said here but in `checkers.py`; what happens is not decided here but in `plan.py`.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from golive.core.events import DecisionRequested, Event, decode_body
from tests.sim.checker import Checker, Violation
from tests.sim.clients import Client
from tests.sim.database import Appended, Claimed, Database
from tests.sim.effects import Effect, Outside
from tests.sim.faults import Faults
from tests.sim.hooks import Office
from tests.sim.network import Network
from tests.sim.people import People
from tests.sim.plan import CASES_S, Plan, drawn
from tests.sim.processes import WorldLoop
from tests.sim.promises import all_checkers
from tests.sim.providers import DIALECTS, Provider
from tests.sim.replica import Replica

CALM_S = CASES_S + 20.0
"""From then on nothing goes wrong any more."""
OVER_S = 590.0
"""By then every run has ended."""
DRAIN_S = 30.0


class Outcome(Struct):
    """What became of a schedule."""

    seed: int
    violations: list[Violation]
    trace: list[str]
    runs: int
    faults: int
    virtual_s: float
    kinds: dict[str, int]


class World:
    """One schedule, carried out by `run`."""

    def __init__(self, plan: Plan, checkers: list[Checker] | None = None) -> None:
        self.plan = plan
        self.loop = WorldLoop()
        self.database = Database(self.loop)
        self.clock = self.database.clock
        self.network = Network(self.loop, drawn(plan.seed, "network"))
        self.beyond = Outside()
        self.office = Office()
        self.beyond.note = self.note
        self.weather_chance = drawn(plan.seed, "weather")
        self.providers = {
            name: Provider(name, plan.script, self.clock, drawn(plan.seed, f"provider {name}")) for name in DIALECTS
        }
        for name, provider in self.providers.items():
            self.network.serve(f"{name}.test", provider)
        self.replicas = [Replica(self, number) for number in range(plan.replicas)]
        self.clients = [Client(self, case) for case in plan.cases]
        self.people = People(self)
        self.faults = Faults(self)
        self.trace: list[str] = []
        self.violations: list[Violation] = []
        self._whose: dict[str, str] = {}
        self._read: dict[str, list[Event]] | None = None
        """Journals as they are, while nobody writes; None: somebody may."""
        self.stopped = False
        """Whoever waits in the world may stop."""
        self.checkers = all_checkers() if checkers is None else checkers
        self._hooks: dict[str, list[Checker]] = {}
        for checker in self.checkers:
            checker.world = self
        self.database.on_append.append(self._appended)
        self.database.on_claim.append(self._claimed)
        self.beyond.on_effect.append(self._done)

    # ---- what happens

    def note(self, who: str, what: str) -> None:
        """One line of the trace."""
        self.trace.append(f"{self.loop.elapsed:12.6f} {who:12} {what}")

    def tell(self, hook: str, *args: Any) -> None:
        """Lets every checker look."""
        for checker in self._lookers(hook):
            try:
                getattr(checker, hook)(*args)
            except Violation as violation:
                violation.checker = checker.name
                self.violations.append(violation)
                self.note("VIOLATION", f"{checker.name}: {violation}")
                break

    def _lookers(self, hook: str) -> list[Checker]:
        """Those who have something to say to it, in their order."""
        found = self._hooks.get(hook)
        if found is None:
            nothing = getattr(Checker, hook)
            found = [checker for checker in self.checkers if getattr(type(checker), hook) is not nothing]
            self._hooks[hook] = found
        return found

    def _appended(self, done: Appended) -> None:
        kinds = " ".join(f"{event.seq}:{event.kind}" for event in done.events)
        rest = " at rest" if done.at_rest else ""
        self._whose.setdefault(done.lease.run, done.lease.tenant)
        self.note(done.process, f"writes {done.lease.run[-6:]} epoch {done.lease.epoch}{rest} {kinds}")
        self.tell("on_append", done)

    def _claimed(self, done: Claimed) -> None:
        self.note(done.process, f"takes over {' '.join(lease.run[-6:] for lease in done.leases)}")
        self.tell("on_claim", done)

    def _done(self, effect: Effect) -> None:
        self.note(effect.process, f"does {effect.tool} {effect.ref} under {effect.key}")
        self.tell("on_effect", effect)

    def any_replica(self) -> Replica:
        """One of them, whoever it is."""
        return self.replicas[int(self.weather_chance.uniform(0, len(self.replicas)))]

    # ---- the schedule

    def run(self) -> Outcome:
        """Carries the schedule out."""
        collecting = gc.isenabled()
        gc.disable()  # when it comes around depends on what was there before this world
        try:
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(self._main())
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self._record(f"the world came to a stop: {type(error).__name__}: {error}")
        finally:
            self.checkers, self._hooks = [], {}
            self.loop.bury()
            self.loop.close()
            asyncio.set_event_loop(None)
            if collecting:
                gc.enable()
        return Outcome(
            self.plan.seed, self.violations, self.trace, len(self._accepted()), len(self.plan.faults),
            self.loop.elapsed, self.faults.kinds,
        )  # fmt: skip

    async def _main(self) -> None:
        for replica in self.replicas:
            replica.boot()
        clients = [asyncio.ensure_future(client.live()) for client in self.clients]
        unfolding = asyncio.ensure_future(self.faults.unfold())
        people = asyncio.ensure_future(self.people.live())
        await self._until(lambda: self.loop.elapsed >= CALM_S)
        unfolding.cancel()
        self.faults.heal()
        await self._until(
            lambda: (
                all(client.done() for client in clients)
                and all(replica.ready for replica in self.replicas)
                and not (self._open() or self._untold())
            )
        )
        if not self.violations:
            self._look_at_rest()
        self.stopped = True
        await asyncio.wait(clients, timeout=70.0)
        for client in (*clients, people):
            client.cancel()
            if client.done() and not client.cancelled() and (error := client.exception()) is not None:
                self._record(f"a client of the world failed: {error!r}")
        await self._shut_down()
        if not self.violations:
            self.tell("at_end")

    def _look_at_rest(self) -> None:
        """All checkers look, and nobody writes meanwhile: each journal is read once for all of them."""
        self._read = {}
        self.tell("at_rest")
        self._read = None

    async def _shut_down(self) -> None:
        """SIGTERM to all."""
        closing = [
            replica.process.start(self.loop, replica.shut_down(), "shut down")
            for replica in self.replicas
            if replica.process.alive and replica.ready
        ]
        if closing:
            await asyncio.wait(closing, timeout=DRAIN_S)
        for task in closing:
            if not task.done() or task.cancelled() or task.exception() is not None:
                self._record(f"a replica did not shut down in {DRAIN_S:g} s: {task!r}")
        await asyncio.sleep(1.0)

    async def _until(self, over: Callable[[], bool]) -> None:
        while not over() and not self.violations and self.loop.elapsed < OVER_S:
            await asyncio.sleep(0.5)

    def _record(self, text: str) -> None:
        violation = Violation(text)
        violation.checker = "world"
        self.violations.append(violation)
        self.note("VIOLATION", text)

    def tenant_of(self, run: str) -> str:
        """Whose the run is."""
        found = self._whose.get(run)
        if found is None:
            found = self._whose[run] = str(self.database.rows("SELECT tenant FROM leases WHERE run = ?", run)[0])
        return found

    def journal(self, run: str) -> list[Event]:
        """A run's events."""
        events = None if self._read is None else self._read.get(run)
        if events is None:
            events = self.database.now(self.database.opened.tenant(self.tenant_of(run)).events(run, 0, 100_000))
            if self._read is not None:
                self._read[run] = events
        return events

    def decision_bodies(self, run: str) -> list[DecisionRequested]:
        """What was asked about a run."""
        bodies = [decode_body(event) for event in self.journal(run) if event.kind == "decision.requested"]
        return [body for body in bodies if isinstance(body, DecisionRequested)]

    def _accepted(self) -> list[str]:
        return self.database.rows("SELECT run FROM leases ORDER BY run")

    def _open(self) -> list[str]:
        """Runs that have not ended."""
        return self.database.rows(
            "SELECT run FROM leases WHERE run NOT IN (SELECT run FROM runs WHERE state = 'finished')"
        )

    def _untold(self) -> list[str]:
        """Messages that are still to be delivered."""
        return self.database.rows("SELECT id FROM outbox WHERE state = 'due'")
