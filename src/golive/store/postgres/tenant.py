"""One tenant's view of the database.

Reads go under a role that sees the rows of one tenant, which each statement names for its own transaction; a forgotten
condition shows nothing of another's. Every statement that writes names the tenant itself.
"""

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
from golive.store.postgres.asking import as_tenant
from golive.store.postgres.pool import Pool
from golive.store.postgres.tenancy import CONTROL_CHANGED, PostgresTenancy, add, compare_and_set
from golive.store.postgres.work import DECISION_COLUMNS, DELIVERY_COLUMNS, NOW, decision, delivery
from golive.store.reasons import version_taken
from golive.store.tenancy import KEY_CHANGES, changed_meanwhile, fields


def _columns(struct: Any) -> str:
    return ", ".join(f'"{name}"' for name in struct.__struct_fields__)


def _values(struct: Any) -> str:
    return ", ".join(f"${place}" for place in range(1, len(struct.__struct_fields__) + 1))


# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_VIEWS = f"SELECT {_columns(RunView)} FROM runs WHERE tenant = mine"
_EVENTS = as_tenant(
    f"SELECT {_columns(Event)} FROM events WHERE tenant = mine AND run = $2 AND seq > $3 ORDER BY seq LIMIT $4"
)
_RUN = as_tenant(f"{_VIEWS} AND run = $2")
_SPENT = as_tenant("SELECT coalesce(sum(amount_microusd), 0)::bigint FROM ledger WHERE tenant = mine AND run = $2")
_LEDGER = as_tenant(f"SELECT {_columns(LedgerEntry)} FROM ledger WHERE tenant = mine AND run = $2 ORDER BY seq, at")
_VERSIONS = as_tenant(
    f"SELECT {_columns(VersionRow)} FROM versions WHERE tenant = mine AND ($2::text IS NULL OR agent = $2)"
    " ORDER BY created_at, agent, name"
)
_VERSION = as_tenant(f"SELECT {_columns(VersionRow)} FROM versions WHERE tenant = mine AND agent = $2 AND name = $3")
_KEYS = as_tenant(f"SELECT {_columns(KeyRow)} FROM keys WHERE tenant = mine ORDER BY created_at, id")
_COUNTS = as_tenant(
    "SELECT target, state, count(*), min(at) FROM outbox WHERE tenant = mine AND ($2::text IS NULL OR state = $2)"
    " GROUP BY target, state ORDER BY target, state"
)
_SCHEDULES = as_tenant(f"SELECT {_columns(ScheduleRow)} FROM schedules WHERE tenant = mine ORDER BY name")
_TAIL = as_tenant(
    f"SELECT {_columns(Event)}, xid::text AS in_commit, number FROM events WHERE tenant = mine"
    " AND (xid, number) > ($2::text::xid8, $3::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())"
    " ORDER BY events.xid, events.number LIMIT $4"
)
"""Stops before the oldest transaction that is still open: what that one commits comes behind what was read."""

_REGISTER = f"""
WITH added AS (
    INSERT INTO versions ({_columns(VersionRow)}) VALUES ({_values(VersionRow)}) ON CONFLICT DO NOTHING RETURNING 1
), told AS ({CONTROL_CHANGED} WHERE EXISTS (SELECT FROM added))
SELECT FROM added
"""
_ADD_KEY = add("keys", KeyRow.__struct_fields__)
_CHANGE_KEY = compare_and_set("keys", KEY_CHANGES, ("tenant", "id"))
_KEYS_USED = """
UPDATE keys SET last_used_at = greatest(last_used_at, v.at)
FROM unnest($2::text[], $3::double precision[]) AS v (id, at) WHERE keys.tenant = $1 AND keys.id = v.id
"""
_SEND_AGAIN = f"""
UPDATE outbox SET state = 'due', due_at = ({NOW}), done_at = NULL WHERE tenant = $1 AND id = $2 RETURNING 1
"""
_ADD_SCHEDULE = f"""
INSERT INTO schedules ({_columns(ScheduleRow)}) VALUES ({_values(ScheduleRow)}) ON CONFLICT DO NOTHING RETURNING 1
"""
_MOVE_SCHEDULE = """
UPDATE schedules SET digest = $3, next_at = $4, last_at = $5, last_run = $6
WHERE tenant = $1 AND name = $2 AND digest = $7 AND next_at = $8
    AND last_at IS NOT DISTINCT FROM $9::double precision AND last_run IS NOT DISTINCT FROM $10::text RETURNING 1
"""
_DROP_SCHEDULE = "DELETE FROM schedules WHERE tenant = $1 AND name = $2"
_FILTERS = ("agent", "state", "outcome", "conversation", "source", "user")


class PostgresTenant(PostgresTenancy):
    """Keeps `store.ports.TenantStore`."""

    def __init__(self, tenant: str, reader: Pool, server: Pool) -> None:
        self.tenant = tenant
        self._reader = reader
        self._server = server

    async def events(self, run: str, after_seq: int = 0, limit: int = 10_000) -> list[Event]:
        """The run's events with seq > after_seq, in order; [] when there is no such run."""
        return [Event(*row) for row in await self._rows(_EVENTS, run, after_seq, max(0, limit))]

    async def run(self, run: str) -> RunView | None:
        """The run's view; None when there is no such run."""
        rows = await self._rows(_RUN, run)
        return view(rows[0]) if rows else None

    async def runs(self, where: RunFilter) -> list[RunView]:
        """The views that match, newest first."""
        sql, values = _VIEWS, []
        for name in _FILTERS:
            wanted = getattr(where, name)
            if wanted is not None:
                values.append(wanted)
                sql += f' AND "{name}" = ${len(values) + 1}'
        if where.before is not None:
            values.append(where.before)
            sql += f" AND run < ${len(values) + 1}"
        sql += f" ORDER BY run DESC LIMIT ${len(values) + 2}"
        return [view(row) for row in await self._rows(as_tenant(sql), *values, max(0, where.limit))]

    async def spent(self, run: str) -> int:
        """Micro-dollars the ledger holds against the run; 0 when there is no such run."""
        return int((await self._rows(_SPENT, run))[0][0])

    async def ledger(self, run: str) -> list[LedgerEntry]:
        """The run's entries, in order."""
        return [LedgerEntry(*row) for row in await self._rows(_LEDGER, run)]

    async def register_version(self, row: VersionRow) -> VersionRow:
        """Binds (agent, name) to the digest; returns the row that stands.

        Raises:
            VersionTaken: the name is bound to another digest.
        """
        self._mine(row.tenant)
        if await self._server.fetch(_REGISTER, *astuple(row)):
            return row
        stands = VersionRow(*(await self._rows(_VERSION, row.agent, row.name))[0])
        if stands.digest != row.digest:
            raise version_taken(stands, row)
        return stands

    async def versions(self, agent: str | None = None) -> list[VersionRow]:
        """All versions (of one agent), oldest first."""
        return [VersionRow(*row) for row in await self._rows(_VERSIONS, agent)]

    async def put_key(self, row: KeyRow, read: KeyRow | None = None) -> None:
        """See `TenantStore.put_key`."""
        self._mine(row.tenant)
        if read is None:
            done = await self._server.fetch(_ADD_KEY, *astuple(row))
        else:
            given, stood = fields(row, KEY_CHANGES), fields(read, KEY_CHANGES)
            done = await self._server.fetch(_CHANGE_KEY, row.tenant, row.id, *given, *stood)
        if not done and not await self._stands(row):
            raise changed_meanwhile("key", row.id)

    async def _stands(self, row: KeyRow) -> bool:
        """Whether the key stands so already: the answer to the first asking may have been lost."""
        names = ("mac", *KEY_CHANGES)
        return any(each.id == row.id and fields(each, names) == fields(row, names) for each in await self.keys())

    async def keys(self) -> list[KeyRow]:
        """The tenant's keys, oldest first, the revoked ones too."""
        return [KeyRow(*row) for row in await self._rows(_KEYS)]

    async def keys_used(self, times: Mapping[str, float]) -> None:
        """Sets `last_used_at` of these ids and nothing else; a later time already there stays."""
        if times:
            await self._server.fetch(_KEYS_USED, self.tenant, list(times), list(times.values()))

    async def decisions(
        self, *, run: str | None = None, pending: bool = False, before: str | None = None, limit: int = 50
    ) -> list[DecisionRow]:
        """See `TenantStore.decisions`."""
        where = " AND choice IS NULL" if pending else ""
        rows = await self._page("decisions", DECISION_COLUMNS, where, limit, run=run, before=before)
        return [decision(row) for row in rows]

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
        rows = await self._page(
            "outbox", DELIVERY_COLUMNS, "", limit, run=run, state=state, target=target, before=before
        )
        return [delivery(row) for row in rows]

    async def delivery_counts(self, state: Literal["due", "sent", "dead"] | None = None) -> list[DeliveryCount]:
        """See `TenantStore.delivery_counts`."""
        return [DeliveryCount(*row) for row in await self._rows(_COUNTS, state)]

    async def _page(self, table: str, columns: str, where: str, limit: int, **wanted: str | None) -> list[Any]:
        """Rows whose `id` sorts by time, newest first; `before` is an id, what else is wanted the value of a column."""
        sql, values = f"SELECT {columns} FROM {table} WHERE tenant = mine{where}", []
        for name, value in wanted.items():
            if value is not None:
                values.append(value)
                sql += f" AND {'id <' if name == 'before' else f'{name} ='} ${len(values) + 1}"
        sql += f" ORDER BY id DESC LIMIT ${len(values) + 2}"
        return await self._rows(as_tenant(sql), *values, max(0, limit))

    async def send_again(self, id_: str) -> bool:
        """See `TenantStore.send_again`."""
        return bool(await self._server.fetch(_SEND_AGAIN, self.tenant, id_))

    async def schedules(self) -> list[ScheduleRow]:
        """The tenant's schedules, by name."""
        return [ScheduleRow(*row) for row in await self._rows(_SCHEDULES)]

    async def put_schedule(self, row: ScheduleRow, expect: ScheduleRow | None) -> bool:
        """See `TenantStore.put_schedule`."""
        self._mine(row.tenant)
        if expect is None:
            return bool(await self._server.fetch(_ADD_SCHEDULE, *astuple(row), again=False))
        if (expect.tenant, expect.name) != (row.tenant, row.name):
            return False
        return bool(await self._server.fetch(_MOVE_SCHEDULE, *astuple(row), *astuple(expect)[2:], again=False))

    async def drop_schedule(self, name: str) -> None:
        """Removes the schedule, if there is one."""
        await self._server.fetch(_DROP_SCHEDULE, self.tenant, name)

    async def tail(self, after: str, limit: int = 1_000) -> tuple[list[Event], str]:
        """See `TenantStore.tail`."""
        xid, _, number = after.partition(".")
        rows = await self._rows(_TAIL, xid or "0", int(number or 0), max(0, limit))
        events = [Event(*tuple(row)[:-2]) for row in rows]
        return events, f"{rows[-1][-2]}.{rows[-1][-1]}" if rows else after


def view(row: Any) -> RunView:
    """A row of a run's columns as the struct."""
    return RunView(**dict(zip(RunView.__struct_fields__, row, strict=True)))
