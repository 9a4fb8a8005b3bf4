"""What leaves a PostgreSQL database for good. The database's own clean-up (VACUUM) frees the place of what was removed.

Erasing takes two statements: the first fences whoever works on the runs, so that the second sees all that was written
to them, and nothing is written afterwards.
"""

from collections.abc import Sequence

from golive.store.postgres.pool import Pool
from golive.store.postgres.tenancy import CONTROL_CHANGED
from golive.store.postgres.work import NOW

# ruff: noqa: S608 - what is put into these statements are names of our own tables, never a value
_BELONGING = ("events", "outbox", "decisions", "runs")


def _removed(gone: str) -> str:
    """Steps that remove what belongs to the runs that are in `gone`."""
    return ", ".join(
        f"{table}_gone AS (DELETE FROM {table} USING {gone} "
        f"WHERE {table}.tenant = {gone}.tenant AND {table}.run = {gone}.run)"
        for table in _BELONGING
    )


_PRUNE = f"""
WITH old AS MATERIALIZED (
    SELECT tenant, run FROM runs WHERE state = 'finished' AND finished_at < $1
        AND ($3::text IS NULL OR tenant = $3) AND tenant <> ALL ($4::text[])
        AND NOT EXISTS (
            SELECT FROM outbox WHERE outbox.tenant = runs.tenant AND outbox.run = runs.run AND outbox.state = 'due'
        )
    LIMIT $2 FOR UPDATE SKIP LOCKED
), leases_gone AS (DELETE FROM leases USING old WHERE leases.tenant = old.tenant AND leases.run = old.run
), {_removed("old")}
SELECT count(*) FROM old
"""
_FENCE = f"""
WITH mine AS MATERIALIZED (
    SELECT run FROM leases WHERE tenant = $1 {{whose}} UNION SELECT run FROM runs WHERE tenant = $1 {{whose}}
    ORDER BY run LIMIT $2
), locked AS MATERIALIZED (
    SELECT leases.run FROM leases JOIN mine ON leases.run = mine.run WHERE leases.tenant = $1
    ORDER BY leases.run FOR UPDATE OF leases
), fenced AS (
    UPDATE leases SET epoch = epoch + 1, holder = '', at = ({NOW}), at_rest = true FROM locked
    WHERE leases.tenant = $1 AND leases.run = locked.run RETURNING leases.run, leases.epoch
)
SELECT mine.run, fenced.epoch FROM mine LEFT JOIN fenced ON fenced.run = mine.run
"""
_FENCE_TENANT = _FENCE.format(whose="")
_FENCE_USER = _FENCE.format(whose='AND "user" = $3')
_ERASE = f"""
WITH fenced AS MATERIALIZED (
    SELECT $1::text AS tenant, v.run, v.epoch FROM unnest($2::text[], $3::bigint[]) AS v (run, epoch)
), leases_gone AS (
    DELETE FROM leases USING fenced
    WHERE leases.tenant = fenced.tenant AND leases.run = fenced.run AND leases.epoch = fenced.epoch
    RETURNING leases.tenant, leases.run
), gone AS MATERIALIZED (
    SELECT tenant, run FROM leases_gone UNION ALL SELECT tenant, run FROM fenced WHERE epoch IS NULL
), {_removed("gone")}
SELECT count(*) FROM gone
"""
"""A run that somebody took over since it was fenced is left for the next time."""
_STRAYS = ", ".join(
    f"{table}_gone AS (DELETE FROM {table} WHERE tenant = $1 AND NOT EXISTS (SELECT FROM leases "
    f"WHERE leases.tenant = {table}.tenant AND leases.run = {table}.run))"
    for table in _BELONGING
)
_ERASE_STRAYS = f"WITH {_STRAYS} SELECT 1"
"""Rows of the tenant without a lease, which nothing of golive's leaves behind."""
_TENANT_TABLES = ("keys", "schedules", "tenant_credentials", "tenant_users", "tokens_revoked", "versions")
_TENANT_GONE = ", ".join(
    f"{table}_gone AS (DELETE FROM {table} WHERE tenant = $1"
    f"{' AND tenant <> $$default$$' if table == 'versions' else ''} RETURNING 1)"
    for table in _TENANT_TABLES
)
_COUNTS = ", ".join(f"(SELECT count(*) FROM {table}_gone)" for table in _TENANT_TABLES)
_ERASE_TENANT = f"WITH {_TENANT_GONE}, told AS ({CONTROL_CHANGED}) SELECT {_COUNTS}"


class PostgresRemoval:
    """Keeps `store.removal.Removes`; a part of `PostgresStore`."""

    _server: Pool

    async def prune(
        self, finished_before: float, limit: int, tenant: str | None = None, but: Sequence[str] = ()
    ) -> int:
        """See `Removes.prune`."""
        return int((await self._server.fetch(_PRUNE, finished_before, max(0, limit), tenant, list(but)))[0][0])

    async def erase_runs(self, tenant: str, user: str | None, limit: int) -> int:
        """See `Removes.erase_runs`."""
        limit = max(0, limit)
        if user is None:
            rows = await self._server.fetch(_FENCE_TENANT, tenant, limit)
        else:
            rows = await self._server.fetch(_FENCE_USER, tenant, limit, user)
        if rows:
            await self._server.fetch(_ERASE, tenant, [row[0] for row in rows], [row[1] for row in rows])
        if user is None and len(rows) < limit:
            await self._server.fetch(_ERASE_STRAYS, tenant)
        return len(rows)

    async def erase_tenant_rows(self, tenant: str) -> dict[str, int]:
        """See `Removes.erase_tenant_rows`. Not sent again when its answer is lost: it would count none."""
        [counts] = await self._server.fetch(_ERASE_TENANT, tenant, again=False)
        return dict(zip(_TENANT_TABLES, map(int, counts), strict=True))

    async def wipe(self) -> bool:
        """See `Removes.wipe`."""
        return True
