"""One tenant's view of the file. Every statement here names the tenant; that is the whole point of the class."""

import sqlite3
from collections.abc import Mapping
from typing import Any, Literal

from msgspec.structs import astuple

from golive.core.events import Event
from golive.store.ports import (
    DecisionRow,
    Delivery,
    DeliveryCount,
    KeyRow,
    LedgerEntry,
    RunFilter,
    RunView,
    ScheduleRow,
    VersionRow,
)
from golive.store.reasons import version_taken
from golive.store.sqlite.asking import ReadWrite
from golive.store.sqlite.tenancy import CONTROL_CHANGED, SqliteTenancy, add, compare_and_set
from golive.store.sqlite.work import DECISION_COLUMNS, DELIVERY_COLUMNS, decision, delivery
from golive.store.tenancy import KEY_CHANGES, changed_meanwhile, fields

_EVENT_COLUMNS = ", ".join(Event.__struct_fields__)
VIEW_COLUMNS = ", ".join(f'"{name}"' for name in RunView.__struct_fields__)
KEY_COLUMNS = ", ".join(KeyRow.__struct_fields__)
_VERSION_COLUMNS = ", ".join(VersionRow.__struct_fields__)

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_EVENTS = f"SELECT {_EVENT_COLUMNS} FROM events WHERE tenant = ? AND run = ? AND seq > ? ORDER BY seq LIMIT ?"
_RUN = f"SELECT {VIEW_COLUMNS} FROM runs WHERE tenant = ? AND run = ?"
_SPENT = "SELECT coalesce(sum(amount_microusd), 0) FROM ledger WHERE tenant = ? AND run = ?"
_LEDGER = f"SELECT {', '.join(LedgerEntry.__struct_fields__)} FROM ledger WHERE tenant = ? AND run = ? ORDER BY seq, at"
_VERSIONS = f"SELECT {_VERSION_COLUMNS} FROM versions WHERE tenant = ?"
_KEYS = f"SELECT {KEY_COLUMNS} FROM keys WHERE tenant = ? ORDER BY created_at, id"
_ADD_KEY = add("keys", KeyRow.__struct_fields__)
_CHANGE_KEY = compare_and_set("keys", KEY_CHANGES, "tenant = ? AND id = ?")
_KEY_USED = "UPDATE keys SET last_used_at = max(coalesce(last_used_at, ?), ?) WHERE tenant = ? AND id = ?"
_SEND_AGAIN = "UPDATE outbox SET state = 'due', due_at = ?, done_at = NULL WHERE tenant = ? AND id = ?"
_COUNTS = """
SELECT target, state, count(*), min(at) FROM outbox WHERE tenant = ? AND (? IS NULL OR state = ?)
GROUP BY target, state ORDER BY target, state
"""
_SCHEDULE_COLUMNS = ", ".join(ScheduleRow.__struct_fields__)
_SCHEDULES = f"SELECT {_SCHEDULE_COLUMNS} FROM schedules WHERE tenant = ? ORDER BY name"
_SCHEDULE = f"SELECT {_SCHEDULE_COLUMNS} FROM schedules WHERE tenant = ? AND name = ?"
_PUT_SCHEDULE = f"INSERT OR REPLACE INTO schedules ({_SCHEDULE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_TAIL = f"SELECT rowid, {_EVENT_COLUMNS} FROM events WHERE tenant = ? AND rowid > ? ORDER BY rowid LIMIT ?"
_FILTERS = ("agent", "state", "outcome", "conversation", "source", "user")


class SqliteTenant(SqliteTenancy):
    """Keeps `store.ports.TenantStore`."""

    def __init__(self, store: ReadWrite, tenant: str) -> None:
        self._store = store
        self.tenant = tenant

    async def events(self, run: str, after_seq: int = 0, limit: int = 10_000) -> list[Event]:
        """The run's events with seq > after_seq, in order; [] when there is no such run."""
        rows = await self._rows(_EVENTS, run, after_seq, max(0, limit))
        return [Event(*row) for row in rows]

    async def run(self, run: str) -> RunView | None:
        """The run's view; None when there is no such run."""
        rows = await self._rows(_RUN, run)
        return view(rows[0]) if rows else None

    async def runs(self, where: RunFilter) -> list[RunView]:
        """The views that match, newest first."""
        sql = f"SELECT {VIEW_COLUMNS} FROM runs WHERE tenant = ?"
        values: list[Any] = []
        for name in _FILTERS:
            wanted = getattr(where, name)
            if wanted is not None:
                sql += f' AND "{name}" = ?'
                values.append(wanted)
        if where.before is not None:
            sql += " AND run < ?"
            values.append(where.before)
        rows = await self._rows(sql + " ORDER BY run DESC LIMIT ?", *values, max(0, where.limit))
        return [view(row) for row in rows]

    async def spent(self, run: str) -> int:
        """Micro-dollars the ledger holds against the run; 0 when there is no such run."""
        rows = await self._rows(_SPENT, run)
        return int(rows[0][0])

    async def ledger(self, run: str) -> list[LedgerEntry]:
        """The run's entries, in order."""
        return [LedgerEntry(*row) for row in await self._rows(_LEDGER, run)]

    async def register_version(self, row: VersionRow) -> VersionRow:
        """Binds (agent, name) to the digest; returns the row that stands.

        Raises:
            VersionTaken: the name is bound to another digest.
        """
        self._mine(row.tenant)
        return await self._store.call(lambda connection: _register(connection, row))

    async def versions(self, agent: str | None = None) -> list[VersionRow]:
        """All versions (of one agent), oldest first."""
        where, values = ("", ()) if agent is None else (" AND agent = ?", (agent,))
        rows = await self._rows(f"{_VERSIONS}{where} ORDER BY created_at, agent, name", *values)
        return [VersionRow(*row) for row in rows]

    async def put_key(self, row: KeyRow, read: KeyRow | None = None) -> None:
        """See `TenantStore.put_key`."""
        self._mine(row.tenant)
        if read is None:
            changed = await self._changed(_ADD_KEY, list(astuple(row)))
        else:
            given, stood = fields(row, KEY_CHANGES), fields(read, KEY_CHANGES)
            changed = await self._changed(_CHANGE_KEY, [*given, row.tenant, row.id, *stood])
        if not changed:
            raise changed_meanwhile("key", row.id)

    async def keys(self) -> list[KeyRow]:
        """The tenant's keys, oldest first, the revoked ones too."""
        return [KeyRow(*row) for row in await self._rows(_KEYS)]

    async def keys_used(self, times: Mapping[str, float]) -> None:
        """Sets `last_used_at` of these ids and nothing else; a later time already there stays."""
        if times:
            rows = [(at, at, self.tenant, key) for key, at in times.items()]
            await self._store.call(lambda connection: connection.executemany(_KEY_USED, rows).rowcount)

    async def decisions(
        self, *, run: str | None = None, pending: bool = False, before: str | None = None, limit: int = 50
    ) -> list[DecisionRow]:
        """See `TenantStore.decisions`."""
        where = " AND choice IS NULL" if pending else ""
        return [decision(row) for row in await self._page("decisions", DECISION_COLUMNS, where, run, before, limit)]

    async def deliveries(
        self,
        *,
        run: str | None = None,
        state: Literal["due", "sent", "dead"] | None = None,
        target: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        """See `TenantStore.deliveries`."""
        where = f" AND state = '{state}'" if state in ("due", "sent", "dead") else ""
        rows = await self._page("outbox", DELIVERY_COLUMNS, where, run, before, limit, target)
        return [delivery(row) for row in rows]

    async def delivery_counts(self, state: Literal["due", "sent", "dead"] | None = None) -> list[DeliveryCount]:
        """See `TenantStore.delivery_counts`."""
        return [DeliveryCount(*row) for row in await self._rows(_COUNTS, state, state)]

    async def _page(
        self, table: str, columns: str, where: str, run: str | None, before: str | None, limit: int,
        target: str | None = None,
    ) -> list[Any]:  # fmt: skip
        """Rows whose `id` sorts by time, newest first."""
        sql, values = f"SELECT {columns} FROM {table} WHERE tenant = ?{where}", []
        for condition, value in ((" AND run = ?", run), (" AND target = ?", target), (" AND id < ?", before)):
            if value is not None:
                sql += condition
                values.append(value)
        return await self._rows(sql + " ORDER BY id DESC LIMIT ?", *values, max(0, limit))

    async def send_again(self, id_: str) -> bool:
        """See `TenantStore.send_again`."""
        tenant, at = self.tenant, self._store.now()
        return bool(await self._store.call(lambda found: found.execute(_SEND_AGAIN, (at, tenant, id_)).rowcount))

    async def schedules(self) -> list[ScheduleRow]:
        """The tenant's schedules, by name."""
        return [ScheduleRow(*row) for row in await self._rows(_SCHEDULES)]

    async def put_schedule(self, row: ScheduleRow, expect: ScheduleRow | None) -> bool:
        """See `TenantStore.put_schedule`."""
        self._mine(row.tenant)

        def put(connection: sqlite3.Connection) -> bool:
            found = connection.execute(_SCHEDULE, (row.tenant, row.name)).fetchone()
            if (ScheduleRow(*found) if found else None) != expect:
                return False
            connection.execute(_PUT_SCHEDULE, astuple(row))
            return True

        return await self._store.call(put)

    async def drop_schedule(self, name: str) -> None:
        """Removes the schedule, if there is one."""
        sql, key = "DELETE FROM schedules WHERE tenant = ? AND name = ?", (self.tenant, name)
        await self._store.call(lambda connection: connection.execute(sql, key).rowcount)

    async def tail(self, after: str, limit: int = 1_000) -> tuple[list[Event], str]:
        """See `TenantStore.tail`. One thread writes, so the order of rows is the order in which they became durable."""
        rows = await self._rows(_TAIL, int(after or 0), max(0, limit))
        return [Event(*row[1:]) for row in rows], str(rows[-1][0]) if rows else after


def view(row: tuple[Any, ...]) -> RunView:
    """A row of `VIEW_COLUMNS` as the struct."""
    fields = dict(zip(RunView.__struct_fields__, row, strict=True))
    fields["priced"], fields["estimated"] = bool(fields["priced"]), bool(fields["estimated"])
    return RunView(**fields)


def _register(connection: sqlite3.Connection, row: VersionRow) -> VersionRow:
    added = connection.execute(
        f"INSERT OR IGNORE INTO versions ({_VERSION_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
        (row.tenant, row.agent, row.name, row.digest, row.created_at),
    ).rowcount
    if added:
        connection.execute(CONTROL_CHANGED)
        return row
    stands = VersionRow(
        *connection.execute(f"{_VERSIONS} AND agent = ? AND name = ?", (row.tenant, row.agent, row.name)).fetchone()
    )
    if stands.digest != row.digest:
        raise version_taken(stands, row)
    return stands
