"""The audit log in PostgreSQL: any number of servers add to one chain, and it never forks.

A server reads where the chains end, hashes its entries behind that, and writes them in one statement that moves the
heads only from there. Where another server was faster it hashes anew. No lock is held while a server computes, so one
that is frozen keeps nobody waiting.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple

from golive.core.chance import Chance
from golive.core.errors import StoreError, StoreUnavailable
from golive.store.audit import (
    FIELDS,
    GENESIS,
    AuditCheckpoint,
    AuditEntry,
    AuditFilter,
    AuditHead,
    AuditRow,
    AuditStore,
    TenantAudit,
    by_tenant,
    by_time,
    chained,
    conditions,
    order,
)
from golive.store.postgres.asking import as_tenant
from golive.store.postgres.pool import Pool

MOST_TRIES = 200
"""How often a group is hashed anew because others were faster, before it is given up for now."""
_LONGEST_PAUSE_S = 0.05

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_TYPES = {"seq": "bigint[]", "at_us": "bigint[]", "hash": "bytea[]"}
_UNNESTED = ", ".join(f"${place}::{_TYPES.get(name, 'text[]')}" for place, name in enumerate(FIELDS, 6))
_NAMES = ", ".join(FIELDS)
_APPEND = f"""
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[])
        AS w (tenant, old_seq, old_hash, new_seq, new_hash)
), moved AS (
    UPDATE audit_heads SET seq = new_seq, hash = new_hash FROM wanted
    WHERE audit_heads.tenant = wanted.tenant AND audit_heads.seq = old_seq AND audit_heads.hash = old_hash
    RETURNING audit_heads.tenant
), made AS (
    INSERT INTO audit_heads (tenant, seq, hash) SELECT tenant, new_seq, new_hash FROM wanted WHERE old_seq = 0
    ORDER BY tenant ON CONFLICT (tenant) DO NOTHING RETURNING tenant
), taken AS MATERIALIZED (
    SELECT tenant FROM moved UNION ALL SELECT tenant FROM made
), added AS (
    INSERT INTO audit ({_NAMES}) SELECT {_NAMES} FROM unnest({_UNNESTED}) AS v ({_NAMES})
    WHERE tenant IN (SELECT tenant FROM taken)
)
SELECT tenant FROM taken
"""
_HEADS_OF = "SELECT tenant, seq, hash FROM audit_heads WHERE tenant = ANY ($1::text[])"
_HEADS = "SELECT tenant, seq, hash FROM audit_heads ORDER BY tenant"
_TENANTS = """
SELECT tenant FROM audit_heads UNION SELECT tenant FROM audit_checkpoints UNION SELECT DISTINCT tenant FROM audit
ORDER BY 1
"""
_STANDS = """
SELECT audit.tenant FROM audit JOIN unnest($1::text[], $2::bigint[], $3::bytea[]) AS w (tenant, seq, hash)
    ON audit.tenant = w.tenant AND audit.seq = w.seq AND audit.hash = w.hash
"""
_MARKS = AuditCheckpoint.__struct_fields__
_PUT = f"""
INSERT INTO audit_checkpoints ({", ".join(_MARKS)})
VALUES ({", ".join(f"${place}" for place in range(1, len(_MARKS) + 1))}) ON CONFLICT DO NOTHING
"""
_OLD = """
WITH old AS MATERIALIZED (SELECT seq FROM audit WHERE tenant = $1 AND seq <= $2 ORDER BY seq LIMIT $3),
gone AS (DELETE FROM audit USING old WHERE audit.tenant = $1 AND audit.seq = old.seq),
marks AS (
    DELETE FROM audit_checkpoints WHERE tenant = $1 AND (seq < $2 OR (seq = $2 AND kind <> 'pruned'))
)
SELECT count(*) FROM old
"""
_ROWS = as_tenant(f"SELECT {_NAMES} FROM audit WHERE tenant = mine AND seq > $2 ORDER BY seq LIMIT $3")
_AT = as_tenant("SELECT at_us FROM audit WHERE tenant = mine AND seq = $2")
_HEAD = as_tenant("SELECT tenant, seq, hash FROM audit_heads WHERE tenant = mine")
_CHECKPOINTS = as_tenant(
    f"SELECT {', '.join(_MARKS)} FROM audit_checkpoints WHERE tenant = mine AND (seq > $2 OR kind = 'pruned')"
    " ORDER BY seq, kind"
)


class PostgresAudit(AuditStore):
    """Keeps `store.audit.AuditStore`."""

    def __init__(self, reader: Pool, server: Pool, chance: Chance) -> None:
        self._reader = reader
        self._server = server
        self._chance = chance
        self._ends: dict[str, AuditHead] = {}  # as last seen: another server may have gone on

    def tenant(self, tenant: str) -> "PostgresTenantAudit":
        """What can be read of one tenant's chain."""
        return PostgresTenantAudit(self._reader, tenant)

    async def append(self, entries: Sequence[AuditEntry]) -> list[AuditHead]:
        """See `AuditStore.append`."""
        left = by_tenant(entries)
        done: list[AuditHead] = []
        for tries in range(MOST_TRIES):
            rows = {tenant: chained(self._ends.get(tenant) or _none(tenant), mine) for tenant, mine in left.items()}
            for tenant in await self._write(rows):
                last = rows[tenant][-1]
                self._ends[tenant] = AuditHead(tenant, last.seq, last.hash)
                done.append(self._ends[tenant])
                del left[tenant]
            if not left:
                return done
            for row in await self._server.fetch(_HEADS_OF, list(left)):
                self._ends[row[0]] = AuditHead(*row)
            if tries:
                await asyncio.sleep(self._chance.uniform(0.0, min(_LONGEST_PAUSE_S, 0.002 * tries)))
        raise StoreUnavailable(
            f"The audit log cannot be written: other servers were faster {MOST_TRIES} times.", remedy="Try again.",
            cause="its chain moves on too fast",
        )  # fmt: skip

    async def _write(self, rows: dict[str, list[AuditRow]]) -> list[str]:
        """The tenants whose rows stand; of the others another server has moved the head meanwhile."""
        befores = [self._ends.get(tenant) or _none(tenant) for tenant in rows]
        lasts = [mine[-1] for mine in rows.values()]
        columns = zip(*(astuple(row) for mine in rows.values() for row in mine), strict=True)
        values: list[list[Any]] = [
            list(rows), [head.seq for head in befores], [head.hash for head in befores],
            [row.seq for row in lasts], [row.hash for row in lasts], *map(list, columns),
        ]  # fmt: skip
        try:
            found = await self._server.fetch(_APPEND, *values, again=False)
        except StoreUnavailable:  # its answer may be what was lost
            found = await self._server.fetch(_STANDS, values[0], values[3], values[4])
        except StoreError as error:
            if error.fields.get("sqlstate") != "23505":
                raise
            found = []  # two began one chain at once: the other was faster
        return [row[0] for row in found]

    async def heads(self) -> list[AuditHead]:
        """See `AuditStore.heads`."""
        return [AuditHead(*row) for row in await self._server.fetch(_HEADS)]

    async def tenants(self) -> list[str]:
        """See `AuditStore.tenants`."""
        return [row[0] for row in await self._server.fetch(_TENANTS)]

    async def put_checkpoint(self, row: AuditCheckpoint) -> None:
        """See `AuditStore.put_checkpoint`."""
        await self._server.fetch(_PUT, *astuple(row))

    async def prune(self, mark: AuditCheckpoint, limit: int) -> int:
        """See `AuditStore.prune`. The mark comes first: the database removes nothing that none covers."""
        await self.put_checkpoint(mark)
        return int((await self._server.fetch(_OLD, mark.tenant, mark.seq, limit))[0][0])


class PostgresTenantAudit(TenantAudit):
    """Keeps `store.audit.TenantAudit`, under the role that sees one tenant."""

    def __init__(self, reader: Pool, tenant: str) -> None:
        self._reader = reader
        self._tenant = tenant

    async def rows(self, after_seq: int = 0, limit: int = 1_000) -> list[AuditRow]:
        """See `TenantAudit.rows`."""
        return [AuditRow(*row) for row in await self._fetch(_ROWS, after_seq, max(0, limit))]

    async def head(self) -> AuditHead:
        """See `TenantAudit.head`."""
        rows = await self._fetch(_HEAD)
        return AuditHead(*rows[0]) if rows else _none(self._tenant)

    async def search(self, where: AuditFilter) -> list[AuditRow]:
        """See `TenantAudit.search`."""
        at: list[Any] = []
        if by_time(where) and where.before is not None:
            at = await self._fetch(_AT, where.before)
        sql, values = searching(where, at[0][0] if at else None)
        return [AuditRow(*row) for row in await self._fetch(sql, *values)]

    async def checkpoints(self, after_seq: int = 0) -> list[AuditCheckpoint]:
        """See `TenantAudit.checkpoints`."""
        return [AuditCheckpoint(*row) for row in await self._fetch(_CHECKPOINTS, after_seq)]

    async def _fetch(self, sql: str, *values: Any) -> list[Any]:
        return await self._reader.fetch(sql, self._tenant, *values)


def searching(where: AuditFilter, before_us: int | None = None) -> tuple[str, list[Any]]:
    """The statement of a search, and its values behind the tenant; `before_us` as in `store.audit.conditions`."""
    values: list[Any] = []
    sql = f"SELECT {_NAMES} FROM audit WHERE tenant = mine"
    for condition, of_it in conditions(where, before_us):
        places = range(len(values) + 2, len(values) + 2 + len(of_it))
        sql += f" AND {condition.format(*(f'${place}' for place in places))}"
        values += of_it
    sql += f" ORDER BY {order(where)} LIMIT ${len(values) + 2}"
    return as_tenant(sql), [*values, max(0, where.limit)]


def _none(tenant: str) -> AuditHead:
    return AuditHead(tenant, 0, GENESIS)
