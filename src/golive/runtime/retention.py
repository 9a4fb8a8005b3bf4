"""Finished runs go after their time, a few at once, so that a database does not grow for ever.

The installation says how long runs are kept (`store.keep_days`), and a tenant's row may say otherwise.
"""

import asyncio
from collections.abc import Callable, Sequence

from golive.core.clock import Clock
from golive.core.errors import StoreError
from golive.runtime.place import FaultLog
from golive.store.ports import Store

EVERY_S = 60.0
AT_ONCE = 500
"""Runs removed in one transaction: others are not kept waiting for longer."""
DAY_S = 86_400.0


async def keep(
    store: Store, clock: Clock, days: float | None, faults: FaultLog, counted: Callable[[int], None] = lambda _: None
) -> None:
    """Removes what was finished for too long, for ever; a store that cannot be written is tried again.

    Args:
        days: for tenants that do not say otherwise; None: their runs stay.
        counted: told how many runs were removed.
    """
    while True:
        try:
            await look(store, clock, days, counted)
        except StoreError as error:
            faults("", error)
        await asyncio.sleep(EVERY_S)


async def look(store: Store, clock: Clock, days: float | None, counted: Callable[[int], None]) -> None:
    """Removes what has been finished for too long by now. Raises StoreError."""
    now = clock.now()
    own = {row.tenant: row.keep_days for row in await store.all_tenants() if row.keep_days is not None}
    for tenant, kept in own.items():
        await _prune(store, now - kept * DAY_S, counted, tenant=tenant)
    if days is not None:
        await _prune(store, now - days * DAY_S, counted, but=tuple(own))


async def _prune(
    store: Store, before: float, counted: Callable[[int], None], tenant: str | None = None, but: Sequence[str] = ()
) -> None:
    removed = AT_ONCE
    while removed == AT_ONCE:
        removed = await store.prune(before, AT_ONCE, tenant, but)
        counted(removed)
        await asyncio.sleep(0)
