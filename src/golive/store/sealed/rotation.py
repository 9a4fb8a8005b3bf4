"""From one master key to another: data keys are wrapped anew one by one, while servers use them."""

from msgspec import Struct

from golive.core.chance import Chance
from golive.store.data_keys import DataKeyStore
from golive.store.sealed.master import Masters

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
    wrapped = already = 0
    for _ in range(_PASSES):
        rows = [row for row in await store.all() if row.erased_at is None]
        left = [row for row in rows if row.master != masters.present]
        already = len(rows) - len(left) - wrapped if wrapped == 0 else already
        if not left:
            break
        for row in left:
            wrapped += await store.rewrap(row, masters.rewrapped(row, chance), masters.present)
    return Rewrapped(masters.present, wrapped, already)
