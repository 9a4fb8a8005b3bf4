"""From one master key to another: data keys are wrapped anew one by one, while servers use them."""

from collections.abc import Sequence

from msgspec import Struct

from golive.core.chance import Chance
from golive.core.errors import NotAsItStands
from golive.core.tasks import Tasks
from golive.store.data_keys import DataKeyRow, DataKeyStore
from golive.store.sealed.master import Masters

AT_ONCE = 500
"""Keys that are read at once: users have millions."""
MOST_TOLD = 6
"""Servers that are named in an error."""
_PASSES = 10


class Rewrapped(Struct, frozen=True):
    """What was done: `wrapped` anew under the master key `master`; `already` were under it."""

    master: str
    wrapped: int
    already: int


async def rewrap(store: DataKeyStore, masters: Masters, chance: Chance, *, force: bool = False) -> Rewrapped:
    """Wraps every data key under `masters.present`; those that servers make meanwhile too, until a look finds none.

    A server fetches keys of users when they are needed, so each that lives must have that master key before; `force`
    does not ask.

    Raises:
        NotAsItStands: a server that lives does not have the master key. Nothing was wrapped.
        ContentSealed: one is under a master key that was not given; those before it are wrapped, and it may go on.
        StoreUnavailable: likewise.
    """
    without = [] if force else [one.holder for one in await store.living() if masters.present not in one.masters]
    if without:
        raise NotAsItStands(
            f"{len(without)} of the servers that run do not have the master key {masters.present}, and could not open "
            f"what is wrapped under it: {', '.join(without[:MOST_TOLD])}{', …' if len(without) > MOST_TOLD else ''}.",
            remedy="Name it in secrets.old_master_keys of each server, restart them one by one, and try again. One "
            "that has just died is forgotten after store.lease_s.",
            master=masters.present, servers=len(without),
        )  # fmt: skip
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
