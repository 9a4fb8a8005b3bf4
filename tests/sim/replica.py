"""One replica of golive in the world: what `app.py` puts together, with the world where the outside would be.

Owns how a replica is built, started, killed, frozen, woken and shut down. Nothing of golive is replaced but its
adapters: the store is a `Link`; connections to providers, tools and receivers of webhooks are the world's.
"""

import asyncio
import io
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from golive.config.schema import TierConfig
from golive.core.errors import GoliveError, StoreUnavailable
from golive.core.events import Body
from golive.core.ids import Ids
from golive.core.tasks import Tasks
from golive.models.plane import ModelPlane
from golive.runtime.agent import Agents, AgentVersion, Limits, Tier
from golive.runtime.holding import Holding
from golive.runtime.outward import Outward
from golive.runtime.service import Runtime, RuntimeSettings
from golive.runtime.shown import result_of
from golive.runtime.state import RunState
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.master import Masters
from golive.store.sealed.store import sealed
from golive.telemetry.logs import configure
from golive.telemetry.outward import OutwardMetrics
from golive.tenants.directory import Directory
from tests.sim.database import MASTER, Link
from tests.sim.effects import WorldTools
from tests.sim.hooks import SECRET, HookTransport
from tests.sim.network import WorldTransport
from tests.sim.plan import drawn
from tests.sim.processes import Process
from tests.sim.providers import config
from tests.sim.wire import Wire

if TYPE_CHECKING:
    from tests.sim.world import World

CHAINS: dict[str, tuple[tuple[str, ...], str]] = {
    "helper": (("alfa/sim-one", "bravo/sim-two", "delta/sim-three"), "continue"),
    "relay": (("coda/sim-one", "alfa/sim-two"), "reset"),
    "stern": (("delta/sim-one", "coda/sim-two"), "fail"),
}
"""Agent -> its chain, and what it does where an answer breaks off."""
MAX_OPEN = 64
LEASE_S = 3.0
STORE_PATIENCE_S = 5.0
DECIDE_S = 25.0
"""A decision that nobody makes is made by its default after so long."""
BOOT_RETRY_S = 0.5


class SkewedClock:
    """A machine's clock: its wall time may jump, its monotonic time may not."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.ahead_s = 0.0

    def now(self) -> float:
        return self._world.clock.now() + self.ahead_s

    def monotonic(self) -> float:
        return self._world.clock.monotonic()


class Replica:
    """A place where golive runs: one process after the other."""

    def __init__(self, world: "World", number: int) -> None:
        self.number = number
        self.world = world
        self.clock = SkewedClock(world)
        self.boots = 0
        self.release = 1
        """Of the agents: its next process serves that version of them, and no other."""
        self.process: Process
        self.link: Link
        self.plane: ModelPlane
        self.transport: WorldTransport
        self.runtime: Runtime
        self.holding: Holding
        self.directory: Directory
        self.tasks: Tasks
        self.outward: Outward
        self.ready = False
        """It takes requests."""

    @property
    def name(self) -> str:
        return f"r{self.number}"

    def boot(self) -> None:
        """A new process begins."""
        self.boots += 1
        world = self.world
        self.ready = False
        self.process = Process(f"{self.name}.{self.boots}")
        self.link = Link(self.process, world.loop, world.database, drawn(world.plan.seed, f"link {self.process.name}"))
        self.process.start(world.loop, self._boot(), "boot")

    async def _boot(self) -> None:
        while True:
            try:
                await self._start()
            except GoliveError as error:
                self.world.note(self.process.name, f"cannot start: {error.code}")
                await asyncio.sleep(BOOT_RETRY_S)
            else:
                break
        self.ready = True
        self.world.note(self.process.name, "ready")

    async def _start(self) -> None:
        world, process = self.world, self.process
        chance = drawn(world.plan.seed, f"chance {process.name}")
        ids = Ids(self.clock, chance)
        self.transport = WorldTransport(process, world.loop, world.network)
        self.plane = ModelPlane(
            config(), lambda reference: "", self.transport, self.clock, chance=chance,
            moved=lambda gate, before: world.tell("on_gate", process.name, gate, before),
            credential_of=lambda *named: self.directory.credential(*named),  # noqa: PLW0108 - made later
        )  # fmt: skip
        tools = WorldTools(process, world.loop, self.clock, world.beyond, chance)
        agents = Agents()
        for name in CHAINS:
            agents.put(self._version(name, tools))
        replica = self.name if world.plan.named else ""
        holder = f"{replica}/{ids.new('srv')}" if replica else ids.new("srv")
        log = configure("error", "json", None, io.StringIO(), clock=self.clock)
        masters = Masters(await self.link.data_keys.installation(), MASTER)
        keys = DataKeys(self.link.data_keys, masters, self.clock, chance, log)
        await keys.start()
        store = sealed(self.link, keys, chance, log)
        self.directory = Directory(store, self.clock)
        self.holding = Holding(
            store=store, clock=self.clock, holder=holder, replica=replica, lease_s=LEASE_S,
            versions=lambda: [version.digest for version in agents.served()],
            take_over=lambda lease: self.runtime.steering.take_over(lease),  # noqa: PLW0108 - made later
            room=lambda: self.runtime.room(),  # noqa: PLW0108 - likewise
            expire=lambda row: self.runtime.steering.expire(row),  # noqa: PLW0108 - likewise
            faults=self._fault, taken_over=lambda runs: None,
            carries=lambda tenant, run: self.runtime.carries_run(tenant, run),  # noqa: PLW0108 - likewise
            followed=lambda: self.runtime.followed(),  # noqa: PLW0108 - likewise
            lost=lambda lapsed: None, away=lambda error, seconds: None,
        )  # fmt: skip
        await self.holding.start()
        hooks = HookTransport(process, world.loop, world.office, chance)
        self.outward = Outward(
            store=store, config=config,
            start=lambda request, run: self.runtime.start(request, run),  # noqa: PLW0108 - made later
            result=result_of, transport=hooks, resolve=lambda reference: SECRET, redact=lambda text: text,
            clock=self.clock, chance=chance, ids=ids, metrics=OutwardMetrics(CollectorRegistry()),
            log=log, paused=self.directory.paused,
        )  # fmt: skip
        self.runtime = Runtime(
            store=store,
            agents=agents,
            clock=self.clock,
            ids=ids,
            settings=RuntimeSettings(
                holder=holder, max_open_runs=MAX_OPEN, conversation_queue=8, disconnect_grace_s=2.0,
                store_patience_s=STORE_PATIENCE_S,
            ),
            observer=self._observe,
            faults=self._fault,
            announce=self.outward.announce,
            begin_by=self.holding.begin_by,
            lapses=self.holding.lapses,
            generation=await self.link.generation(),
            admits=self._admits,
        )  # fmt: skip
        await self.directory.start()  # last of what may fail: nothing has to be stopped then
        self.tasks = Tasks("server")
        self.tasks.start(self.holding.keep(), "holding")
        self.outward.start()

    def _admits(self, tenant: str, user: str | None) -> None:
        self.directory.begin(tenant, user, lambda: self.runtime.open_of(tenant))

    def _observe(self, state: RunState, bodies: list[Body]) -> None:
        self.outward.observe(bodies)

    def _fault(self, run: str, error: BaseException) -> None:
        self.world.tell("on_fault", self.process.name, run, error)

    def _version(self, name: str, tools: WorldTools) -> AgentVersion:
        chain, on_break = CHAINS[name]
        settings = TierConfig(chain=chain, on_break=on_break, max_output_tokens=500)  # type: ignore[arg-type]
        return AgentVersion(
            name=name, version_name="1", digest=f"sha256:{name}:{self.release}", description="", prompt="Be brief.",
            tiers={"default": Tier(call=self.plane.chain(settings), targets=chain)},
            toolset=tools, limits=Limits(8, 90.0, 4, DECIDE_S), on_disconnect="cancel",
        )  # fmt: skip

    # ---- from outside

    def connect(self, handler: Callable[[Runtime, Wire], Coroutine[Any, Any, None]], name: str) -> Wire | None:
        """A client's request; None: nobody listens there."""
        process = self.process
        if not (self.ready and process.alive):
            return None
        runtime = self.runtime
        wire = Wire(self.world.loop, process, self.world.weather_chance)
        way = self.world.weather_chance.uniform(0.0005, 0.02)
        self.world.loop.outside_later(way, wire.serve, lambda end: handler(runtime, end), name)
        return wire

    def kill(self) -> None:
        """As by kill -9."""
        self.world.note(self.process.name, "killed")
        self.ready = False
        self.process.kill()

    def freeze(self) -> None:
        """As by SIGSTOP."""
        self.world.note(self.process.name, "frozen")
        self.process.freeze()

    def wake(self) -> None:
        """As by SIGCONT."""
        self.world.note(self.process.name, "woken")
        self.process.wake(self.world.loop)

    async def shut_down(self, seconds: float = 5.0) -> None:
        """In good order, as on SIGTERM; a step of the process."""
        self.ready = False
        await self.outward.drain()
        await self.runtime.drain(seconds)
        with suppress(StoreUnavailable):
            await self.holding.leave()
        await self.outward.close()
        await self.tasks.close()
        await self.plane.close()
        await self.directory.close()
        self.world.note(self.process.name, "closed")

    def restart(self, seconds: float) -> None:
        """SIGTERM, and a new process once the old one has ended."""
        process = self.process

        async def end() -> None:
            await self.shut_down(seconds)
            self.world.loop.outside_later(0.1, ended)

        def ended() -> None:
            if self.process is process and process.alive:
                process.kill()
                self.boot()

        if self.ready and process.alive:
            self.world.note(process.name, "is asked to end")
            self.ready = False
            process.start(self.world.loop, end(), "restart")
