"""From one master key to another: data keys are wrapped anew one by one, while servers use them."""

from collections.abc import Sequence

from msgspec import Struct

from golive.core.chance import Chance
from golive.core.tasks import Tasks
from golive.store.data_keys import DataKeyRow, DataKeyStore
from golive.store.sealed.master import Masters

AT_ONCE = 500
"""Keys that are read at once: users have millions."""
_PASSES = 10


class Rewrapped(Struct, frozen=True):
    """What was done: `wrapped` anew under the master key `master`; `already` were under it."""

    master: str
    wrapped: int
    already: int


async def rewrap(store: DataKeyStore, masters: Masters, chance: Chance) -> Rewrapped:
    """Wraps every data key under `masters.present`; those that servers make meanwhile too, until a look finds none.

    Raises:
        ContentSealed: one is under a master key that was not given; those before it are wrapped, and it may go on.
        StoreUnavailable: likewise.
    """
    counted = [row for row in await store.counts() if row.state != "erased"]
    already = sum(row.count for row in counted if row.master == masters.present)
    wrapped = missed = 0
    while (rows := await store.to_rewrap(masters.present, AT_ONCE)) and missed < _PASSES:
        done = await _wrapped_anew(store, masters, rows, chance)
        wrapped += done
        missed = 0 if done else missed + 1  # others wrap the same ones at the same time
    return Rewrapped(masters.present, wrapped, already)


async def _wrapped_anew(store: DataKeyStore, masters: Masters, rows: Sequence[DataKeyRow], chance: Chance) -> int:
    """How many of these were wrapped anew; who holds a master key is asked about several at a time."""

    async def one(row: DataKeyRow) -> bool:
        return await store.rewrap(row, await masters.wrapped_anew(row, chance), masters.present)

    async with Tasks("rewrapping") as tasks:
        begun = [tasks.start(one(row), row.id) for row in rows]
    return sum(task.result() for task in begun)
