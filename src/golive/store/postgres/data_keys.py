"""Data keys in PostgreSQL. Each change is one statement, so that two servers never make two present keys."""

from collections.abc import Sequence

from msgspec.structs import astuple

from golive.store.data_keys import PLAIN_TENANT, DataKeyCount, DataKeyRow, DataKeyStore, Living, Scope, no_key_for
from golive.store.postgres.pool import Pool

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_FIELDS = DataKeyRow.__struct_fields__
_NAMES = ", ".join(_FIELDS)
_INSTALLATION = "SELECT id FROM installation"
_ALL = f"SELECT {_NAMES} FROM data_keys WHERE scope = 'tenant' ORDER BY tenant, id"
_GET = f"SELECT {_NAMES} FROM data_keys WHERE tenant = $1 AND id = $2"
_PRESENT = f"""
SELECT {_NAMES} FROM data_keys
WHERE tenant = $1 AND scope = 'user' AND subject = $2 AND retired_at IS NULL AND erased_at IS NULL
"""
_USABLE = """
SELECT data_keys.tenant, data_keys.id FROM unnest($1::text[], $2::text[]) AS asked (tenant, id) JOIN data_keys
    ON data_keys.tenant = asked.tenant AND data_keys.id = asked.id AND erased_at IS NULL
"""
_COUNTS = """
SELECT tenant, scope,
    CASE WHEN erased_at IS NOT NULL THEN 'erased' WHEN retired_at IS NULL THEN 'present' ELSE 'retired' END AS state,
    CASE WHEN erased_at IS NULL THEN master ELSE '' END AS under, count(*)
FROM data_keys GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_TO_REWRAP = f"""
SELECT {_NAMES} FROM data_keys WHERE erased_at IS NULL AND master <> $1 ORDER BY tenant, id LIMIT $2::bigint
"""
_GONE = """
SELECT 1 FROM tenants WHERE tenant = $1 AND state = 'erased'
UNION ALL SELECT 1 FROM tenant_users WHERE $2::text = 'user' AND tenant = $1 AND id = $3 AND state = 'erased' LIMIT 1
"""
_TELL_MASTERS = "UPDATE holders SET masters = $1 WHERE holder = $2 AND masters <> $1"
_LIVING = "SELECT holder, masters FROM holders WHERE until > extract(epoch FROM clock_timestamp()) ORDER BY holder"
_CHANGED = "UPDATE installation SET control_version = control_version + 1"
_NOT_GONE = """
NOT EXISTS (SELECT FROM tenants WHERE tenant = $1 AND state = 'erased' FOR SHARE)
    AND NOT EXISTS (
        SELECT FROM tenant_users WHERE $3::text = 'user' AND tenant = $1 AND id = $4 AND state = 'erased'
    )
"""
_VALUES = """
$1::text, $2::text, $3::text, $4::text, $5::bytea, $6::text, $7::bigint, $8::double precision, $9::double precision,
    $10::double precision
"""
_TOLD = f"told AS ({_CHANGED} WHERE $3::text = 'tenant' AND EXISTS (SELECT FROM added))"
_ADD = f"""
WITH added AS (
    INSERT INTO data_keys ({_NAMES}) SELECT {_VALUES} WHERE {_NOT_GONE} ON CONFLICT DO NOTHING RETURNING 1
), {_TOLD}
SELECT FROM added
"""
_REPLACE = f"""
WITH retired AS (
    UPDATE data_keys SET retired_at = $8::double precision
    WHERE tenant = $1 AND id = $11::text AND scope = $3 AND subject = $4 AND retired_at IS NULL AND erased_at IS NULL
    RETURNING 1
), added AS (
    INSERT INTO data_keys ({_NAMES})
    SELECT {_VALUES} WHERE EXISTS (SELECT FROM retired) AND {_NOT_GONE} ON CONFLICT DO NOTHING RETURNING 1
), {_TOLD}
SELECT FROM added
"""
_RESERVE = """
UPDATE data_keys SET reserved = reserved + $3::bigint
WHERE tenant = $1 AND id = $2 AND reserved + $3 <= $4::bigint AND retired_at IS NULL AND erased_at IS NULL RETURNING 1
"""
_REWRAP = f"""
WITH changed AS (
    UPDATE data_keys SET wrapped = $1, master = $2
    WHERE tenant = $3 AND id = $4 AND master = $5 AND erased_at IS NULL RETURNING 1
), told AS ({_CHANGED} WHERE EXISTS (SELECT FROM changed))
SELECT FROM changed
"""
_ERASE = f"""
WITH changed AS (
    UPDATE data_keys SET wrapped = '', erased_at = $1 WHERE tenant = $2 AND erased_at IS NULL{{whose}} RETURNING 1
), told AS ({_CHANGED} WHERE EXISTS (SELECT FROM changed))
SELECT count(*) FROM changed
"""
_ERASE_ALL = _ERASE.format(whose="")
_ERASE_ONE = _ERASE.format(whose=" AND scope = $3 AND subject = $4")


class PostgresDataKeys(DataKeyStore):
    """Keeps `store.data_keys.DataKeyStore`. The role that tenants read through sees no row of it."""

    def __init__(self, server: Pool) -> None:
        self._server = server

    async def installation(self) -> str:
        """See `DataKeyStore.installation`."""
        return str((await self._server.fetch(_INSTALLATION))[0][0])

    async def all(self) -> list[DataKeyRow]:
        """See `DataKeyStore.all`."""
        return [DataKeyRow(*row) for row in await self._server.fetch(_ALL)]

    async def get(self, tenant: str, id_: str) -> DataKeyRow | None:
        """See `DataKeyStore.get`."""
        rows = await self._server.fetch(_GET, tenant, id_)
        return DataKeyRow(*rows[0]) if rows else None

    async def present(self, tenant: str, user: str) -> DataKeyRow | None:
        """See `DataKeyStore.present`."""
        rows = await self._server.fetch(_PRESENT, tenant, user)
        return DataKeyRow(*rows[0]) if rows else None

    async def erased(self, places: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """See `DataKeyStore.erased`."""
        tenants, ids = [tenant for tenant, _ in places], [id_ for _, id_ in places]
        usable = {tuple(row) for row in await self._server.fetch(_USABLE, tenants, ids)}
        return [place for place in places if place not in usable]

    async def counts(self) -> list[DataKeyCount]:
        """See `DataKeyStore.counts`."""
        return [DataKeyCount(*row) for row in await self._server.fetch(_COUNTS)]

    async def to_rewrap(self, master: str, limit: int) -> list[DataKeyRow]:
        """See `DataKeyStore.to_rewrap`."""
        return [DataKeyRow(*row) for row in await self._server.fetch(_TO_REWRAP, master, limit)]

    async def add(self, row: DataKeyRow, replaces: str | None) -> bool:
        """See `DataKeyStore.add`."""
        sql, values = (_ADD, astuple(row)) if replaces is None else (_REPLACE, (*astuple(row), replaces))
        added = bool(await self._server.fetch(sql, *values, again=False))
        if not added and await self._server.fetch(_GONE, row.tenant, row.scope, row.subject):
            raise no_key_for(row)
        return added

    async def reserve(self, tenant: str, id_: str, count: int, most: int) -> bool:
        """See `DataKeyStore.reserve`. One that is sent again reserves twice, which costs nothing."""
        return bool(await self._server.fetch(_RESERVE, tenant, id_, count, most))

    async def rewrap(self, row: DataKeyRow, wrapped: bytes, master: str) -> bool:
        """See `DataKeyStore.rewrap`."""
        values = (wrapped, master, row.tenant, row.id, row.master)
        return bool(await self._server.fetch(_REWRAP, *values, again=False))

    async def plain_tenant(self) -> str | None:
        """See `DataKeyStore.plain_tenant`."""
        rows = await self._server.fetch(PLAIN_TENANT)
        return str(rows[0][0]) if rows else None

    async def tell_masters(self, holder: str, masters: Sequence[str]) -> None:
        """See `DataKeyStore.tell_masters`."""
        await self._server.fetch(_TELL_MASTERS, " ".join(masters), holder)

    async def living(self) -> list[Living]:
        """See `DataKeyStore.living`."""
        return [Living(holder, tuple(masters.split())) for holder, masters in await self._server.fetch(_LIVING)]

    async def erase(self, tenant: str, scope: Scope | None, subject: str, at: float) -> int:
        """See `DataKeyStore.erase`."""
        whose = () if scope is None else (scope, subject)
        return int((await self._server.fetch(_ERASE_ONE if whose else _ERASE_ALL, at, tenant, *whose))[0][0])
