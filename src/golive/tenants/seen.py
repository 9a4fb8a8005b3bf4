"""Which users were last seen when: noted in memory, written for many at once.

A user whom nobody made appears with the first request in its name. Owns the batching; what a row says is the store's.
"""

import asyncio
from collections.abc import Callable

from golive.core.clock import Clock
from golive.core.errors import StoreError
from golive.core.tasks import Tasks
from golive.store.ports import Store

WRITE_S = 5.0
"""How often the times are written, and how exact they therefore are."""
MAX_SEEN = 50_000
"""Users noted between two writes; of more in that time the later ones are noted with their next request."""
AT_ONCE = 1_000
"""Users of one write."""


class Seen:
    """One server's. `start` begins to write; `close` writes what is left."""

    def __init__(self, store: Store, clock: Clock, failed: Callable[[str, int], None] = lambda *_: None) -> None:
        """`failed`: told of users whose times could not be written, and are dropped: tenant, how many."""
        self._store = store
        self._clock = clock
        self._failed = failed
        self._seen: dict[tuple[str, str], float] = {}
        self._tasks = Tasks("users seen")

    def note(self, tenant: str, user: str) -> None:
        """Somebody asked in the name of this user, and was let in."""
        if len(self._seen) < MAX_SEEN or (tenant, user) in self._seen:
            self._seen[tenant, user] = self._clock.now()

    def start(self) -> None:
        """Begins to write."""
        self._tasks.start(self._follow(), "write")

    async def close(self) -> None:
        """Stops, and writes what is left."""
        await self._tasks.close()
        await self.write()

    async def write(self) -> None:
        """Writes all that was noted, a tenant's together; what the store does not take is dropped."""
        seen, self._seen = self._seen, {}
        by_tenant: dict[str, list[tuple[str, float]]] = {}
        for (tenant, user), at in seen.items():
            by_tenant.setdefault(tenant, []).append((user, at))
        for tenant, times in by_tenant.items():
            for place in range(0, len(times), AT_ONCE):
                part = dict(times[place : place + AT_ONCE])
                try:
                    await self._store.tenant(tenant).users_seen(part)
                except StoreError:
                    self._failed(tenant, len(part))

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(WRITE_S)
            await self.write()
