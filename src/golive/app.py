"""The only place that builds adapters: from a configuration to a server that is ready to answer.

`Server` is one process's worth: store, model plane, agents with their workers, runtime, gateway. The command line, the
demo and the checks all start golive through it, so what they see is what runs in production.
"""

import asyncio
import gc
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress

from golive.config.load import Loaded
from golive.core.chance import SystemChance
from golive.core.clock import Clock, SystemClock
from golive.core.errors import GoliveError, StoreUnavailable
from golive.core.events import Body
from golive.core.health import Dependency
from golive.core.ids import Ids
from golive.core.tasks import Tasks
from golive.gateway.outward import outward_faces
from golive.gateway.server import Gateway
from golive.gateway.store_face import StoreFace
from golive.guards.redact import Redactor
from golive.models.gate import Gate
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.runtime import retention
from golive.runtime.agent import Agents
from golive.runtime.holding import Holding
from golive.runtime.outward import Outward
from golive.runtime.relay import RELAY_VERSION, Relay
from golive.runtime.service import Runtime, RuntimeSettings
from golive.runtime.shown import result_of
from golive.runtime.state import RunState
from golive.security import Security
from golive.served import Served
from golive.store.opening import Missed, await_store, open_store, take_for_server
from golive.store.ports import Store
from golive.telemetry.hold_log import HoldLog
from golive.telemetry.logs import Log, configure
from golive.telemetry.metrics import Metrics
from golive.telemetry.run_log import RunLog
from golive.tenancy import Tenancy
from golive.workers.pool import HOME_PREFIX, WorkerToolset
from golive.workers.scratch import sweep

DEFAULT_TENANT = "default"
_PLANE = ("providers", "prices", "capabilities", "cache", "retry", "breaker")
_GC_YOUNG = 20_000
"""New containers before the collector looks for cycles: requests leave none behind, so a look rarely pays."""
_SWITCH_S = 0.0005
"""How long Python lets one thread run while another waits: short, so that a busy loop does not starve the store's."""


class Server:
    """One golive server without its socket: `gateway` is the ASGI application."""

    def __init__(
        self, loaded: Loaded, environ: Mapping[str, str], *, inline: bool = False, dev: bool = False,
        errand: bool = False, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        """Builds nothing yet; `start` does.

        Args:
            inline: run tools inside this process (`golive dev --inline` and tests only).
            dev: version names carry the content's digest, so that editing never collides with what was registered.
            errand: it is a command's own, for its own time: carries its own runs only, tells no webhook, prunes
                nothing and begins no run by the clock.
            clock: the system's when absent; another's loop must keep the same time.
        """
        self.loaded = loaded
        self._inline = inline
        self._dev = dev
        self._errand = errand
        self._clock = clock or SystemClock()
        self._chance = SystemChance()
        self.ids = Ids(self._clock, self._chance)
        self._environ = environ
        self._redactor = Redactor()
        log = loaded.config.log
        self.log: Log = configure(log.level, log.format, self._redactor.value, clock=self._clock)
        self._run_log = RunLog(self.log, content=dev if log.content is None else log.content)
        self._tasks = Tasks("server")
        self._stack = AsyncExitStack()
        self.agents = Agents(lambda *named: self.tenancy.directory.may_use(*named))  # noqa: PLW0108 - made later
        self._replica = "" if errand else loaded.config.server.replica or ""
        self.holder = f"{self._replica}/{self.ids.new('srv')}" if self._replica else self.ids.new("srv")
        around = (self._redactor, self._clock, self._chance, self.log, self.holder)
        self.security = Security(loaded, environ, self._stack, *around)
        self.holding: Holding
        self.store: Store
        self.plane: ModelPlane
        self.served: Served
        self.outward: Outward
        self.runtime: Runtime
        self.relay: Relay
        self.gateway: Gateway
        self.metrics: Metrics
        self.tenancy: Tenancy

    async def start(self, missed: Missed | None = None) -> None:
        """Opens the store, settles what the last process left open, starts the workers.

        Args:
            missed: told each time that a database was away, which then is waited for; None: it is not waited for.

        Raises:
            GoliveError: something of the configuration, the store or an agent cannot be used; all is closed again.
        """
        try:
            await self._start(missed)
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self, missed: Missed | None) -> None:
        config = self.loaded.config
        self._stack.callback(take_for_server(config.store.url, self.loaded.root))
        place, patience_s = (config.store.url, self.loaded.root, self._clock), config.server.start_patience_s
        opening = open_store(*place) if missed is None else await_store(*place, self._chance, patience_s, missed)
        plain = await opening
        self._stack.push_async_callback(plain.close)
        self.store = await self.security.over(plain)
        self.plane = self._new_plane()
        self._stack.push_async_callback(self._close_plane)
        self.metrics = Metrics(self._open_runs)
        self.security.recording.measured(self.metrics.registry)
        self.metrics.follow_targets(lambda ref: self.plane.configured(ref))  # noqa: PLW0108 - likewise
        self.metrics.follow_breakers(lambda: self.plane.open_breakers())  # noqa: PLW0108 - it may be another by then
        around = (self._clock, self.log, self.metrics.registry)
        self.tenancy = Tenancy(self.store, lambda: self.loaded.config, *around)
        await self.tenancy.start(self._stack)
        self.outward = self._new_outward()
        self._stack.push_async_callback(self.outward.close)
        self.outward.check()
        self.holding = self._new_holding()
        await self.holding.start()
        await self.security.keep_secrets(self.metrics.registry, self.tenancy.directory.settings)
        self._stack.push_async_callback(self._tasks.close)
        self.served = self._new_served()
        self._stack.push_async_callback(self.served.close)
        await self.served.put_all()
        await self._assemble()
        self.security.erase_with(self.runtime.steering.cancel, self.metrics.registry)
        await self.security.know_callers(self.metrics.registry, self.tenancy.directory.admit)
        self.gateway = self._new_gateway()
        await self.security.recording.audit.flush()
        self._warm_up()

    def _new_holding(self) -> Holding:
        told = HoldLog(self.log, self.metrics.durable)
        return Holding(
            store=self.store, clock=self._clock, holder=self.holder, replica=self._replica,
            lease_s=self.loaded.config.server.lease_s,
            versions=lambda: [RELAY_VERSION, *(version.digest for version in self.agents.served())],
            take_over=lambda lease: self.runtime.steering.take_over(lease),  # noqa: PLW0108 - made later
            room=lambda: self.runtime.room(),  # noqa: PLW0108 - likewise
            expire=lambda row: self.runtime.steering.expire(row),  # noqa: PLW0108 - likewise
            faults=self._fault, taken_over=told.taken_over, carries=self._carries, alone=self._errand,
            followed=lambda: self.runtime.followed(),  # noqa: PLW0108 - likewise
            lost=lambda lapsed: told.lost(self.runtime.lost(), lapsed), away=told.store,
        )  # fmt: skip

    def _carries(self, tenant: str, run: str) -> bool:
        return self.runtime.carries_run(tenant, run) or self.relay.carries(run)

    async def _assemble(self) -> None:
        server = self.loaded.config.server
        self.runtime = Runtime(
            store=self.store,
            agents=self.agents,
            clock=self._clock,
            ids=self.ids,
            settings=RuntimeSettings(
                holder=self.holder,
                max_open_runs=server.max_open_runs,
                conversation_queue=server.conversation_queue,
                disconnect_grace_s=server.disconnect_grace_s,
                store_patience_s=server.store_patience_s,
                moves_on=self._dev,
            ),
            observer=self._observe,
            announce=self.outward.announce,
            faults=self._fault,
            begin_by=self.holding.begin_by,
            lapses=self.holding.lapses,
            generation=await self.store.generation(),
            admits=self.tenancy.admits,
        )
        self.relay = Relay(
            store=self.store,
            target=lambda ref, ttl_s: self.plane.target(ref, ttl_s),  # noqa: PLW0108 - it may be another by then
            clock=self._clock,
            ids=self.ids,
            holder=self.holder,
            observer=self._observe,
            announce=self.outward.announce,
            admits=self.tenancy.admits,
        )
        self._stack.push_async_callback(self.relay.close)
        self.tenancy.watch(self.runtime, self.relay, self._stack)
        self.tenancy.directory.on_out = lambda tenant: self.plane.forget_answers(tenant)  # noqa: PLW0108 - likewise

    def _warm_up(self) -> None:
        """What would otherwise stall requests: reading the price list, the collector's walks over what stays."""
        self._tasks.start(self.holding.keep(), "holding")
        if not self._errand:
            days, pruned = self.loaded.config.store.keep_days, self.security.erasing.metrics.pruned
            self._tasks.start(retention.keep(self.store, self._clock, days, self._fault, pruned), "retention")
            self._tasks.start(self.security.erasing.eraser.keep(), "erasures")
        self._tasks.start(self._sweep(), "sweep")
        if not self._errand:
            self.outward.start()
        if self.plane.needs_price_list():
            self._tasks.start(asyncio.to_thread(self.plane.prices.load), "price list")
        sys.setswitchinterval(_SWITCH_S)
        gc.set_threshold(_GC_YOUNG, *gc.get_threshold()[1:])
        gc.collect()
        gc.freeze()

    async def _sweep(self) -> None:
        """Takes away the folders of workers whose server was killed."""
        swept = await asyncio.to_thread(sweep, HOME_PREFIX)
        if swept:
            self.log.info("worker.folders_removed", count=len(swept))

    def _new_outward(self) -> Outward:
        return Outward(
            store=self.store, config=lambda: self.loaded.config, result=result_of,
            start=lambda request, run: self.runtime.start(request, run),  # noqa: PLW0108 - made later
            transport=HttpTransport(), resolve=self.security.resolve, redact=self._redactor.text, clock=self._clock,
            chance=self._chance, ids=self.ids, metrics=self.metrics.outward, log=self.log,
            paused=self.tenancy.directory.paused,
        )  # fmt: skip

    def _new_gateway(self) -> Gateway:
        return Gateway(
            runtime=self.runtime, relay=self.relay, key_admin=self.security.key_admin,
            credentials=self.security.credentials(),
            models=lambda tenant: self.plane.models(self.agents.targets(tenant), tenant),
            dialect=lambda ref: self.plane.dialect(ref),  # noqa: PLW0108 - the plane may be another by then
            embeddings=lambda ref, ttl_s: self.plane.embeddings(ref, ttl_s),  # noqa: PLW0108 - likewise
            breakers=lambda: self.plane.breakers(),  # noqa: PLW0108 - likewise
            reset_breakers=lambda target: self.plane.reset_breakers(target),  # noqa: PLW0108 - likewise
            health=self.health,
            ping=self.store.ping,
            config_rows=lambda: self.loaded.values,
            metrics=self.metrics,
            server=self.loaded.config.server,
            log=self.log,
            clock=self._clock,
            ids=self.ids,
            further=(
                *outward_faces(
                    self.outward, self.runtime, self.store, lambda: self.loaded.config, self._clock, self.ids
                ),
                StoreFace(self.store), *self.security.faces(),
                *self.tenancy.faces(
                    self.security.erasing.eraser, self.security.exported, self.security.secret_keeper.resolution
                ),
            ),
            trail=self.security.recording.trail,
            doorkeeper=self.tenancy.directory, seen=self.tenancy.seen.note,
        )  # fmt: skip

    def _new_plane(self) -> ModelPlane:
        return ModelPlane(
            self.loaded.config, self.security.resolve, HttpTransport(), self._clock, chance=self._chance,
            moved=self._breaker_moved, unrecognised=self._run_log.finish_unrecognised,
            open_calls=self.security.open_calls,
            credential_of=lambda *named: self.tenancy.directory.credential(*named),  # noqa: PLW0108 - made later
            renew=lambda *refused: self.security.secret_keeper.renewed(*refused),  # noqa: PLW0108 - made later
        )  # fmt: skip

    def _breaker_moved(self, gate: Gate, before: str) -> None:
        now = gate.state
        self.metrics.breaker(f"supervisor of {now.supervises}" if now.supervises else now.target, now.state)
        tell = self.log.warning if now.state == "open" else self.log.info
        whose = {"supervises": now.supervises} if now.supervises else {}
        tell(
            f"breaker.{now.state}", target=now.target, credential=now.credential, before=before, wait_s=now.wait_s,
            **whose,
        )  # fmt: skip

    def _open_runs(self) -> int:
        return self.runtime.open_runs()

    async def _close_plane(self) -> None:
        await self.plane.close()

    # ---- agents ------------------------------------------------------------------------------------------------------

    def _new_served(self) -> Served:
        return Served(
            self.loaded, self.agents, self._environ, inline=self._inline, dev=self._dev, clock=self._clock,
            redactor=self._redactor, log=self.log, tasks=self._tasks, store=self.store.tenant(DEFAULT_TENANT),
            plane=lambda: self.plane,
            busy=lambda digest: self.runtime.carries(digest),  # noqa: PLW0108 - made later
        )  # fmt: skip

    def adopt(self, loaded: Loaded) -> bool:
        """Takes edited settings over; agents that are gone end. [server], [store] and [secrets] need a new process.

        Returns whether each agent is now to be reloaded, because a section of the model plane changed.
        """
        old, self.loaded = self.loaded.config, loaded
        changed = any(getattr(old, part) != getattr(loaded.config, part) for part in _PLANE)
        if changed:
            plane, self.plane = self.plane, self._new_plane()
            self.served.retire(lambda: not self._calls(plane), plane.close, "plane")
        self.served.adopt(loaded)
        self.outward.adopt()
        self.security.adopt(loaded)
        return changed

    async def reload(self, name: str) -> None:
        """Puts an agent into service as it is configured now; running runs finish on the version they began with.

        Raises:
            GoliveError: it cannot be served; what was served goes on.
        """
        await self.served.put(name)

    def _calls(self, plane: ModelPlane) -> bool:
        """Whether a run, or an agent whose newest version is broken, may still call through the plane."""
        return self.served.uses(plane) or bool(self.runtime.open_runs() or self.relay.open_calls)

    # ---- watching ----------------------------------------------------------------------------------------------------

    async def health(self) -> Sequence[Dependency]:
        """Every dependency's state, now."""
        began = self._clock.monotonic()
        try:
            await self.store.ping()
            store = Dependency("store", "store", "up", round((self._clock.monotonic() - began) * 1000, 3))
        except GoliveError as error:
            store = Dependency("store", "store", "down", None, str(error))
        workers = [
            version.toolset.health() for version in self.agents.served() if isinstance(version.toolset, WorkerToolset)
        ]
        return [store, *await self.plane.health(), *workers]

    def _observe(self, state: RunState, bodies: list[Body]) -> None:
        accepted = state.accepted
        assert accepted is not None
        agent = accepted.agent if accepted.source == "agent" else "relay"
        self.metrics.observe(state.tenant, agent, state.version_name, bodies)
        self.outward.observe(bodies)
        relayed = accepted.source == "relay"
        self._run_log.observe(state.tenant, state.run, state.version, bodies, relayed=relayed, user=accepted.user)

    def _fault(self, run: str, error: BaseException) -> None:
        self.log.error("run.fault", run=run, error=repr(error), exc_info=error)

    async def drain(self) -> None:
        """Stops accepting (after server.linger_s), lets open work finish within server.drain_s, lets go of the rest."""
        self.runtime.leave()
        await asyncio.sleep(self.loaded.config.server.linger_s)
        seconds = self.loaded.config.server.drain_s
        await self.outward.drain()
        self.log.info("server.draining", open_runs=self.runtime.open_runs(), open_calls=self.relay.open_calls)
        relays = self._tasks.start(self.relay.drain(seconds), "drain relays")
        await self.runtime.drain(seconds)
        await relays
        with suppress(StoreUnavailable):
            await self.holding.leave()

    def hurry(self) -> None:
        """Ends what is open as interrupted at once, and so the `drain` that waits for it."""
        self.log.warning("server.hurried", open_runs=self.runtime.open_runs(), open_calls=self.relay.open_calls)
        self.runtime.hurry()
        self.relay.hurry()

    async def close(self) -> None:
        """Ends what is left and closes everything, in the reverse order of the start."""
        with suppress(AttributeError):  # a start that failed half-way built no runtime
            await self.runtime.drain(0.0)  # again, where a second signal cut the first one short
        await self._stack.aclose()
