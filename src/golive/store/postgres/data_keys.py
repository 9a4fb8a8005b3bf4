"""Data keys in PostgreSQL. Each change is one statement, so that two servers never make two present keys."""

from msgspec.structs import astuple

from golive.store.data_keys import DataKeyRow, DataKeyStore, Scope
from golive.store.postgres.pool import Pool

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_FIELDS = DataKeyRow.__struct_fields__
_NAMES = ", ".join(_FIELDS)
_INSTALLATION = "SELECT id FROM installation"
_ALL = f"SELECT {_NAMES} FROM data_keys ORDER BY tenant, id"
_CHANGED = "UPDATE installation SET control_version = control_version + 1"
_ADD = f"""
WITH added AS (
    INSERT INTO data_keys ({_NAMES}) VALUES ({", ".join(f"${place}" for place in range(1, len(_FIELDS) + 1))})
    ON CONFLICT DO NOTHING RETURNING 1
), told AS ({_CHANGED} WHERE EXISTS (SELECT FROM added))
SELECT FROM added
"""
_REPLACE = f"""
WITH retired AS (
    UPDATE data_keys SET retired_at = $8::double precision
    WHERE tenant = $1 AND id = $11::text AND scope = $3 AND subject = $4 AND retired_at IS NULL AND erased_at IS NULL
    RETURNING 1
), added AS (
    INSERT INTO data_keys ({_NAMES})
    SELECT $1::text, $2::text, $3::text, $4::text, $5::bytea, $6::text, $7::bigint, $8, $9::double precision,
        $10::double precision
    WHERE EXISTS (SELECT FROM retired) ON CONFLICT DO NOTHING RETURNING 1
), told AS ({_CHANGED} WHERE EXISTS (SELECT FROM added))
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
    UPDATE data_keys SET wrapped = '', erased_at = $1
    WHERE tenant = $2 AND erased_at IS NULL AND ($3::text IS NULL OR (scope = $3 AND subject = $4)) RETURNING 1
), told AS ({_CHANGED} WHERE EXISTS (SELECT FROM changed))
SELECT count(*) FROM changed
"""


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

    async def add(self, row: DataKeyRow, replaces: str | None) -> bool:
        """See `DataKeyStore.add`."""
        if replaces is None:
            return bool(await self._server.fetch(_ADD, *astuple(row), again=False))
        return bool(await self._server.fetch(_REPLACE, *astuple(row), replaces, again=False))

    async def reserve(self, tenant: str, id_: str, count: int, most: int) -> bool:
        """See `DataKeyStore.reserve`. One that is sent again reserves twice, which costs nothing."""
        return bool(await self._server.fetch(_RESERVE, tenant, id_, count, most))

    async def rewrap(self, row: DataKeyRow, wrapped: bytes, master: str) -> bool:
        """See `DataKeyStore.rewrap`."""
        values = (wrapped, master, row.tenant, row.id, row.master)
        return bool(await self._server.fetch(_REWRAP, *values, again=False))

    async def erase(self, tenant: str, scope: Scope | None, subject: str, at: float) -> int:
        """See `DataKeyStore.erase`."""
        return int((await self._server.fetch(_ERASE, at, tenant, scope, subject))[0][0])
