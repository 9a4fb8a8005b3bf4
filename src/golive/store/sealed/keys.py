"""The data keys of all tenants, unwrapped, in memory: which one new values go under, and which one opens an old value.

What is said in a user's name goes under that user's key (`user_keys.py`), everything else under the tenant's. Learns of
keys that others made, retired or destroyed from the store's control version, and of one it does not know when a value
names it. Reserves in the store, block by block, how many values it may seal: no key ever seals more than `MOST_VALUES`,
however many servers use it and however often they are killed.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import ConfigError, ContentSealed, GoliveError, StoreError, StoreUnavailable
from golive.core.ids import Ids
from golive.core.sealing import MOST_VALUES
from golive.store.data_keys import DataKeyRow, DataKeyStore
from golive.store.sealed.master import Masters
from golive.store.sealed.user_keys import Place, UserKeys, erased, no_such_key
from golive.store.sealed.values import Key

BLOCK = 65_536
"""How many values a process reserves at once. What it does not use is lost when it ends; that costs nothing but keys
that are replaced sooner."""
_TRIES = 20
"""How often a present key is looked for while others retire it, before that is given up."""


class Notice(Protocol):
    """The log: what an operator should know."""

    def info(self, event: str, /, **fields: Any) -> None: ...

    def error(self, event: str, /, **fields: Any) -> None: ...


class Unwrapped:
    """Rows of data keys, and what is in them as far as our master keys open it."""

    def __init__(self, masters: Masters) -> None:
        self._masters = masters
        self._keys: dict[Place, Key] = {}
        self._erased: frozenset[Place] = frozenset()
        self._refused: dict[Place, GoliveError] = {}
        self.present: dict[str, DataKeyRow] = {}
        """By tenant, the key that its new values go under."""

    def unknown(self, rows: Iterable[DataKeyRow]) -> list[DataKeyRow]:
        """Those whose keys are not unwrapped yet, and could be."""
        return [row for row in rows if row.erased_at is None and (row.tenant, row.id) not in self._keys]

    def take(
        self, rows: Iterable[DataKeyRow], asked: Mapping[Place, bytes | GoliveError] = MappingProxyType({})
    ) -> list[GoliveError]:
        """Puts these in place of those known so far; tells of those that cannot be unwrapped.

        A key that was unwrapped before stays, also when it is wrapped now under a master key that we do not have, or
        cannot ask. `asked`: what the holder of a master key said of some; the others are unwrapped here.
        """
        before, self._keys, self._refused, self.present = self._keys, {}, {}, {}
        destroyed: list[tuple[str, str]] = []
        for row in rows:
            place = (row.tenant, row.id)
            if row.erased_at is not None:
                destroyed.append(place)
                continue
            try:
                self._keys[place] = before.get(place) or Key(row.tenant, row.id, self._secret(row, asked))
            except (ContentSealed, StoreUnavailable, ConfigError) as error:
                self._refused[place] = error
            if row.retired_at is None:
                self.present[row.tenant] = row
        self._erased = frozenset(destroyed)
        return list(self._refused.values())

    def _secret(self, row: DataKeyRow, asked: Mapping[Place, bytes | GoliveError]) -> bytes:
        found = asked.get((row.tenant, row.id))
        if found is None:
            return self._masters.unwrap(row)
        if isinstance(found, GoliveError):
            raise found
        return found

    def get(self, tenant: str, id_: str) -> Key | None:
        """The key, if there is one that opens."""
        return self._keys.get((tenant, id_))

    def knows(self, tenant: str, id_: str) -> bool:
        """Whether there is such a row, whatever became of its key, as far as that will stay so."""
        place = (tenant, id_)
        return place in self._keys or place in self._erased or isinstance(self._refused.get(place), ContentSealed)

    def must(self, tenant: str, id_: str, what: str) -> Key:
        """The key that `what` names.

        Raises:
            ContentErased: it was destroyed. ContentSealed: there is none, or it cannot be unwrapped.
            StoreUnavailable: who holds the master key cannot be asked to unwrap it.
        """
        found = self._keys.get((tenant, id_))
        if found is not None:
            return found
        if (tenant, id_) in self._erased:
            raise erased(tenant, id_, what)
        refused = self._refused.get((tenant, id_))
        if isinstance(refused, StoreUnavailable):
            raise StoreUnavailable(refused.message, remedy=refused.remedy, **refused.fields)
        if refused is not None:
            raise ContentSealed(
                f"The content of {what} cannot be opened. {refused.message}", remedy=refused.remedy, **refused.fields
            )
        raise no_such_key(tenant, id_, what)


class DataKeys:
    """See the module. Made by `start`."""

    def __init__(self, store: DataKeyStore, masters: Masters, clock: Clock, chance: Chance, notice: Notice) -> None:
        self._store = store
        self.masters = masters
        self._clock = clock
        self._chance = chance
        self._ids = Ids(clock, chance)
        self._notice = notice
        self._unwrapped = Unwrapped(masters)
        self._of_users = UserKeys(store, masters, clock, chance)
        self.not_opened = Counter[str]()
        """By tenant, how many values were not what had been sealed there, or under a key that is not had."""
        self._told: set[str] = set()
        self._version = -1
        self._refreshing = asyncio.Lock()
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        """Unwraps all keys of tenants that there are. Those of users are fetched later, but are looked at, too.

        Raises:
            ContentSealed: one cannot be unwrapped: the master key is another than that of the database, of which a key
                of a tenant or a user is wrapped under one that was not given.
            StoreUnavailable: the store cannot be read, or who holds the master key cannot be asked.
            ConfigError: who holds it refuses us.
        """
        refused = await self._take()
        if refused:
            raise refused[0]
        await self._look_at_users()

    async def _look_at_users(self) -> None:
        """Raises as `start` where keys of users cannot be unwrapped, and so nothing may be sealed beside them."""
        counted = [row for row in await self._store.counts() if row.master and row.scope == "user"]
        for row in counted:
            if row.master not in self.masters.accepted:
                many = f"{row.count} data keys of users" if row.count > 1 else "The data key of a user"
                what = f"{many} of {row.tenant} {'are' if row.count > 1 else 'is'}"
                raise self.masters.not_given(row.master, what, row.tenant)
        if counted and not self._unwrapped.present:
            for sample in await self._store.to_rewrap("", 1):
                await self.masters.unwrapped(sample)

    async def _take(self) -> list[GoliveError]:
        rows = await self._store.all()
        return self._unwrapped.take(rows, await self.masters.all_unwrapped(self._unwrapped.unknown(rows)))

    async def follow(self, version: int) -> None:
        """Reads all keys anew if `version`, the store's control version, is another than the last one."""
        if version != self._version:
            await self.refresh()
            self._version = version

    async def refresh(self) -> None:
        """Reads all keys of tenants anew, and forgets those of users that were destroyed. Raises StoreUnavailable."""
        async with self._refreshing:
            await self._of_users.refresh()
            refused = {str(error.fields.get("key_id", error.message)): error for error in await self._take()}
            for about, error in refused.items():
                if about not in self._told:
                    self._notice.error("data_key.not_unwrapped", message=error.message, remedy=error.remedy)
            self._told = set(refused)

    # ---- opening

    def known(self, tenant: str, id_: str) -> Key | None:
        """The key, if it is in memory."""
        return self._unwrapped.get(tenant, id_) or self._of_users.known(tenant, id_)

    async def opening(self, tenant: str, id_: str, what: str) -> Key:
        """The key that `what` names, looked up where it is not in memory.

        Raises:
            ContentErased: it was destroyed. ContentSealed: there is none, or it cannot be unwrapped.
            StoreUnavailable: it cannot be looked up.
        """
        if not self._unwrapped.knows(tenant, id_):
            of_user = await self._of_users.opening(tenant, id_, what)
            if of_user is not None:
                return of_user
            await self.refresh()
        return self._unwrapped.must(tenant, id_, what)

    async def user_of(self, tenant: str, id_: str) -> str | None:
        """Whose key it is; None: the tenant's own. Raises ContentErased, StoreUnavailable."""
        if self._unwrapped.knows(tenant, id_):
            return None
        return await self._of_users.whose(tenant, id_)

    def fails_to_open(self, tenant: str, error: ContentSealed) -> None:
        """Counts a value that did not open, and tells the log what a client is not told."""
        self.not_opened[tenant] += 1
        self._notice.error("content.not_opened", tenant=tenant, message=str(error))

    # ---- sealing

    def writes(self, tenant: str) -> bool:
        """Whether the tenant has a key that new values go under."""
        return tenant in self._unwrapped.present

    def at_hand(self, tenant: str, count: int, user: str | None = None) -> Key | None:
        """The present key with room for `count` more values, which are taken; None: ask `renewed`."""
        if user is not None:
            return self._of_users.at_hand(tenant, user, count)
        row = self._unwrapped.present.get(tenant)
        key = None if row is None else self._unwrapped.get(tenant, row.id)
        if key is None or key.left < count:
            return None
        key.left -= count
        return key

    async def renewed(self, tenant: str, count: int, user: str | None = None) -> Key:
        """As `at_hand`, after reserving more, or making a new key where there is none or the present one is used up.

        Raises:
            ContentErased: the tenant, or the user, was erased.
            ContentSealed: the present key is wrapped under a master key that we do not have.
            StoreUnavailable: nothing can be reserved or made.
        """
        if user is not None:
            return await self._of_users.renewed(tenant, user, count)
        async with self._renewing:
            for _ in range(_TRIES):
                key = self.at_hand(tenant, count)
                if key is not None:
                    return key
                row = self._unwrapped.present.get(tenant)
                if row is None:
                    await self._make(tenant, None)
                    continue
                key = self._unwrapped.must(tenant, row.id, f"new values of {tenant}")
                block = max(BLOCK, count)
                if await self._store.reserve(tenant, row.id, block, MOST_VALUES):
                    key.left += block
                    continue
                await self.refresh()
                now = self._unwrapped.present.get(tenant)
                if now is not None and now.id == row.id:
                    await self._make(tenant, row.id)
        raise StoreError(
            f"No data key of {tenant} stays the present one: each was retired before a value was sealed.",
            remedy="Find out who rotates data keys all the time.", tenant=tenant,
        )  # fmt: skip

    async def rotate(self, tenant: str) -> str:
        """Retires the tenant's present key; the id of the one that new values go under now. Raises StoreError."""
        row = self._unwrapped.present.get(tenant)
        await self._make(tenant, None if row is None else row.id)
        return self._unwrapped.present[tenant].id

    async def _make(self, tenant: str, replaces: str | None) -> None:
        """A new present key, unless somebody else was quicker."""
        row = await self.masters.made(tenant, self._ids.new("dk"), self._clock.now(), self._chance)
        if await self._store.add(row, replaces):
            self._notice.info("data_key.created", tenant=tenant, key_id=row.id, replaces=replaces)
        await self.refresh()
