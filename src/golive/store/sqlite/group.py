"""A group of writes as one transaction: all that stand are durable together, and one that does not harms no other.

First the whole group is tried in a handful of statements. If anything in it does not stand (fenced, in conflict, a
value that SQLite refuses), it is rolled back and tried again member by member, each under its own savepoint. When the
disk itself fails, every member is told so and none is written. Owns transactions; leaves threads and futures to
`writer.py`.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from msgspec import json
from msgspec.structs import astuple, replace

from golive.core.errors import ConversationBusy, GoliveError, StoreError
from golive.core.events import Event
from golive.store.ports import DecisionRow, Lease, LedgerEntry, OutboxMessage, RunView
from golive.store.reasons import why_not
from golive.store.room import LOOKED_AT, Room, no_room
from golive.store.sqlite.bulk import Bulk
from golive.store.sqlite.connection import failure, unavailable

_RENAMED = {"after_s": "due_at"}


def _columns(struct: type) -> tuple[str, ...]:
    return struct.__struct_fields__  # type: ignore[attr-defined, no-any-return]


def _insert(table: str, struct: type, tail: str = "") -> Bulk:
    columns = _columns(struct)
    named = ", ".join(f'"{_RENAMED.get(name, name)}"' for name in columns)  # quoted: a decision has a "default"
    return Bulk(f"INSERT INTO {table} ({named})", len(columns), tail)


_STAYS = frozenset({"tenant", "run", "user"})
_VIEW_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in _columns(RunView) if name not in _STAYS)
_DECIDED = ", ".join(f"{name} = excluded.{name}" for name in ("epoch", "choice", "decided_by", "decided_at"))
_EVENTS = _insert("events", Event)
_LEDGER = _insert("ledger", LedgerEntry)
_OUTBOX = _insert("outbox", OutboxMessage)
_VIEWS = _insert("runs", RunView, f"ON CONFLICT (tenant, run) DO UPDATE SET {_VIEW_REPLACED}")
_DECISIONS = _insert("decisions", DecisionRow, f"ON CONFLICT (tenant, id) DO UPDATE SET {_DECIDED}")
_CREATE = Bulk(
    'INSERT INTO leases (tenant, run, branch, version, epoch, seq, holder, at, at_rest, "user")',
    10,
    "ON CONFLICT (tenant, run) DO NOTHING",
)
_ADVANCE = Bulk(
    "UPDATE leases SET seq = v.column5, at_rest = v.column6 FROM (",
    6,
    ") AS v WHERE leases.tenant = v.column1 AND leases.run = v.column2"
    " AND leases.epoch = v.column3 AND leases.seq = v.column4",
)


_OTHERS = """
SELECT count(*) FROM (
    SELECT state FROM runs WHERE tenant = ?1 AND conversation = ?2 AND run <> ?3 ORDER BY run DESC LIMIT ?5
) WHERE state IN (SELECT value FROM json_each(?4))
"""


class Job:
    """Something to be written, and what came of it: `value`, or `error`."""

    __slots__ = ("error", "future", "value")

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] | None = None
        self.value: Any = None
        self.error: Exception | None = None


class Call(Job):
    """A write of any other kind; `work` may be tried more than once, each time after a rollback."""

    __slots__ = ("work",)

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        super().__init__()
        self.work = work


class Append(Job):
    """An append, its rows laid end to end for `Bulk`."""

    __slots__ = (
        "at_rest",
        "decisions",
        "events",
        "first",
        "last_seq",
        "lease",
        "ledger",
        "outbox",
        "room",
        "seq",
        "views",
    )

    def __init__(
        self,
        lease: Lease,
        expect_seq: int,
        events: Sequence[Event],
        ledger: Sequence[LedgerEntry],
        outbox: Sequence[OutboxMessage],
        views: Sequence[RunView],
        decisions: Sequence[DecisionRow] = (),
        at_rest: bool = False,
        now: float = 0.0,
        room: Room | None = None,
    ) -> None:
        """`now`: by the store's clock; what is to happen later is counted from then."""
        super().__init__()
        tenant, run, epoch = lease.tenant, lease.run, lease.epoch
        seq = expect_seq
        rows: list[Any] = []
        for event in events:
            seq += 1
            if event.seq != seq or event.run != run or event.tenant != tenant or event.epoch != epoch:
                raise ValueError(f"event {event.seq} of {event.tenant}/{event.run} (epoch {event.epoch}) "
                                 f"cannot be event {seq} of {tenant}/{run} (epoch {epoch})")  # fmt: skip
            rows += astuple(event)
        self.lease = lease
        self.seq = expect_seq
        self.last_seq = seq
        self.first = events[0] if events else None
        self.events = rows
        self.ledger = _rows(lease, ledger) if ledger else ()
        self.outbox = _rows(lease, [replace(row, after_s=now + row.after_s) for row in outbox]) if outbox else ()
        self.views = _rows(lease, views) if views else ()
        self.decisions = _rows(lease, [_expiring(row, now) for row in decisions]) if decisions else ()
        self.at_rest = at_rest
        self.room = room

    @property
    def creates(self) -> bool:
        return self.seq == 0 and self.lease.epoch == 1 and self.first is not None


def _expiring(row: DecisionRow, now: float) -> DecisionRow:
    return replace(row, expires_at=now + (row.expires_at - row.asked_at))


def _rows(lease: Lease, structs: Iterable[LedgerEntry | OutboxMessage | RunView | DecisionRow]) -> Sequence[Any]:
    rows: list[Any] = []
    for struct in structs:
        if struct.run != lease.run or struct.tenant != lease.tenant:
            raise ValueError(f"a row of {struct.tenant}/{struct.run} cannot go with {lease.tenant}/{lease.run}")
        rows += astuple(struct)
    return rows


def commit(connection: sqlite3.Connection, jobs: Sequence[Job], path: str) -> None:
    """Writes the group; afterwards each job has its value or its error. Never raises for what SQLite refuses."""
    _roll_back(connection)
    try:
        if _together(connection, jobs):
            return
        _one_by_one(connection, jobs, path)
    except Exception as error:
        _roll_back(connection)
        for job in jobs:
            job.error = failure(error, path)


def _together(connection: sqlite3.Connection, jobs: Sequence[Job]) -> bool:
    """The whole group in few statements; False if some member does not stand, and then nothing is written."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for appends, members in groupby(jobs, _is_append):
            if appends:
                if not _write_appends(connection, list(members)):  # type: ignore[arg-type]
                    connection.execute("ROLLBACK")
                    return False
            else:
                for job in members:
                    job.value = job.work(connection)  # type: ignore[attr-defined]
        connection.execute("COMMIT")
    except Exception as error:
        if unavailable(error, "") is not None:
            raise
        _roll_back(connection)
        return False
    return True


def _one_by_one(connection: sqlite3.Connection, jobs: Sequence[Job], path: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for job in jobs:
        connection.execute("SAVEPOINT member")
        try:
            if isinstance(job, Call):
                job.value = job.work(connection)
            elif isinstance(job, Append) and not _write_appends(connection, [job]):
                job.error = _why(connection, job)
        except GoliveError as error:
            job.error = error
        except Exception as error:
            if unavailable(error, path) is not None:
                raise
            job.error = _unstorable(error)
        if job.error is not None:
            connection.execute("ROLLBACK TO member")
        connection.execute("RELEASE member")
    connection.execute("COMMIT")


def _is_append(job: Job) -> bool:
    return type(job) is Append


def _write_appends(connection: sqlite3.Connection, jobs: list[Append]) -> bool:
    """All or (to be rolled back by the caller) none: False if the guard of any append does not hold.

    Appends of one run follow each other: the run's lease row moves from the first one's seq to the last one's.
    """
    if not _have_room(connection, jobs):
        return False
    firsts: dict[tuple[str, str], Append] = {}
    last: dict[tuple[str, str], Append] = {}
    events: list[Any] = []
    others: dict[Bulk, list[Any]] = {}
    for job in jobs:
        key = (job.lease.tenant, job.lease.run)
        first = firsts.setdefault(key, job)
        if first is not job and (job.creates or job.seq != last[key].last_seq or job.lease.epoch != first.lease.epoch):
            return False
        last[key] = job
        events += job.events
        if job.ledger:
            others.setdefault(_LEDGER, []).extend(job.ledger)
        if job.outbox:
            others.setdefault(_OUTBOX, []).extend(job.outbox)
        if job.views:
            others.setdefault(_VIEWS, []).extend(job.views)
        if job.decisions:
            others.setdefault(_DECISIONS, []).extend(job.decisions)
    if not _take_guards(connection, firsts, last):
        return False
    if events:
        _EVENTS.execute(connection, events)
    for table, rows in others.items():
        table.execute(connection, rows)
    return True


def _have_room(connection: sqlite3.Connection, jobs: list[Append]) -> bool:
    """Whether all have their room; two that need it in one conversation go one by one, and never together."""
    asking = [(job, job.room) for job in jobs if job.room is not None]
    places = {(job.lease.tenant, room.conversation) for job, room in asking}
    return len(places) == len(asking) and all(_others(connection, job, room) <= room.most for job, room in asking)


def _others(connection: sqlite3.Connection, job: Append, room: Room) -> int:
    tenant, run = job.lease.tenant, job.lease.run
    states = json.encode(room.states).decode()
    row = connection.execute(_OTHERS, (tenant, room.conversation, run, states, room.most + LOOKED_AT)).fetchone()
    return int(row[0])


def _take_guards(
    connection: sqlite3.Connection, firsts: dict[tuple[str, str], Append], last: dict[tuple[str, str], Append]
) -> bool:
    """Moves each run's lease row from the first append's expected seq to the last one's; False if any did not move."""
    created: list[Any] = []
    advanced: list[Any] = []
    creations = 0
    for key, job in firsts.items():
        lease, end = job.lease, last[key]
        if job.creates:
            assert job.first is not None
            first = job.first
            created += (
                *key, "", first.version, 1, end.last_seq, lease.holder, first.at, end.at_rest, lease.user,
            )  # fmt: skip
            creations += 1
        else:
            advanced += (*key, lease.epoch, job.seq, end.last_seq, end.at_rest)
    if created and _CREATE.execute(connection, created) != creations:
        return False
    return not advanced or _ADVANCE.execute(connection, advanced) == len(firsts) - creations


def _why(connection: sqlite3.Connection, job: Append) -> StoreError | ConversationBusy:
    lease = job.lease
    if job.room is not None and (others := _others(connection, job, job.room)) > job.room.most:
        return no_room(job.room.conversation, others)
    row = connection.execute(
        "SELECT epoch, seq, holder FROM leases WHERE tenant = ? AND run = ?", (lease.tenant, lease.run)
    ).fetchone()
    return why_not(lease, job.seq, *(row or (None, None, None)))


def _unstorable(error: Exception) -> StoreError:
    return StoreError(
        f"A value cannot be stored: {error}.",
        remedy="Report this: text must be valid Unicode, numbers fit 64 bits, ids be unique.",
        cause=str(error),
    )


def _roll_back(connection: sqlite3.Connection) -> None:
    """Ends a transaction that failed, if SQLite has not done so by itself; `commit` tries again before the next one."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
