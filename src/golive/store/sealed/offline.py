"""Reading what is sealed without a server: for `golive store`, which works on the database itself."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

from golive.core.errors import ConfigError
from golive.core.events import Event
from golive.store.data_keys import DataKeyRow
from golive.store.sealed.keys import Unwrapped
from golive.store.sealed.master import Masters
from golive.store.sealed.values import opened_event

SEALED_FROM = 9
"""The first schema in which content is sealed."""

Master = Callable[[str, Sequence[DataKeyRow]], Masters]
"""Gives the master keys of an installation (its id) with these data keys. Raises ConfigError where it cannot."""

_KEYS = f"SELECT {', '.join(DataKeyRow.__struct_fields__)} FROM data_keys"  # noqa: S608 - names of our own columns


def opener(connection: Connection, version: int, master: Master | None) -> Callable[[Event], Event] | None:
    """Opens events of a database of schema `version`; None: the master keys are not at hand, or nothing is sealed."""
    if master is None or version < SEALED_FROM:
        return None
    rows = [DataKeyRow(*row) for row in connection.execute(text(_KEYS))]
    if not rows:
        return None
    [installation] = connection.execute(text("SELECT id FROM installation")).one()
    try:
        unwrapped = Unwrapped(master(str(installation), rows))
    except ConfigError:
        return None
    unwrapped.take(rows)

    def opened(event: Event) -> Event:
        assert event.key_id is not None
        key = unwrapped.must(event.tenant, event.key_id, f"event {event.seq} of the run {event.run}")
        return opened_event(event, key)

    return opened
