"""Values as they are kept, taken before somebody is erased: afterwards it is shown that none of them opens."""

from collections.abc import Sequence

from msgspec import Struct

from golive.core.errors import ContentErased, ContentSealed
from golive.core.events import Event
from golive.store.ports import RunFilter, Store
from golive.store.sealed.store import SealedStore
from golive.store.sealed.values import opened_event

RUNS = 5
EVENTS = 3
"""Of each of so many runs, the newest ones, the first so many events."""
LOOKED_FOR = 64
"""Of each value so many bytes are looked for in files: more of it may lie on several pages."""
MOST_LOOKED_FOR = 6


class Sample(Struct, frozen=True):
    """`own`: sealed under a key of their own (a user's, or the erased tenant's); `shared`: under the tenant's, which
    stays; `plain`: not sealed at all."""

    own: tuple[Event, ...] = ()
    shared: tuple[Event, ...] = ()
    plain: tuple[Event, ...] = ()

    @property
    def marks(self) -> list[bytes]:
        """What is looked for in files. Where the content was plain, others may have said the same."""
        events = [event for event in (*self.own, *self.shared, *self.plain) if event.body][:MOST_LOOKED_FOR]
        return [event.body[:LOOKED_FOR] if event.key_id is not None else event.body for event in events]


async def taken(store: Store, tenant: str, user: str | None) -> Sample:
    """Some values of a user (None: of the tenant), as they are kept. Raises StoreUnavailable."""
    kept = (store.as_kept if isinstance(store, SealedStore) else store).tenant(tenant)
    found: dict[str, list[Event]] = {"own": [], "shared": [], "plain": []}
    for view in await kept.runs(RunFilter(user=user, limit=RUNS)):
        for event in await kept.events(view.run, 0, EVENTS):
            found[await _kind(store, event, user)].append(event)
    return Sample(**{kind: tuple(events) for kind, events in found.items()})


async def _kind(store: Store, event: Event, user: str | None) -> str:
    if event.key_id is None or not isinstance(store, SealedStore):
        return "plain"
    row = await store.data_keys.get(event.tenant, event.key_id)
    return "own" if user is None or row is None or row.scope == "user" else "shared"


async def still_open(store: Store, events: Sequence[Event]) -> int:
    """How many of these values golive can still open, with all the keys that it has. Raises StoreUnavailable."""
    if not isinstance(store, SealedStore):
        return 0
    keys, count = store.data_keys_in_use, 0
    await keys.refresh()
    for event in events:
        if event.key_id is not None:
            try:
                opened_event(event, await keys.opening(event.tenant, event.key_id, f"event {event.seq}"))
            except (ContentErased, ContentSealed):
                continue
            count += 1
    return count
