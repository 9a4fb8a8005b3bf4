"""From one master key to another: data keys are wrapped anew one by one, while servers use them."""

from msgspec import Struct

from golive.core.chance import Chance
from golive.store.data_keys import DataKeyStore
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
        done = 0
        for row in rows:
            done += await store.rewrap(row, masters.rewrapped(row, chance), masters.present)
        wrapped += done
        missed = 0 if done else missed + 1  # others wrap the same ones at the same time
    return Rewrapped(masters.present, wrapped, already)
