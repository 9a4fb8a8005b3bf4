"""What servers take from the file to work on: orphaned runs, messages that are due, decisions whose time is over.

Each function is one statement or a few, run inside the writer's transaction. Times are seconds since the epoch.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from golive.store.ports import DecisionRow, Delivery, Lease

_FORGOTTEN_S = 86_400.0
"""Holders that have been gone for so long are removed."""

DECISION_COLUMNS = ", ".join(f'"{name}"' for name in DecisionRow.__struct_fields__)
DELIVERY_COLUMNS = ", ".join(Delivery.__struct_fields__)

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_BEAT = """
INSERT INTO holders (holder, until) VALUES (?1, ?2) ON CONFLICT (holder) DO UPDATE SET until = max(until, ?2)
"""
HELD = "SELECT tenant, run FROM leases WHERE holder = ? AND at_rest = 0 ORDER BY run, tenant"
_END_OTHERS = "UPDATE holders SET until = min(until, ?1) WHERE holder <> ?2 AND substr(holder, 1, length(?3)) = ?3"
_ORPHANS = """
SELECT leases.tenant, leases.run FROM leases LEFT JOIN holders ON holders.holder = leases.holder
WHERE leases.at_rest = 0 AND leases.holder <> ?1 AND coalesce(holders.until, leases.at) <= ?2
    AND (leases.version IN (SELECT value FROM json_each(?3)) OR coalesce(holders.until, leases.at) <= ?2 - ?4)
ORDER BY leases.run, leases.tenant LIMIT ?5
"""
_TAKE = 'UPDATE leases SET epoch = epoch + 1, holder = ?, at = ? WHERE tenant = ? AND run = ? RETURNING epoch, "user"'
_DUE_DECISIONS = f"""
SELECT {DECISION_COLUMNS} FROM decisions WHERE choice IS NULL AND expires_at <= ?
ORDER BY expires_at, tenant, id LIMIT ?
"""
_DUE_MESSAGES = """
SELECT tenant, id FROM outbox WHERE state = 'due' AND due_at <= ?1 AND target NOT IN (SELECT value FROM json_each(?2))
ORDER BY due_at, tenant, id LIMIT ?3
"""
_DUE_TO_ONE = """
SELECT tenant, id FROM outbox WHERE state = 'due' AND due_at <= ?1 AND target = ?2 ORDER BY due_at, tenant, id LIMIT ?3
"""
_LEASE_MESSAGE = f"""
UPDATE outbox SET due_at = ?, attempts = attempts + 1 WHERE tenant = ? AND id = ? RETURNING {DELIVERY_COLUMNS}
"""
_SETTLE = """
UPDATE outbox SET state = ?1, due_at = iif(?1 = 'due', ?2, due_at), done_at = iif(?1 = 'due', NULL, ?2),
    last_error = ?3, attempts = max(0, attempts - ?6)
WHERE tenant = ?4 AND id = ?5 AND state = 'due'
"""


def beat(connection: sqlite3.Connection, holder: str, now: float, lease_s: float) -> bool:
    """See `Store.beat`."""
    row = connection.execute("SELECT until FROM holders WHERE holder = ?", (holder,)).fetchone()
    connection.execute(_BEAT, (holder, now + lease_s))
    return row is None or row[0] > now


def leave(connection: sqlite3.Connection, holder: str, now: float) -> None:
    """See `Store.leave`."""
    connection.execute("UPDATE holders SET until = min(until, ?) WHERE holder = ?", (now, holder))
    connection.execute("DELETE FROM holders WHERE until < ?", (now - _FORGOTTEN_S,))


def end_others(connection: sqlite3.Connection, holder: str, replica: str, now: float) -> None:
    """See `Store.end_others`."""
    connection.execute(_END_OTHERS, (now, holder, f"{replica}/" if replica else ""))


def claim(
    connection: sqlite3.Connection, holder: str, now: float, versions: Sequence[str], limit: int, patience_s: float
) -> list[Lease]:
    """See `Store.claim`."""
    served = msgspec.json.encode(list(versions)).decode()
    rows = connection.execute(_ORPHANS, (holder, now, served, patience_s, max(0, limit))).fetchall()
    leases = []
    for tenant, run in rows:
        epoch, user = connection.execute(_TAKE, (holder, now, tenant, run)).fetchone()
        leases.append(Lease(tenant, run, epoch, holder, user))
    return leases


def acquire(connection: sqlite3.Connection, tenant: str, run: str, holder: str, now: float) -> Lease | None:
    """See `Store.acquire`."""
    rows = connection.execute(_TAKE, (holder, now, tenant, run)).fetchall()
    return Lease(tenant, run, rows[0][0], holder, rows[0][1]) if rows else None


def due_decisions(connection: sqlite3.Connection, now: float, limit: int) -> list[DecisionRow]:
    """See `Store.due_decisions`."""
    return [decision(row) for row in connection.execute(_DUE_DECISIONS, (now, max(0, limit)))]


def claim_messages(
    connection: sqlite3.Connection, now: float, for_s: float, limit: int, only: str | None, but: Sequence[str]
) -> list[Delivery]:
    """See `Store.claim_messages`."""
    where = (_DUE_TO_ONE, only) if only is not None else (_DUE_MESSAGES, msgspec.json.encode(list(but)).decode())
    due = connection.execute(where[0], (now, where[1], max(0, limit))).fetchall()
    return [delivery(connection.execute(_LEASE_MESSAGE, (now + for_s, *key)).fetchone()) for key in due]


def settle_message(
    connection: sqlite3.Connection, tenant: str, id_: str, state: str, at: float, error: str | None, attempted: bool
) -> None:
    """See `Store.settle_message`."""
    connection.execute(_SETTLE, (state, at, error, tenant, id_, 0 if attempted else 1))


def decision(row: tuple[Any, ...]) -> DecisionRow:
    """A row of `DECISION_COLUMNS` as the struct."""
    return DecisionRow(**dict(zip(DecisionRow.__struct_fields__, row, strict=True)))


def delivery(row: tuple[Any, ...]) -> Delivery:
    """A row of `DELIVERY_COLUMNS` as the struct."""
    return Delivery(**dict(zip(Delivery.__struct_fields__, row, strict=True)))
