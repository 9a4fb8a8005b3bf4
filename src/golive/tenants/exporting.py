"""All that is kept of a tenant, or of one user of it, in plain words: JSON lines, one thing a line, as it is read.

The first line says what it is, the last one counts what came before: without it the export was cut short. Runs come
newest first, each with its events, decisions, messages and ledger behind it. Not in it: secrets (MACs of keys, values
of credentials) and the audit log, which `golive audit export` gives.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from golive.core import outsiders
from golive.core.clock import Clock
from golive.core.errors import NotFound
from golive.core.events import Event
from golive.store.ports import Delivery, RunFilter, Store, TenantStore
from golive.tenants.authorize import INSTALLATION
from golive.tenants.directory import no_tenant

FORMAT = "golive export"
VERSION = 1
PAGE = 100
"""Rows that are read at once."""
EVENTS = 500


async def exported(store: Store, tenant: str, user: str | None, clock: Clock) -> AsyncIterator[bytes]:
    """The lines, each with its line break.

    Args:
        user: of this user alone; None: all of the tenant, its users included.

    Raises:
        NotFound: there is no such tenant, or nothing is known of such a user.
        ContentErased, ContentSealed: something cannot be opened; it is named, and the export has no last line.
        StoreUnavailable: likewise.
    """
    mine, count = store.tenant(tenant), _Counted()
    row = await mine.tenant_row()
    if row is None:
        raise no_tenant(tenant)
    found = None if user is None else await mine.user(user)
    if user is not None and found is None and not await mine.runs(RunFilter(user=user, limit=1)):
        raise NotFound(  # before there is a line: afterwards an answer can only break off
            f"There is no user {user!r}.", remedy="`golive users list` shows those there are.",
            field="user", value=user,
        )  # fmt: skip
    yield count.line("export", {
        "format": FORMAT, "version": VERSION, "tenant": tenant, "user": user, "at": clock.now(),
    })  # fmt: skip
    if user is None:
        yield count.line("tenant", row)
        async for line in _of_tenant(mine, count):
            yield line
    elif found is not None:
        yield count.line("user", found)
    before: str | None = None
    while views := await mine.runs(RunFilter(user=user, before=before, limit=PAGE)):
        for view in views:
            yield count.line("run", view)
            async for line in _of_run(mine, view.run, count):
                yield line
        before = views[-1].run
    yield msgspec.json.encode({"end": count.by_kind}) + b"\n"


class _Counted:
    """Makes lines, and counts them by kind."""

    def __init__(self) -> None:
        self.by_kind: dict[str, int] = {}

    def line(self, kind: str, value: Any) -> bytes:
        self.by_kind[kind] = self.by_kind.get(kind, 0) + 1
        return msgspec.json.encode({kind: value}) + b"\n"


async def _of_tenant(mine: TenantStore, count: _Counted) -> AsyncIterator[bytes]:
    """What is the tenant's, and no user's."""
    last = ""
    while users := await mine.users(before=last, limit=PAGE):
        for user in users:
            yield count.line("user", user)
        last = users[-1].id
    for key in await mine.keys():
        shown = {name: value for name, value in msgspec.structs.asdict(key).items() if name != "mac"}
        yield count.line("key", shown)
    kinds: tuple[tuple[str, Callable[[], Awaitable[list[Any]]]], ...] = (
        ("credential", mine.credentials), ("version", mine.versions), ("schedule", mine.schedules),
    )  # fmt: skip
    for kind, read in kinds:
        for row in await read():
            yield count.line(kind, row)


async def _of_run(mine: TenantStore, run: str, count: _Counted) -> AsyncIterator[bytes]:
    """What belongs to a run."""
    seq = 0
    while events := await mine.events(run, seq, EVENTS):
        for event in events:
            yield count.line("event", _event(event))
        seq = events[-1].seq
    before: str | None = None
    while decisions := await mine.decisions(run=run, before=before, limit=PAGE):
        for decision in decisions:
            yield count.line("decision", decision)
        before = decisions[-1].id
    before = None
    while messages := await mine.deliveries(run=run, before=before, limit=PAGE):
        for message in messages:
            yield count.line("message", _message(message))
        before = messages[-1].id
    for entry in await mine.ledger(run):
        yield count.line("ledger", entry)


def _event(event: Event) -> dict[str, Any]:
    body = event.body if event.tenant == INSTALLATION else outsiders.journalled(event)  # whoever runs it has the log
    return {"run": event.run, "seq": event.seq, "at": event.at, "kind": event.kind, "body": msgspec.Raw(body)}


def _message(message: Delivery) -> dict[str, Any]:
    told = msgspec.structs.asdict(message)
    body = message.body.decode("utf-8", "replace")
    try:
        msgspec.json.decode(message.body)
        return told | {"body": msgspec.Raw(message.body)}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return told | {"body": body}
