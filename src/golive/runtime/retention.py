"""Finished runs go after their time, a few at once, so that a database does not grow for ever."""

import asyncio

from golive.core.clock import Clock
from golive.core.errors import StoreError
from golive.runtime.place import FaultLog
from golive.store.ports import Store

EVERY_S = 60.0
AT_ONCE = 500
"""Runs removed in one transaction: others are not kept waiting for longer."""
DAY_S = 86_400.0


async def keep(store: Store, clock: Clock, days: float, faults: FaultLog) -> None:
    """Removes runs that finished more than `days` ago, for ever; a store that cannot be written is tried again."""
    while True:
        try:
            while await store.prune(clock.now() - days * DAY_S, AT_ONCE) == AT_ONCE:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        except StoreError as error:
            faults("", error)
        await asyncio.sleep(EVERY_S)
