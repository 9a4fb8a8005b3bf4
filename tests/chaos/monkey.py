"""The monkey: breaks one thing after the other, by seeded chance, and mends it again."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.chaos.replica import Replica
from tests.chaos.stage import Stage, pick

PAUSE_S = (0.05, 0.9)
"""Between two faults."""
DEAD_FOR = (0.0, 1.8)
"""How long a killed replica stays away, in leases, where others can take over; and not at all where there is one."""


class Monkey:
    """Breaks things. `counts`: by kind of fault."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._stage = stage
        self._chance = random.Random(f"{seed}/monkey")
        self._restarts: list[asyncio.Task[None]] = []
        self._busy: set[str] = set()
        """Replicas that are being brought back."""
        one = stage.store == "sqlite"
        self._acts: dict[str, tuple[float, Callable[[], Awaitable[None]]]] = {
            "worker killed": (1.5, self._kill_worker),
            "server frozen": (1.0, self._freeze_server),
            "worker frozen": (1.0, self._freeze_workers),
            "server and workers frozen": (1.0, self._freeze_all),
            "drained": (0.7, self._drain),
            "provider dropped": (1.5, self._drop_provider),
            "provider refusing": (0.5, self._refuse_provider),
            "provider late": (0.5, self._delay_provider),
            "provider silent": (0.5, self._hold_provider),
        }
        if one:
            self._acts["disk full"] = (1.0, self._fill_disk)
        else:
            self._acts |= {
                "database dropped": (1.5, self._drop_store),
                "database late": (0.7, self._delay_store),
                "database silent": (1.0, self._hold_store),
                "database crashed": (0.3, self._crash_store),
            }

    async def kill(self) -> None:
        """SIGKILL of one server, and after a while its restart; sometimes it is killed once more while it starts.

        Waits until there is one to kill: of several replicas not all are down for long.
        """
        while (replica := self._victim()) is None:
            await asyncio.sleep(0.02)
        self.counts["server killed"] += 1
        away = self._chance.uniform(*DEAD_FOR) * self._stage.lease_s if len(self._stage.replicas) > 1 else 0.0
        again = self._chance.uniform(0.05, 0.8) if self._chance.random() < 0.08 else None
        await replica.kill()
        self._restarts.append(asyncio.ensure_future(self._restart(replica, away, again)))
        if len(self._stage.replicas) == 1:
            await self.settle()

    async def other(self) -> None:
        """Some other fault."""
        name = self._chance.choices(list(self._acts), [weight for weight, _ in self._acts.values()])[0]
        self.counts[name] += 1
        await self._acts[name][1]()

    async def pause(self) -> None:
        """A moment without a new fault."""
        await asyncio.sleep(self._chance.uniform(*PAUSE_S))

    def flips(self, share: float) -> bool:
        """True by chance."""
        return self._chance.random() < share

    async def settle(self) -> None:
        """Waits until all that was killed is there again.

        Raises:
            RuntimeError: a server does not start any more.
        """
        restarts, self._restarts = self._restarts, []
        await asyncio.gather(*restarts)

    async def abandon(self) -> None:
        """Gives up what is under way: the round is over."""
        for task in self._restarts:
            task.cancel()
        await asyncio.gather(*self._restarts, return_exceptions=True)

    async def _restart(self, replica: Replica, away_s: float, again_s: float | None) -> None:
        self._busy.add(replica.name)
        await asyncio.sleep(away_s)
        if again_s is not None:
            starting = asyncio.ensure_future(replica.start())
            await asyncio.sleep(again_s)
            if not starting.done():
                self.counts["server killed while it starts"] += 1
            await replica.kill()
            with suppress(RuntimeError):
                await starting
            if replica.pid:  # the kill came before there was a process
                await replica.kill()
        await replica.start()
        self._busy.discard(replica.name)

    # ---- processes

    def _victim(self) -> Replica | None:
        """A replica that is up, and not about to be broken or mended by somebody else."""
        fit = [replica for replica in self._stage.up if replica.pid and replica.name not in self._busy]
        return self._chance.choice(fit) if fit else None

    async def _kill_worker(self) -> None:
        replica = self._victim()
        worker = pick(self._chance, replica.workers()) if replica else None
        if worker is not None:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    async def _freeze_server(self) -> None:
        await self._freeze(server=True, workers=False)

    async def _freeze_workers(self) -> None:
        await self._freeze(server=False, workers=True)

    async def _freeze_all(self) -> None:
        await self._freeze(server=True, workers=True)

    async def _freeze(self, *, server: bool, workers: bool) -> None:
        """A machine that stands still, or a debugger: on PostgreSQL up to two leases, so that others take over."""
        replica = self._victim()
        if replica is None:
            return
        most = 2.0 * self._stage.lease_s if len(self._stage.replicas) > 1 else 1.5
        for_s = self._chance.uniform(0.1, most)
        pids = ([replica.pid] if server else []) + (replica.workers() if workers else [])
        work = replica.freeze(pids, for_s)
        if len(self._stage.replicas) > 1:
            self._restarts.append(asyncio.ensure_future(work))
        else:
            await work

    async def _drain(self) -> None:
        replica = self._victim()
        if replica is None:
            return

        async def again() -> None:
            self._busy.add(replica.name)
            await replica.drain()
            await replica.start()
            self._busy.discard(replica.name)

        self._restarts.append(asyncio.ensure_future(again()))
        if len(self._stage.replicas) == 1:
            await self.settle()

    # ---- disk and network

    async def _fill_disk(self) -> None:
        replica = self._victim()
        if replica is None:
            return
        self._stage.fill_disk(replica)
        try:
            await asyncio.sleep(self._chance.uniform(0.2, 1.2))
        finally:
            self._stage.empty_disk(replica)

    async def _drop_provider(self) -> None:
        self._stage.to_provider.drop()

    async def _refuse_provider(self) -> None:
        self._stage.to_provider.refusing = True
        self._stage.to_provider.drop()
        await asyncio.sleep(self._chance.uniform(0.1, 0.8))
        self._stage.to_provider.refusing = False

    async def _delay_provider(self) -> None:
        self._stage.to_provider.delay_s = self._chance.uniform(0.02, 0.3)
        await asyncio.sleep(self._chance.uniform(0.3, 1.0))
        self._stage.to_provider.delay_s = 0.0

    async def _hold_provider(self) -> None:
        self._stage.to_provider.hold()
        await asyncio.sleep(self._chance.uniform(0.3, 2.0))
        self._stage.to_provider.release()

    async def _drop_store(self) -> None:
        pick(self._chance, self._stage.to_store).drop()

    async def _delay_store(self) -> None:
        proxy = pick(self._chance, self._stage.to_store)
        proxy.delay_s = self._chance.uniform(0.01, 0.1)
        await asyncio.sleep(self._chance.uniform(0.5, 1.5))
        proxy.delay_s = 0.0

    async def _hold_store(self) -> None:
        """One replica's way to the database is cut without a word, up to one and a half leases."""
        proxy = pick(self._chance, self._stage.to_store)
        for_s = self._chance.uniform(0.3, 1.5 * self._stage.lease_s)
        drop = self._chance.random() < 0.5

        async def hold() -> None:
            proxy.hold()
            await asyncio.sleep(for_s)
            if drop:
                proxy.drop()
            proxy.release()

        self._restarts.append(asyncio.ensure_future(hold()))

    async def _crash_store(self) -> None:
        """SIGKILL of one of PostgreSQL's processes: it ends all connections and recovers from its log."""
        backend = pick(self._chance, self._stage.backends())
        if backend is not None:
            with suppress(ProcessLookupError):
                os.kill(backend, signal.SIGKILL)
