"""The faults of a schedule, happening in their time; and the end of them all."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from golive.sim.control import Outage
from tests.sim.database import Weather
from tests.sim.effects import ToolWeather
from tests.sim.hooks import HookWeather
from tests.sim.plan import Fault
from tests.sim.providers import ProviderWeather

if TYPE_CHECKING:
    from tests.sim.replica import Replica
    from tests.sim.world import World

_PROVIDER_FAULTS = tuple(ProviderWeather.__struct_fields__)
_TOOL_FAULTS = tuple(ToolWeather.__struct_fields__)
_HOOK_FAULTS = tuple(HookWeather.__struct_fields__)
_RESTART_S = 0.4
"""A process that was killed is started again after so long, at least."""


class Faults:
    """Carries the plan's faults out."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._calm = False
        self._release = 1
        self.kinds: Counter[str] = Counter()

    async def unfold(self) -> None:
        """One fault after the other, each ending by itself."""
        loop = self._world.loop
        for fault in self._world.plan.faults:
            await asyncio.sleep(max(0.0, fault.at - loop.time()))
            self.kinds[fault.kind] += 1
            self._world.note("fault", f"{fault.kind} r{fault.replica} {fault.provider} for {fault.for_s} s")
            getattr(self, f"_{fault.kind}")(fault)

    def heal(self) -> None:
        """From now on all is well: what is dead is started, what is frozen wakes, whatever the weather was."""
        world = self._world
        self._calm = True
        world.note("fault", "all is well from here on")
        world.database.weather = Weather()
        world.beyond.weather = ToolWeather()
        world.office.weather = HookWeather()
        for name, provider in world.providers.items():
            provider.weather = ProviderWeather()
            provider.end_outage()
            world.network.cut_off(f"{name}.test", gone=False)
        for replica in world.replicas:
            replica.link.cut = False
            replica.clock.ahead_s = 0.0
            if replica.process.frozen:
                replica.wake()
            if not replica.process.alive:
                replica.boot()

    # ---- processes

    def _replica(self, fault: Fault) -> "Replica":
        return self._world.replicas[fault.replica % len(self._world.replicas)]

    def _kill(self, fault: Fault) -> None:
        replica = self._replica(fault)
        process = replica.process

        def kill() -> None:
            if not self._calm and replica.process is process and process.alive:
                replica.kill()
                self._world.loop.outside_later(_RESTART_S + fault.for_s, restart)

        def restart() -> None:
            if not replica.process.alive:
                replica.boot()

        process.after_steps(fault.steps, kill)

    def _freeze(self, fault: Fault) -> None:
        replica = self._replica(fault)
        process = replica.process

        def freeze() -> None:
            if not self._calm and replica.process is process and process.alive and not process.frozen:
                replica.freeze()
                self._world.loop.outside_later(fault.for_s, wake)

        def wake() -> None:
            if process.alive and process.frozen:
                replica.wake()

        process.after_steps(fault.steps, freeze)

    def _restart(self, fault: Fault) -> None:
        self._replica(fault).restart(fault.for_s / 5)

    def _deploy(self, fault: Fault) -> None:
        """A new version of all agents comes to one replica after the other."""
        self._release += 1
        for number, replica in enumerate(self._world.replicas):
            replica.release = self._release
            self._world.loop.outside_later(number * fault.for_s / 3, replica.restart, fault.for_s / 5)

    def _clock(self, fault: Fault) -> None:
        self._replica(fault).clock.ahead_s = (fault.share - 0.3) * (600.0 if fault.what % 2 else 20.0)

    # ---- the store

    def _partition(self, fault: Fault) -> None:
        link = self._replica(fault).link
        link.cut = True

        def joined() -> None:
            link.cut = False

        self._world.loop.outside_later(fault.for_s, joined)

    def _store(self, fault: Fault, name: str, value: float | bool, usual: float | bool) -> None:
        setattr(self._world.database.weather, name, value)
        self._world.loop.outside_later(fault.for_s, lambda: setattr(self._world.database.weather, name, usual))

    def _late(self, fault: Fault) -> None:
        self._store(fault, "late", fault.share, 0.0)

    def _unheard(self, fault: Fault) -> None:
        self._store(fault, "unheard", fault.share / 2, 0.0)

    def _twice(self, fault: Fault) -> None:
        self._store(fault, "twice", fault.share, 0.0)

    def _deaf(self, fault: Fault) -> None:
        self._store(fault, "deaf", fault.share + 0.4, 0.0)

    def _full(self, fault: Fault) -> None:
        self._store(fault, "full", True, False)

    # ---- providers and tools

    def _provider(self, fault: Fault) -> None:
        provider = self._world.providers[fault.provider]
        name = _PROVIDER_FAULTS[fault.what % len(_PROVIDER_FAULTS)]
        setattr(provider.weather, name, fault.share)
        self._world.loop.outside_later(fault.for_s, lambda: setattr(provider.weather, name, 0.0))

    def _outage(self, fault: Fault) -> None:
        provider, host = self._world.providers[fault.provider], f"{fault.provider}.test"
        if fault.what % 3 == 0:
            self._world.network.cut_off(host, gone=True)
        else:
            provider.begin_outage(Outage(kind="refuse" if fault.what % 3 == 1 else "status", cut_open=True))

        def over() -> None:
            provider.end_outage()
            self._world.network.cut_off(host, gone=False)

        self._world.loop.outside_later(fault.for_s, over)

    def _hooks(self, fault: Fault) -> None:
        name = _HOOK_FAULTS[fault.what % len(_HOOK_FAULTS)]
        setattr(self._world.office.weather, name, fault.share)
        self._world.loop.outside_later(fault.for_s, lambda: setattr(self._world.office.weather, name, 0.0))

    def _tools(self, fault: Fault) -> None:
        name = _TOOL_FAULTS[fault.what % len(_TOOL_FAULTS)]
        setattr(self._world.beyond.weather, name, fault.share)
        self._world.loop.outside_later(fault.for_s, lambda: setattr(self._world.beyond.weather, name, 0.0))
