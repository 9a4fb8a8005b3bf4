"""Every key of the installation, in memory: who is it that asks, answered in microseconds.

What this process itself makes or revokes the ring is told at once (`learn`). What others do it learns from the store's
control version, polled (a revoked key stops working within `POLL_S` on every replica) and, for an id it does not know,
looked up at once, so that a key works the moment it was made. Owns authentication by key and the lazy record of last
use; leaves what a principal may do to `authorize.py`.
"""

import asyncio

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import StoreError
from golive.core.following import Fault, Survived, untold
from golive.core.tasks import Tasks
from golive.store.ports import KeyRow, Store
from golive.tenants.authentication import unauthenticated
from golive.tenants.authorize import Principal
from golive.tenants.keys import key_id_of, mac_of, matches, new_key, usable
from golive.tenants.makers import Maker, maker_of, makers
from golive.tenants.rolebook import Rolebook

POLL_S = 0.25
"""How often the store's control version is read."""
LOOKUP_S = 0.1
"""Least time between two reads of the store for unknown ids, so that guesses cannot become load on it."""
LAST_USED_S = 30.0
"""How often the times of last use are written, and how exact they therefore are."""


class Keyring:
    """Answers `authenticate` from memory. `start` loads the keys and keeps following; `close` writes what is left."""

    def __init__(
        self, store: Store, pepper: bytes, clock: Clock, rolebook: Rolebook | None = None, fault: Fault = untold
    ) -> None:
        """`rolebook`: the roles there are; the built-in ones when absent. `fault`: told of what following raised."""
        self._store = store
        self._rolebook = rolebook or Rolebook()
        self._pepper = pepper
        self._clock = clock
        self._known: dict[str, tuple[KeyRow, Principal]] = {}
        self._lent: dict[str, tuple[KeyRow, Principal]] = {}
        self._version = -1
        self._looked_up_at = float("-inf")
        self._refreshing = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._used: dict[str, float] = {}
        self._written_at = clock.monotonic()
        self._reading = Survived("keys", fault)
        self._writing = Survived("keys.used", fault)
        self._tasks = Tasks("keyring")

    async def start(self) -> None:
        """Loads all keys and begins to follow changes.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        await self.refresh()
        self._tasks.start(self._follow(), "follow")

    async def close(self) -> None:
        """Stops following and writes the times of last use."""
        await self._tasks.close()
        await self._write_used()

    async def authenticate(self, credential: str) -> Principal:
        """Who holds the key.

        Raises:
            Unauthenticated: always with the same words, so that nobody learns which part was wrong.
        """
        key_id = key_id_of(credential)
        if key_id is None:
            raise unauthenticated()
        found = self._known.get(key_id)
        if found is None:
            found = await self._look_up(key_id)
        if found is not None:
            row, principal = found
            now = self._clock.now()
            if matches(credential, row, self._pepper) and usable(row, now):
                self._used[key_id] = now
                return principal
        raise unauthenticated()

    async def _look_up(self, key_id: str) -> tuple[KeyRow, Principal] | None:
        """Reads the store for a key made since the last poll.

        One read serves all who asked before it began, and the reads keep `LOOKUP_S` apart: a flood of guesses waits for
        the same few reads, and a good key among them is still found.
        """
        asked = self._clock.monotonic()
        async with self._looking:
            if self._looked_up_at < asked and key_id not in self._known:
                pause = self._looked_up_at + LOOKUP_S - self._clock.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                self._looked_up_at = self._clock.monotonic()
                try:
                    await self.refresh()
                except StoreError:
                    return None
            return self._known.get(key_id)

    async def refresh(self) -> None:
        """Reads all keys anew if the store's control version has changed."""
        async with self._refreshing:
            version = await self._store.control_version()
            if version == self._version:
                return
            rows = await self._store.all_keys()
            whose = makers(rows)
            self._known = {row.id: self._entry(row, whose[row.id]) for row in rows} | self._lent
            self._version = version

    def lend(self, tenant: str, name: str, role: str, chance: Chance) -> str:
        """A key that this ring alone knows: it stands in no store, works at once, and ends with the process."""
        key_id, key = new_key(chance)
        row = KeyRow(tenant, key_id, name, role, mac_of(key, self._pepper), self._clock.now(), "cli")
        self._lent[key_id] = self._known[key_id] = self._entry(row, None)
        return key

    def reread(self) -> None:
        """Gives every key what its role means now, after the rolebook has adopted another configuration."""
        self._known = {key_id: self._entry(row, was.maker) for key_id, (row, was) in self._known.items()}
        self._lent = {key_id: self._known[key_id] for key_id in self._lent}

    def _entry(self, row: KeyRow, maker: Maker | None) -> tuple[KeyRow, Principal]:
        held = self._rolebook.held(row.role)
        id_ = f"key:{row.id}" if held.user is None else f"user:{held.user}"
        return row, Principal(
            row.tenant, id_, held.role, held.grants, held.across, expires_at=row.expires_at, own_runs=held.own_runs,
            maker=maker,
        )  # fmt: skip

    async def learn(self, row: KeyRow) -> None:
        """Takes in a key that was just made or revoked here: it counts from the next request on."""
        async with self._refreshing:  # one under way may have read the store before the change, and would undo this
            known = self._known.get(row.id)
            if known is None or known[0].revoked_at is None:  # what is told late does not bring a revoked key back
                others = {key_id: was.maker for key_id, (_, was) in self._known.items()}
                self._known[row.id] = self._entry(row, maker_of(row, others))
            self._version = -1  # somebody else may have changed it since

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            with self._reading.look():
                await self.refresh()
            if self._clock.monotonic() - self._written_at >= LAST_USED_S:
                with self._writing.look():
                    await self._write_used()

    async def _write_used(self) -> None:
        """Writes the times of last use, one statement a tenant; a time that cannot be written is dropped."""
        self._written_at = self._clock.monotonic()
        used, self._used = self._used, {}
        by_tenant: dict[str, dict[str, float]] = {}
        for key_id, at in used.items():
            if key_id in self._known and key_id not in self._lent:
                by_tenant.setdefault(self._known[key_id][0].tenant, {})[key_id] = at
        for tenant, times in by_tenant.items():
            try:
                await self._store.tenant(tenant).keys_used(times)
            except StoreError:
                return
