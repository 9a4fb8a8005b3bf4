"""Reading what is sealed without a server: for `golive store`, which works on the database itself."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

from golive.core.errors import ConfigError
from golive.core.events import Event
from golive.store.data_keys import DataKeyRow
from golive.store.sealed.keys import Unwrapped
from golive.store.sealed.master import Masters
from golive.store.sealed.user_keys import erased, no_such_key
from golive.store.sealed.values import Key, opened_event

SEALED_FROM = 9
"""The first schema in which content is sealed."""

Master = Callable[[str, Sequence[DataKeyRow]], Masters]
"""Gives the master keys of an installation (its id) with these data keys. Raises ConfigError where it cannot."""

_NAMES = ", ".join(DataKeyRow.__struct_fields__)
# ruff: noqa: S608 - names of our own columns, never a value
_KEYS = f"SELECT {_NAMES} FROM data_keys WHERE scope = 'tenant'"
_KEY = f"SELECT {_NAMES} FROM data_keys WHERE tenant = :tenant AND id = :id"
_SOME = f"SELECT {_NAMES} FROM data_keys WHERE erased_at IS NULL LIMIT 1"
_MOST_KEPT = 1_000
"""Keys of users that are kept unwrapped while runs are read one after the other."""


def opener(connection: Connection, version: int, master: Master | None) -> Callable[[Event], Event] | None:
    """Opens events of a database of schema `version`; None: the master keys are not at hand, or nothing is sealed."""
    if master is None or version < SEALED_FROM:
        return None
    rows = [DataKeyRow(*row) for row in connection.execute(text(_KEYS))]
    rows = rows or [DataKeyRow(*row) for row in connection.execute(text(_SOME))]
    if not rows:
        return None
    [installation] = connection.execute(text("SELECT id FROM installation")).one()
    try:
        masters = master(str(installation), rows)
    except ConfigError:
        return None
    unwrapped = Unwrapped(masters)
    unwrapped.take(row for row in rows if row.scope == "tenant")
    of_users: dict[tuple[str, str], Key] = {}

    def key_of(event: Event, key_id: str) -> Key:
        what, place = f"event {event.seq} of the run {event.run}", (event.tenant, key_id)
        if unwrapped.knows(*place):
            return unwrapped.must(*place, what)
        if place not in of_users:
            found = connection.execute(text(_KEY), {"tenant": event.tenant, "id": key_id}).first()
            if found is None:
                raise no_such_key(*place, what)
            if (row := DataKeyRow(*found)).erased_at is not None:
                raise erased(*place, what)
            if len(of_users) >= _MOST_KEPT:
                of_users.clear()
            of_users[place] = Key(*place, masters.unwrap(row))
        return of_users[place]

    def opened(event: Event) -> Event:
        assert event.key_id is not None
        return opened_event(event, key_of(event, event.key_id))

    return opened
