"""A store that wraps a store: what goes in is sealed, what comes out is opened, and the rest passes through.

Sealed are the bodies of events and messages, and the words in which receivers refused a message: under the key of the
user in whose name the run was begun, or the tenant's where there is none. It is done in the
caller's own step, before the write joins its group: no thread and no await lie between, but when a block of values must
be reserved. Whatever the wrapped store has besides is handed out as it is.
"""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, cast

from msgspec.structs import replace

from golive.core.chance import Chance
from golive.core.errors import ContentErased, ContentSealed, StoreUnavailable
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
    plain_event,
    plain_message,
    sealed_error,
    sealed_event,
    sealed_message,
)

MOST_CLAIMED = 10_000
"""Messages of which it is known under which key they came; the oldest is forgotten first."""
LATER_S = 300.0
"""After how long a message that cannot be opened is looked at again: its key may be wrapped otherwise by then."""
_NOT_KEPT = "an attempt failed; why is not kept, for the tenant's content was erased"


def sealed(store: Store, keys: DataKeys, chance: Chance, notice: Notice, *, plain: bool = False) -> Store:
    """The store, with content sealed under `keys`. `chance` gives the nonces; `plain`: what is not sealed is read,
    too."""
    return cast(Store, SealedStore(store, keys, chance, notice, plain))


class SealedStore:
    """Keeps `store.ports.Store`; made by `sealed`."""

    def __init__(self, store: Store, keys: DataKeys, chance: Chance, notice: Notice, plain: bool) -> None:
        self._store = store
        self._keys = keys
        self._plain = plain
        self._chance = chance
        self._notice = notice
        self._told = ""
        """The holder whose master keys the store was told."""
        self._claimed: OrderedDict[tuple[str, str], str] = OrderedDict()
        """By tenant and id, the key of each message that was given out to be sent: its receiver may quote it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def as_kept(self) -> Store:
        """The store beneath, whose content is ciphertext: for whoever proves that nothing opens it."""
        return self._store

    @property
    def data_keys_in_use(self) -> DataKeys:
        """What seals and opens here."""
        return self._keys

    def tenant(self, tenant: str) -> TenantStore:
        """The handle through which everything of one tenant is read and set."""
        return cast(TenantStore, SealedTenant(self._store.tenant(tenant), self._keys, self._plain))

    async def beat(self, holder: str, lease_s: float) -> bool:
        """See `Store.beat`. Tells besides which master keys this server has: `rotation.py` looks there."""
        stood = await self._store.beat(holder, lease_s)
        if self._told != holder or not stood:
            with suppress(StoreUnavailable):  # the next beat tells it; whether the hold stood would be lost
                await self._store.data_keys.tell_masters(holder, self._keys.masters.names)
                self._told = holder
        return stood

    async def append(
        self, lease: Lease, expect_seq: int, events: Sequence[Event], *, outbox: Sequence[OutboxMessage] = (),
        **further: Any,
    ) -> None:  # fmt: skip
        """See `Store.append`. Nothing was written either where it raises besides:

        ContentErased: the tenant or the user was erased. ContentSealed: the key cannot be used.
        """
        count = len(events) + len(outbox)
        if count:
            asked = (lease.tenant, count, lease.user)
            key = self._keys.at_hand(*asked) or await self._keys.renewed(*asked)
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
                found.append(await opened(message, self._keys, self._plain))
                self._remember(message)
            except ContentErased as error:
                await self._store.settle_message(message.tenant, message.id, "dead", error.message)
            except (ContentSealed, StoreUnavailable) as error:
                if isinstance(error, StoreUnavailable):
                    self._notice.error("content.not_opened", tenant=message.tenant, message=str(error))
                await self._store.settle_message(
                    message.tenant, message.id, "due", error.message, LATER_S, attempted=False
                )
        return found

    def _remember(self, message: Delivery) -> None:
        if (key_id := key_of_message(message.body)) is not None:
            self._claimed[message.tenant, message.id] = key_id
            while len(self._claimed) > MOST_CLAIMED:
                self._claimed.popitem(last=False)

    async def settle_message(
        self, tenant: str, id_: str, state: Literal["due", "sent", "dead"], error: str | None, after_s: float = 0.0,
        *, attempted: bool = True,
    ) -> None:  # fmt: skip
        """See `Store.settle_message`."""
        key_id = self._claimed.pop((tenant, id_), None)
        if error:
            key = await self._key_for_error(tenant, key_id)
            nonce = self._chance.token(NONCE_BYTES)
            error = _NOT_KEPT if key is None else sealed_error(tenant, id_, error, key, nonce)
        await self._store.settle_message(tenant, id_, state, error, after_s, attempted=attempted)

    async def _key_for_error(self, tenant: str, of_message: str | None) -> Key | None:
        """The key for the words in which a message was refused: its user's. None: there is none any more."""
        try:
            user = None if of_message is None else await self._keys.user_of(tenant, of_message)
            if user is None and not self._keys.writes(tenant):
                return None
            return self._keys.at_hand(tenant, 1, user) or await self._keys.renewed(tenant, 1, user)
        except ContentErased:
            return None

    async def control_version(self) -> int:
        """See `Store.control_version`: whoever polls it has the keys follow."""
        version = await self._store.control_version()
        await self._keys.follow(version)
        return version


class SealedTenant:
    """Keeps `store.ports.TenantStore`."""

    def __init__(self, store: TenantStore, keys: DataKeys, plain: bool) -> None:
        self._store = store
        self._keys = keys
        self._plain = plain

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
        if event.key_id is None and self._plain:
            return event
        try:
            if event.key_id is None:
                raise plain_event(event)
            key = self._keys.known(event.tenant, event.key_id)
            if key is None:
                what = f"event {event.seq} of the run {event.run}"
                key = await self._keys.opening(event.tenant, event.key_id, what)
            return opened_event(event, key)
        except ContentErased:
            raise
        except ContentSealed as error:
            self._keys.fails_to_open(event.tenant, error)
            raise

    async def deliveries(self, **asked: Any) -> list[Delivery]:
        """See `TenantStore.deliveries`. Messages that were erased come with an empty body."""
        found: list[Delivery] = []
        for message in await self._store.deliveries(**asked):
            try:
                found.append(await opened(message, self._keys, self._plain))
            except ContentErased:
                found.append(replace(message, body=b"", last_error=None))
        return found


async def opened(message: Delivery, keys: DataKeys, plain: bool) -> Delivery:
    """The message in plain words; `plain`: also one that was never sealed.

    Raises:
        ContentErased, ContentSealed, StoreUnavailable.
    """

    async def key(id_: str) -> Key:
        return await keys.opening(message.tenant, id_, f"the message {message.id}")

    try:
        if (of_error := key_of_error(message.last_error)) is not None:
            message = opened_error(message, await key(of_error))
        if (of_body := key_of_message(message.body)) is not None:
            message = opened_message(message, await key(of_body))
        elif not plain:
            raise plain_message(message.tenant, message.id)
    except ContentErased:
        raise
    except ContentSealed as error:
        keys.fails_to_open(message.tenant, error)
        raise
    return message
