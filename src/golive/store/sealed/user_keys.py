"""The data keys of users: fetched when one is needed, a bounded number of them in memory.

A user has a key of their own so that destroying it makes all that they said unreadable, in every copy of what was
sealed, and nothing else. There may be millions, so none is read before somebody speaks in its user's name. That one was
destroyed is found out whenever the store's control version changed, of those in memory all at once.
"""

from collections import OrderedDict

from msgspec.structs import replace

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import ContentErased, ContentSealed, StoreError
from golive.core.ids import Ids
from golive.core.sealing import MOST_VALUES
from golive.store.data_keys import DataKeyRow, DataKeyStore
from golive.store.sealed.master import Masters
from golive.store.sealed.values import Key

MOST = 2_048
"""Keys in memory; the one that was not used for longest makes room."""
BLOCK = 1_024
"""How many values a process reserves at once under a user's key: what is left when the key leaves memory is lost."""
_TRIES = 20

Place = tuple[str, str]


class UserKeys:
    """Those of all tenants."""

    def __init__(self, store: DataKeyStore, masters: Masters, clock: Clock, chance: Chance) -> None:
        self._store = store
        self._masters = masters
        self._clock = clock
        self._chance = chance
        self._ids = Ids(clock, chance)
        self._keys: OrderedDict[Place, tuple[Key, str]] = OrderedDict()
        """By tenant and id: the key, and whose it is. Last is the one that was used last."""
        self._present: dict[Place, Key] = {}
        """By tenant and user: the key that new values go under, as far as it is in memory."""
        self._looks = 0

    def __len__(self) -> int:
        return len(self._keys)

    # ---- opening

    def known(self, tenant: str, id_: str) -> Key | None:
        """The key, if it is in memory."""
        place = (tenant, id_)
        found = self._keys.get(place)
        if found is None:
            return None
        self._keys.move_to_end(place)
        return found[0]

    async def opening(self, tenant: str, id_: str, what: str) -> Key | None:
        """The key that `what` names; None: there is no such key of a user.

        Raises:
            ContentErased: it was destroyed. ContentSealed: it cannot be unwrapped.
            StoreUnavailable: it cannot be looked up.
        """
        while (key := self.known(tenant, id_)) is None:
            looks = self._looks
            row = await self._store.get(tenant, id_)
            if row is None or row.scope != "user":
                return None
            if row.erased_at is not None:
                raise erased(tenant, id_, what)
            secret = await self._masters.unwrapped(row)
            if looks == self._looks:
                return self._put(row, secret)
        return key

    async def whose(self, tenant: str, id_: str) -> str | None:
        """The user whose key it is; None: it is no user's. Raises as `opening`."""
        if await self.opening(tenant, id_, f"what is under {id_}") is None:
            return None
        return self._keys[tenant, id_][1]

    # ---- sealing

    def at_hand(self, tenant: str, user: str, count: int) -> Key | None:
        """The user's present key with room for `count` more values, which are taken; None: ask `renewed`."""
        key = self._present.get((tenant, user))
        if key is None or key.left < count:
            return None
        self._keys.move_to_end((tenant, key.id))
        key.left -= count
        return key

    async def renewed(self, tenant: str, user: str, count: int) -> Key:
        """As `at_hand`, after looking the key up, reserving more, or making a new one.

        Raises:
            ContentErased: the user, or the tenant, was erased.
            ContentSealed: the present key is wrapped under a master key that we do not have.
            StoreUnavailable: nothing can be looked up, reserved or made, or who holds the master key cannot be asked.
        """
        block = max(BLOCK, count)
        for _ in range(_TRIES):
            key = self.at_hand(tenant, user, count)
            if key is not None:
                return key
            looks = self._looks
            row = await self._store.present(tenant, user)
            if row is not None and await self._store.reserve(tenant, row.id, block, MOST_VALUES):
                secret = None if (tenant, row.id) in self._keys else await self._masters.unwrapped(row)
                if looks == self._looks:
                    self._put(row, secret, user).left += block
                continue
            await self._make(tenant, user, None if row is None else row.id, block)
        raise StoreError(
            f"No data key of the user {user} of {tenant} stays the present one.",
            remedy="Find out who replaces data keys all the time.", tenant=tenant,
        )  # fmt: skip

    async def _make(self, tenant: str, user: str, replaces: str | None, block: int) -> None:
        """A new present key, unless somebody else was quicker; its first values are reserved with it."""
        looks, now = self._looks, self._clock.now()
        row = await self._masters.made(tenant, self._ids.new("dk"), now, self._chance, "user", user)
        secret = await self._masters.unwrapped(row)
        if await self._store.add(replace(row, reserved=block), replaces) and looks == self._looks:
            self._put(row, secret, user).left += block

    # ---- what is in memory

    def _put(self, row: DataKeyRow, secret: bytes | None, present_of: str | None = None) -> Key:
        """The key of the row, in memory from now on. `secret`: itself, unwrapped; None: it is in memory already."""
        place = (row.tenant, row.id)
        found = self._keys.get(place)
        if found is not None:
            key = found[0]
        else:
            assert secret is not None, "it has just left memory, and nobody looked"
            key = Key(row.tenant, row.id, secret)
        self._keys[place] = key, row.subject
        self._keys.move_to_end(place)
        if present_of is not None:
            self._present[row.tenant, present_of] = key
        while len(self._keys) > MOST:
            self._drop(next(iter(self._keys)))
        return key

    def _drop(self, place: Place) -> None:
        key, user = self._keys.pop(place)
        if self._present.get((place[0], user)) is key:
            del self._present[place[0], user]

    async def refresh(self) -> None:
        """Forgets those that were destroyed since. Raises StoreUnavailable."""
        self._looks += 1  # what is being looked up meanwhile is looked up again: it may have been read before
        if self._keys:
            for place in await self._store.erased(list(self._keys)):
                if place in self._keys:
                    self._drop(place)


def erased(tenant: str, id_: str, what: str) -> ContentErased:
    """The error for something whose key was destroyed."""
    return ContentErased(
        f"The content of {what} was erased: the key that it was sealed under was destroyed.",
        remedy="Nobody can read it any more, golive included.", tenant=tenant, key_id=id_,
    )  # fmt: skip


def no_such_key(tenant: str, id_: str, what: str) -> ContentSealed:
    """The error for something whose key is in no row."""
    return ContentSealed(
        f"The content of {what} cannot be opened: there is no data key {id_} of {tenant}.",
        remedy="Restore the table data_keys from a backup.", tenant=tenant, key_id=id_,
    )  # fmt: skip
