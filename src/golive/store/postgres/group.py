"""A group of appends as one statement, which is one transaction and one round trip: all of it stands, or nothing.

Each kind of row goes as arrays, one for each column, that `unnest` makes rows of. The statement refuses itself (by a
division by zero) unless every run's lease row moved from where the group expects it; what then stands and what does
not is read from the lease rows, and the rest is tried again without those. Owns this SQL and the reasons; leaves
connections, and what becomes of the callers, to `flusher.py`.
"""

import asyncio
from collections.abc import Sequence
from functools import cache
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import asyncpg
from msgspec.structs import astuple

from golive.core.errors import StoreError
from golive.core.events import Event
from golive.store.ports import DecisionRow, Lease, LedgerEntry, OutboxMessage, RunView

CHANNEL = "golive_changed"
"""Where a flush tells of the runs it changed: `tenant/run/seq`, once for each run."""

REFUSED = "22012"
"""SQLSTATE of a group whose guards do not all hold: a division by zero, which nothing else here can be."""

_LONGEST_PAYLOAD = 7_900
"""PostgreSQL takes 7,999 bytes; of a run with longer names others learn by their poll."""

_ARRAYS = {str: "text[]", int: "bigint[]", float: "double precision[]", bytes: "bytea[]", bool: "boolean[]"}


class Job:
    """Something to be written, and who waits for it. `doubt`: it was sent, and the connection broke."""

    __slots__ = ("doubt", "future", "size")

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] | None = None
        self.doubt = False
        self.size = 0


class Call(Job):
    """One other statement, which may be sent twice when a connection breaks; its value is the rows."""

    __slots__ = ("sql", "values")

    def __init__(self, sql: str, *values: Any) -> None:
        super().__init__()
        self.sql = sql
        self.values = values


class Append(Job):
    """An append, its rows as tuples in the order of the structs' fields."""

    __slots__ = ("at_rest", "decisions", "events", "last_seq", "lease", "ledger", "outbox", "seq", "views")

    def __init__(
        self,
        lease: Lease,
        expect_seq: int,
        events: Sequence[Event],
        ledger: Sequence[LedgerEntry],
        outbox: Sequence[OutboxMessage],
        views: Sequence[RunView],
        decisions: Sequence[DecisionRow],
        at_rest: bool,
    ) -> None:
        super().__init__()
        tenant, run, epoch = lease.tenant, lease.run, lease.epoch
        seq = expect_seq
        for event in events:
            seq += 1
            if event.seq != seq or event.run != run or event.tenant != tenant or event.epoch != epoch:
                raise ValueError(f"event {event.seq} of {event.tenant}/{event.run} (epoch {event.epoch}) "
                                 f"cannot be event {seq} of {tenant}/{run} (epoch {epoch})")  # fmt: skip
            self.size += len(event.body)
        for rows in (ledger, outbox, views, decisions):
            for row in rows:
                if row.run != run or row.tenant != tenant:
                    raise ValueError(f"a row of {row.tenant}/{row.run} cannot go with {tenant}/{run}")
        self.lease = lease
        self.seq = expect_seq
        self.last_seq = seq
        self.events = [astuple(event) for event in events]
        self.ledger = [astuple(row) for row in ledger]
        self.outbox = [astuple(row) for row in outbox]
        self.views = views
        self.decisions = decisions
        self.at_rest = at_rest

    @property
    def creates(self) -> bool:
        return self.seq == 0 and self.lease.epoch == 1 and bool(self.events)

    def follows(self, other: "Append") -> bool:
        """Whether it goes on, under the same lease, where the other ends."""
        return not self.creates and self.seq == other.last_seq and self.lease.epoch == other.lease.epoch


class Group(NamedTuple):
    """Appends that go as one statement: of each run a chain, in which each follows the one before."""

    chains: dict[tuple[str, str], list[Append]]

    @property
    def jobs(self) -> list[Append]:
        return [job for chain in self.chains.values() for job in chain]


class Table(NamedTuple):
    """How rows of one kind are added."""

    insert: str
    select: str
    types: tuple[str, ...]
    tail: str


def _type(annotation: Any) -> str:
    """PostgreSQL's array type for a field's values."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    return _ARRAYS.get(annotation, "text[]")  # what is left are literals


def _table(name: str, struct: type, tail: str = "", **counted: tuple[str, str]) -> Table:
    """`counted`: fields that are times by the database's clock, each with its column and what it is made of."""
    hints = get_type_hints(struct)
    fields: tuple[str, ...] = struct.__struct_fields__  # type: ignore[attr-defined]
    columns = ", ".join(f'"{counted.get(field, (field,))[0]}"' for field in fields)  # quoted: there is a "default"
    places = {field: f"v{place}" for place, field in enumerate(fields, 1)}
    values = ", ".join(counted[field][1].format(**places) if field in counted else places[field] for field in fields)
    return Table(
        f"INSERT INTO {name} ({columns})", f"SELECT {values}", tuple(_type(hints[field]) for field in fields), tail
    )


_NOW = "extract(epoch FROM clock_timestamp())"
_STAYS = frozenset({"tenant", "run", "user"})
_VIEW_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in RunView.__struct_fields__ if name not in _STAYS)
_DECIDED = ", ".join(f"{name} = excluded.{name}" for name in ("epoch", "choice", "decided_by", "decided_at"))
_TABLES = {
    "created": Table(
        'INSERT INTO leases (tenant, run, branch, version, epoch, seq, holder, at, at_rest, "user")',
        f"SELECT v1, v2, '', v3, 1, v4, v5, {_NOW}, v6, v7",
        ("text[]", "text[]", "text[]", "bigint[]", "text[]", "boolean[]", "text[]"),
        "ON CONFLICT (tenant, run) DO NOTHING RETURNING 1",
    ),
    "events": _table("events", Event),
    "ledger": _table("ledger", LedgerEntry),
    "outbox": _table("outbox", OutboxMessage, after_s=("due_at", f"{_NOW} + {{after_s}}")),
    "views": _table("runs", RunView, f"ON CONFLICT (tenant, run) DO UPDATE SET {_VIEW_REPLACED}"),
    "decisions": _table(
        "decisions",
        DecisionRow,
        f"ON CONFLICT (tenant, id) DO UPDATE SET {_DECIDED}",
        expires_at=("expires_at", f"{_NOW} + {{expires_at}} - {{asked_at}}"),
    ),
}
_ADVANCED = ("text[]", "text[]", "bigint[]", "bigint[]", "bigint[]", "boolean[]")


# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
@cache
def _statement(parts: tuple[str, ...]) -> str:
    """The SQL for a group with rows of these parts; its last two values are the runs told of, and how many move."""
    given = 0

    def rows(types: Sequence[str]) -> str:
        nonlocal given
        arrays = ", ".join(f"${given + place}::{kind}" for place, kind in enumerate(types, 1))
        given += len(types)
        return f"unnest({arrays}) AS v ({', '.join(f'v{place}' for place in range(1, len(types) + 1))})"

    steps = []
    for part in parts:
        if part == "advanced":
            steps.append(
                f"advanced AS (UPDATE leases SET seq = v5, at_rest = v6 FROM {rows(_ADVANCED)} WHERE tenant = v1"
                " AND run = v2 AND epoch = v3 AND seq = v4 RETURNING 1)"
            )
        else:
            table = _TABLES[part]
            steps.append(f"{part} AS ({table.insert} {table.select} FROM {rows(table.types)} {table.tail})")
    moved = " + ".join(f"(SELECT count(*) FROM {part})" for part in parts if part in ("created", "advanced"))
    told = f"(SELECT count(pg_notify('{CHANNEL}', v1)) FROM unnest(${given + 1}::text[]) AS v (v1))"
    return f"WITH {', '.join(steps)} SELECT {told}, 1 / ({moved} = ${given + 2}::bigint)::int /* all, or refused */"


def gathered(jobs: Sequence[Append]) -> tuple[Group, list[Append]]:
    """As many of them as can go at once, and the others, which are to go after them, in their order."""
    chains: dict[tuple[str, str], list[Append]] = {}
    later: list[Append] = []
    broken: set[tuple[str, str]] = set()
    for job in jobs:
        key = (job.lease.tenant, job.lease.run)
        chain = chains.get(key)
        if chain is None:
            chains[key] = [job]
        elif key not in broken and job.follows(chain[-1]):
            chain.append(job)
        else:
            broken.add(key)
            later.append(job)
    return Group(chains), later


def statement(group: Group) -> tuple[str, list[Any]]:
    """The SQL that writes the group, and its values."""
    created: list[tuple[Any, ...]] = []
    advanced: list[tuple[Any, ...]] = []
    told: list[str] = []
    rows: dict[str, list[tuple[Any, ...]]] = {"events": [], "ledger": [], "outbox": []}
    views: dict[tuple[str, str], RunView] = {}
    decisions: dict[tuple[str, str], DecisionRow] = {}
    for key in sorted(group.chains):  # the order in which rows are locked is everybody's
        chain = group.chains[key]
        first, last = chain[0], chain[-1]
        if first.creates:
            lease = first.lease
            created.append((*key, first.events[0][5], last.last_seq, lease.holder, last.at_rest, lease.user))
        else:
            advanced.append((*key, first.lease.epoch, first.seq, last.last_seq, last.at_rest))
        for job in chain:
            rows["events"] += job.events
            rows["ledger"] += job.ledger
            rows["outbox"] += job.outbox
            for view in job.views:
                views[key] = view
            for decision in job.decisions:
                decisions[decision.tenant, decision.id] = decision
        if last.last_seq != first.seq:
            told.append(f"{key[0]}/{key[1]}/{last.last_seq}")
    given = {"created": created, "advanced": advanced, **rows}
    given["views"] = [astuple(view) for view in views.values()]
    given["decisions"] = [astuple(decision) for decision in decisions.values()]
    parts = tuple(part for part, found in given.items() if found)
    values: list[Any] = [column for part in parts for column in zip(*given[part], strict=True)]
    values += [[run for run in told if len(run.encode(errors="replace")) <= _LONGEST_PAYLOAD], len(group.chains)]
    return _statement(parts), values


LOOK = """
SELECT v.place, leases.epoch, leases.seq, leases.holder, EXISTS (
    SELECT FROM events WHERE events.tenant = v.tenant AND events.run = v.run AND events.seq = v.last
        AND events.epoch = v.epoch AND v.doubt
)
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[], $6::bigint[])
    AS v (tenant, run, epoch, last, doubt, place)
LEFT JOIN leases ON leases.tenant = v.tenant AND leases.run = v.run
"""
"""Where the runs of a group stand; and whether the last event of an append whose connection broke is there, written
under its own epoch: then it stands, for nobody else writes under that."""


def look_values(firsts: Sequence[Append]) -> list[Any]:
    """The values of `LOOK` for these appends, in their order."""
    rows = [
        (job.lease.tenant, job.lease.run, job.lease.epoch, job.last_seq, job.doubt and bool(job.events), place)
        for place, job in enumerate(firsts)
    ]
    return list(zip(*rows, strict=True))


def holds(job: Append, epoch: int | None, seq: int | None) -> bool:
    """Whether the append may be written to a run that stands there (None: there is no such run)."""
    if job.creates or epoch is None:
        return job.creates and epoch is None
    return (epoch, seq) == (job.lease.epoch, job.seq)


def is_unstorable(error: Exception) -> bool:
    """Whether the fault lies in a value (or in the guards), and not in the database."""
    code = getattr(error, "sqlstate", None) or ""
    return isinstance(error, (ValueError, OverflowError, TypeError)) or code[:2] in ("22", "23", "54")


def unstorable(error: Exception) -> StoreError:
    """The error of an append whose values PostgreSQL does not take."""
    nul = isinstance(error, asyncpg.CharacterNotInRepertoireError) or "0x00" in str(error)
    said = "PostgreSQL's text cannot hold the character NUL (U+0000)" if nul else str(error)
    return StoreError(
        f"A value cannot be stored: {said}.",
        remedy="Report this: text must be valid Unicode without NUL, numbers fit 64 bits, ids be unique.",
        cause=said,
    )
