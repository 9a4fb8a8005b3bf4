"""The master keys of an installation: the one that data keys are wrapped under now, and those accepted besides.

A master key is either at hand, 32 bytes in memory, or held elsewhere by somebody who wraps and unwraps for us (AWS KMS)
and never gives it out. What is wrapped is bound to installation, tenant, subject and the data key's id either way.
Whoever has an event loop uses `made`, `unwrapped` and `wrapped_anew`, which ask a holder in a thread; `new`, `unwrap`
and `rewrapped` do the same and block meanwhile.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from msgspec.structs import replace

from golive.core.chance import Chance
from golive.core.errors import ConfigError, ContentSealed, GoliveError, StoreUnavailable
from golive.core.sealing import KEY_BYTES, NONCE_BYTES, NotAuthentic, SealingKey, fingerprint, place
from golive.core.tasks import Tasks
from golive.store.data_keys import DataKeyRow, Scope

T = TypeVar("T")
AT_ONCE = 8
"""Questions to a holder at the same time."""
AGAIN_S = 5.0
"""Least time before a holder that could not be asked is asked again."""


class Holder(Protocol):
    """Who holds a master key elsewhere. All of it blocks.

    Raises:
        StoreUnavailable: it cannot be asked now. ConfigError: it refuses us.
    """

    @property
    def name(self) -> str:
        """What rows name the key by."""
        ...

    def wrap(self, key: bytes, context: Mapping[str, str]) -> bytes:
        """The key, wrapped, and bound to the context."""
        ...

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The key. Raises NotAuthentic besides: it was not wrapped under this master key, for this context."""
        ...


class Masters:
    """Wraps and unwraps data keys."""

    def __init__(self, installation: str, present: bytes | Holder, old: Sequence[bytes | Holder] = ()) -> None:
        """`installation`: its id. Blocks where a holder has to be asked for the name of its key.

        Raises:
            ValueError: a key has another length than 32 bytes. StoreUnavailable, ConfigError: as `Holder`.
        """
        self.installation = installation
        self._keys: dict[str, SealingKey] = {}
        self._holders: dict[str, Holder] = {}
        for key in (*reversed(old), present):
            if isinstance(key, bytes):
                self.present = fingerprint(key)
                self._keys[self.present] = SealingKey(key)
            else:
                self.present = key.name
                self._holders[self.present] = key
        self._room = asyncio.Semaphore(AT_ONCE)
        self._away: dict[str, tuple[float, StoreUnavailable | ConfigError]] = {}
        """By the name of a master key, when its holder could not be asked, and why."""

    @property
    def accepted(self) -> frozenset[str]:
        """The names of all that unwrap."""
        return frozenset(self._keys) | frozenset(self._holders)

    @property
    def names(self) -> tuple[str, ...]:
        """As `accepted`, the present one first."""
        return self.present, *sorted(self.accepted - {self.present})

    # ---- for whoever has an event loop

    async def made(
        self, tenant: str, id_: str, now: float, chance: Chance, scope: Scope = "tenant", subject: str = ""
    ) -> DataKeyRow:
        """As `new`, without blocking."""
        if self.present in self._keys:
            return self.new(tenant, id_, now, chance, scope, subject)
        return await self._asked(self.present, lambda: self._new(tenant, id_, now, chance, scope, subject))

    async def unwrapped(self, row: DataKeyRow) -> bytes:
        """As `unwrap`, without blocking."""
        return await self._asked(row.master, lambda: self._unwrap(row)) if row.master in self._holders else (
            self.unwrap(row)
        )  # fmt: skip

    async def wrapped_anew(self, row: DataKeyRow, chance: Chance) -> bytes:
        """As `rewrapped`, without blocking."""
        key = await self.unwrapped(row)
        if self.present in self._keys:
            return self._wrap(row, key, chance)
        return await self._asked(self.present, lambda: self._wrap(row, key, chance))

    async def all_unwrapped(self, rows: Iterable[DataKeyRow]) -> dict[tuple[str, str], bytes | GoliveError]:
        """By tenant and id, each key that a holder must be asked for, or why it could not be unwrapped.

        Those of master keys at hand are left out: they cost nothing where they are needed.
        """
        found: dict[tuple[str, str], bytes | GoliveError] = {}

        async def ask(row: DataKeyRow) -> None:
            try:
                found[row.tenant, row.id] = await self.unwrapped(row)
            except (ContentSealed, StoreUnavailable, ConfigError) as error:
                found[row.tenant, row.id] = error

        asked = [row for row in rows if row.master in self._holders]
        if not asked:
            return found
        async with Tasks("unwrapping") as tasks:
            for row in asked:
                tasks.start(ask(row), row.id)
        return found

    async def _asked(self, master: str, work: Callable[[], T]) -> T:
        """What a holder answers, asked in a thread.

        Raises:
            StoreUnavailable, ConfigError: it cannot be asked, or could not be a moment ago.
        """
        clock = asyncio.get_running_loop()
        async with self._room:
            at, error = self._away.get(master, (float("-inf"), None))
            if error is not None and clock.time() - at < AGAIN_S:
                raise type(error)(error.message, remedy=error.remedy, **error.fields)
            try:
                answer = await asyncio.to_thread(work)
            except (StoreUnavailable, ConfigError) as failed:
                self._away[master] = clock.time(), failed
                raise
            self._away.pop(master, None)
            return answer

    # ---- for commands, and for keys at hand

    def new(
        self, tenant: str, id_: str, now: float, chance: Chance, scope: Scope = "tenant", subject: str = ""
    ) -> DataKeyRow:
        """A fresh data key, of which no value may be sealed yet.

        Raises:
            StoreUnavailable, ConfigError: as `Holder`.
        """
        self._may_block(self.present)
        return self._new(tenant, id_, now, chance, scope, subject)

    def unwrap(self, row: DataKeyRow) -> bytes:
        """The data key itself.

        Raises:
            ContentSealed: it is wrapped under a master key that was not given, or is damaged, or another row's.
            StoreUnavailable, ConfigError: as `Holder`.
        """
        self._may_block(row.master)
        return self._unwrap(row)

    def rewrapped(self, row: DataKeyRow, chance: Chance) -> bytes:
        """What is wrapped in `row`, under the present master key. Raises as `unwrap`."""
        key = self.unwrap(row)
        self._may_block(self.present)
        return self._wrap(row, key, chance)

    def _may_block(self, master: str) -> None:
        """An event loop never waits for a holder: to call for one there is a fault of golive's own."""
        if master in self._holders:
            with suppress(RuntimeError):
                asyncio.get_running_loop()
                raise AssertionError(f"the event loop would wait for {master}")

    # ---- both

    def not_given(self, master: str, what: str, tenant: str, **fields: str) -> ContentSealed:
        """Why what is wrapped under the master key of that name cannot be opened. `what`: such as "3 data keys are"."""
        return ContentSealed(
            f"{what} wrapped under the master key {master}, which golive was not given: it has "
            f"{', '.join(sorted(self.accepted))}.",
            remedy="Set secrets.master_key to the key that the database was written with, or name it in "
            "secrets.old_master_keys. No other key opens what is there.",
            tenant=tenant, master=master, **fields,
        )  # fmt: skip

    def _new(self, tenant: str, id_: str, now: float, chance: Chance, scope: Scope, subject: str) -> DataKeyRow:
        row = DataKeyRow(tenant, id_, scope, subject, b"", self.present, 0, now)
        return replace(row, wrapped=self._wrap(row, chance.token(KEY_BYTES), chance))

    def _unwrap(self, row: DataKeyRow) -> bytes:
        key, holder = self._keys.get(row.master), self._holders.get(row.master)
        if key is None and holder is None:
            raise self.not_given(row.master, f"The data key {row.id} of {row.tenant} is", row.tenant, key_id=row.id)
        try:
            if holder is not None:
                return holder.unwrap(row.wrapped, self._context(row))
            assert key is not None
            return key.open(row.wrapped, self._place(row))
        except NotAuthentic:
            raise ContentSealed(
                f"The data key {row.id} of {row.tenant} cannot be unwrapped: its row was changed, or is of another "
                "installation.",
                remedy="Restore the table data_keys from a backup.",
                tenant=row.tenant, key_id=row.id, master=row.master,
            ) from None  # fmt: skip

    def _wrap(self, row: DataKeyRow, key: bytes, chance: Chance) -> bytes:
        holder = self._holders.get(self.present)
        if holder is not None:
            return holder.wrap(key, self._context(row))
        return self._keys[self.present].seal(key, self._place(row), chance.token(NONCE_BYTES))

    def _place(self, row: DataKeyRow) -> bytes:
        return place("data key", self.installation, row.tenant, row.scope, row.subject, row.id)

    def _context(self, row: DataKeyRow) -> dict[str, str]:
        """The place as a holder is told it, whose own log may show it: no user's name stands there in plain words."""
        whole = hashlib.sha256(self._place(row)).hexdigest()
        return {"golive-tenant": row.tenant, "golive-key": row.id, "golive-place": whole}
