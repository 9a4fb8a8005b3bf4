"""Who waits in this process for a run to change, whoever changes it.

The truth is a poll: one query each POLL_S for all runs that are waited for. Before it comes a notification, which is
lost while the listener is not connected. Nobody listens and nothing is polled while nobody waits.
"""

import asyncio
from contextlib import suppress
from typing import Any

from golive.core.errors import StoreError
from golive.core.tasks import Tasks
from golive.store.postgres.connection import Connection, Link
from golive.store.postgres.group import CHANNEL
from golive.store.postgres.pool import Pool
from golive.store.postgres.work import SEQS

POLL_S = 0.25
LINGER_S = 10.0
"""How long it goes on listening when nobody waits any more."""

Key = tuple[str, str]


class Waiting:
    """Serves one event loop for all its life."""

    def __init__(self, link: Link, pool: Pool) -> None:
        self._link = link
        self._pool = pool
        self._tasks = Tasks("postgres")
        self._waiters: dict[Key, list[tuple[int, asyncio.Future[None]]]] = {}
        self._fresh: set[Key] = set()
        self._wake = asyncio.Event()
        self._started = False
        self.listening = asyncio.Event()
        """Set while notifications come."""

    async def wait(self, tenant: str, run: str, after_seq: int, timeout_s: float) -> None:
        """Returns when the run has events behind `after_seq`, or the time is over."""
        if not self._started:
            self._started = True
            self._tasks.start(self._poll(), "poll")
            self._tasks.start(self._listen(), "listen")
        key = (tenant, run)
        waiter = (after_seq, asyncio.get_running_loop().create_future())
        self._waiters.setdefault(key, []).append(waiter)
        self._fresh.add(key)
        self._wake.set()
        try:
            await asyncio.wait([waiter[1]], timeout=timeout_s)
        finally:
            others = self._waiters[key]
            others.remove(waiter)
            if not others:
                del self._waiters[key]

    def tell(self, tenant: str, run: str, seq: int) -> None:
        """The run has events up to this one."""
        for after_seq, future in self._waiters.get((tenant, run), ()):
            if seq > after_seq and not future.done():
                future.set_result(None)

    async def close(self) -> None:
        """Stops listening; may be called again. Whoever waits is let go."""
        await self._tasks.close()
        for waiters in self._waiters.values():
            for _, future in waiters:
                if not future.done():
                    future.set_result(None)
        self._link.drop()

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        everybody_at = 0.0
        while True:
            if not self._waiters:
                await self._wake.wait()
            self._wake.clear()
            # Who has just come is looked after at once, and everybody in turn.
            asked = [key for key in self._fresh if key in self._waiters]
            self._fresh.clear()
            if loop.time() >= everybody_at:
                asked = list(self._waiters)
                everybody_at = loop.time() + POLL_S
            try:
                if asked:
                    await self._ask(asked)
            except StoreError:
                await asyncio.sleep(POLL_S)
            await self._pause(everybody_at - loop.time())

    async def _pause(self, longest_s: float) -> None:
        """Until the next poll, or somebody comes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._wake.wait()

    async def _ask(self, keys: list[Key]) -> None:
        tenants, runs = [key[0] for key in keys], [key[1] for key in keys]
        for place, seq in await self._pool.fetch(SEQS, tenants, runs, list(range(len(keys)))):
            tenant, run = keys[place]
            self.tell(tenant, run, seq)

    async def _listen(self) -> None:
        while True:
            if not self._waiters:
                await self._wake.wait()
            try:
                await self._hear(await self._link.open(0.0))
            except Exception:  # whatever it is, the poll serves meanwhile
                self._link.drop()
            finally:
                self.listening.clear()
            await asyncio.sleep(POLL_S)

    async def _hear(self, connection: Connection) -> None:
        """Listens until nobody has waited for LINGER_S, or the connection ends."""
        gone = asyncio.Event()
        connection.add_termination_listener(lambda _: gone.set())
        await connection.add_listener(CHANNEL, self._heard)
        self.listening.set()
        idle = False
        while not gone.is_set() and not (idle and not self._waiters):
            idle = not self._waiters
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await gone.wait()
        self._link.drop()

    def _heard(self, _connection: Any, _process: int, _channel: str, payload: Any) -> None:
        tenant, run, seq = str(payload).rsplit("/", 2)
        self.tell(tenant, run, int(seq))
