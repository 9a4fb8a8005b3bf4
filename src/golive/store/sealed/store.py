"""A store that wraps a store: what goes in is sealed, what comes out is opened, and the rest passes through.

Sealed are the bodies of events and messages, and the words in which receivers refused a message. It is done in the
caller's own step, before the write joins its group: no thread and no await lie between, but when a block of values must
be reserved. Whatever the wrapped store has besides is handed out as it is.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast

from msgspec.structs import replace

from golive.core.chance import Chance
from golive.core.errors import ContentErased, ContentSealed
from golive.core.events import Event
from golive.core.sealing import NONCE_BYTES
from golive.store.ports import Delivery, Lease, OutboxMessage, Store, TenantStore
from golive.store.sealed.keys import DataKeys, Notice
from golive.store.sealed.values import (
    Key,
    key_of_error,
    key_of_message,
    opened_error,
    opened_event,
    opened_message,
    sealed_error,
    sealed_event,
    sealed_message,
)

LATER_S = 300.0
"""After how long a message that cannot be opened is looked at again: its key may be wrapped otherwise by then."""
_NOT_KEPT = "an attempt failed; why is not kept, for the tenant's content was erased"


def sealed(store: Store, keys: DataKeys, chance: Chance, notice: Notice) -> Store:
    """The store, with content sealed under `keys`. `chance` gives the nonces."""
    return cast(Store, SealedStore(store, keys, chance, notice))


class SealedStore:
    """Keeps `store.ports.Store`; made by `sealed`."""

    def __init__(self, store: Store, keys: DataKeys, chance: Chance, notice: Notice) -> None:
        self._store = store
        self._keys = keys
        self._chance = chance
        self._notice = notice

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def tenant(self, tenant: str) -> TenantStore:
        """The handle through which everything of one tenant is read and set."""
        return cast(TenantStore, SealedTenant(self._store.tenant(tenant), self._keys))

    async def append(
        self, lease: Lease, expect_seq: int, events: Sequence[Event], *, outbox: Sequence[OutboxMessage] = (),
        **further: Any,
    ) -> None:  # fmt: skip
        """See `Store.append`. Raises ContentSealed besides: the tenant's key cannot be used; nothing was written."""
        count = len(events) + len(outbox)
        if count:
            key = self._keys.at_hand(lease.tenant, count) or await self._keys.renewed(lease.tenant, count)
            nonces = self._chance.token(NONCE_BYTES * count)
            drawn = [nonces[at : at + NONCE_BYTES] for at in range(0, len(nonces), NONCE_BYTES)]
            events = [sealed_event(event, key, nonce) for event, nonce in zip(events, drawn, strict=False)]
            if outbox:
                outbox = [
                    sealed_message(one, key, nonce) for one, nonce in zip(outbox, drawn[len(events) :], strict=True)
                ]
        await self._store.append(lease, expect_seq, events, outbox=outbox, **further)

    async def claim_messages(self, for_s: float, limit: int, **further: Any) -> list[Delivery]:
        """See `Store.claim_messages`. What was erased is given up here, and what cannot be opened comes later."""
        found: list[Delivery] = []
        for message in await self._store.claim_messages(for_s, limit, **further):
            try:
                found.append(await opened(message, self._keys))
            except ContentErased as error:
                await self._store.settle_message(message.tenant, message.id, "dead", error.message)
            except ContentSealed as error:
                self._notice.error("content.not_opened", tenant=message.tenant, message=str(error))
                await self._store.settle_message(message.tenant, message.id, "due", error.message, LATER_S)
        return found

    async def settle_message(
        self, tenant: str, id_: str, state: Literal["due", "sent", "dead"], error: str | None, after_s: float = 0.0
    ) -> None:
        """See `Store.settle_message`."""
        if error:
            if self._keys.writes(tenant):
                key = self._keys.at_hand(tenant, 1) or await self._keys.renewed(tenant, 1)
                error = sealed_error(tenant, id_, error, key, self._chance.token(NONCE_BYTES))
            else:
                error = _NOT_KEPT
        await self._store.settle_message(tenant, id_, state, error, after_s)

    async def control_version(self) -> int:
        """See `Store.control_version`: whoever polls it has the keys follow."""
        version = await self._store.control_version()
        await self._keys.follow(version)
        return version


class SealedTenant:
    """Keeps `store.ports.TenantStore`."""

    def __init__(self, store: TenantStore, keys: DataKeys) -> None:
        self._store = store
        self._keys = keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def events(self, run: str, after_seq: int = 0, limit: int = 10_000) -> list[Event]:
        """See `TenantStore.events`.

        Raises:
            ContentErased: the key of one of them was destroyed.
            ContentSealed: one of them cannot be opened; it is named. None is returned: half a journal is none.
        """
        return [await self._opened(event) for event in await self._store.events(run, after_seq, limit)]

    async def tail(self, after: str, limit: int = 1_000) -> tuple[list[Event], str]:
        """See `TenantStore.tail`. Events that were erased come with an empty body."""
        events, cursor = await self._store.tail(after, limit)
        found: list[Event] = []
        for event in events:
            try:
                found.append(await self._opened(event))
            except ContentErased:
                found.append(replace(event, body=b""))
        return found, cursor

    async def _opened(self, event: Event) -> Event:
        if event.key_id is None:
            return event
        key = self._keys.known(event.tenant, event.key_id)
        if key is None:
            what = f"event {event.seq} of the run {event.run}"
            key = await self._keys.opening(event.tenant, event.key_id, what)
        return opened_event(event, key)

    async def deliveries(self, **asked: Any) -> list[Delivery]:
        """See `TenantStore.deliveries`. Messages that were erased come with an empty body."""
        found: list[Delivery] = []
        for message in await self._store.deliveries(**asked):
            try:
                found.append(await opened(message, self._keys))
            except ContentErased:
                found.append(replace(message, body=b"", last_error=None))
        return found


async def opened(message: Delivery, keys: DataKeys) -> Delivery:
    """The message in plain words. Raises ContentErased, ContentSealed, StoreUnavailable."""

    async def key(id_: str) -> Key:
        return await keys.opening(message.tenant, id_, f"the message {message.id}")

    if (of_error := key_of_error(message.last_error)) is not None:
        message = opened_error(message, await key(of_error))
    if (of_body := key_of_message(message.body)) is not None:
        message = opened_message(message, await key(of_body))
    return message
