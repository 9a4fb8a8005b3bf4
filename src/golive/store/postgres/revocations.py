"""The revocations of tokens in PostgreSQL. Each change is one statement."""

from msgspec.structs import astuple

from golive.store.postgres.asking import as_tenant
from golive.store.postgres.pool import Pool
from golive.store.revocation import COLUMNS, RevocationStore, TokenRevocation

# ruff: noqa: S608 - what is put into these statements are names of columns from our own struct, never a value
_ALL = f"SELECT {COLUMNS} FROM tokens_revoked ORDER BY created_at, tenant, id"
_OF = as_tenant(f"SELECT {COLUMNS} FROM tokens_revoked WHERE tenant = mine ORDER BY created_at, id")
_ADD = f"""
WITH added AS (
    INSERT INTO tokens_revoked ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::double precision, $9)
    ON CONFLICT DO NOTHING
), pruned AS (DELETE FROM tokens_revoked WHERE until < $8::double precision)
UPDATE installation SET control_version = control_version + 1
"""
_PRUNE = """
WITH pruned AS (DELETE FROM tokens_revoked WHERE until < $1::double precision RETURNING 1) SELECT count(*) FROM pruned
"""


class PostgresRevocations(RevocationStore):
    """Keeps `store.revocation.RevocationStore`."""

    def __init__(self, reader: Pool, server: Pool) -> None:
        self._reader = reader
        self._server = server

    async def all(self) -> list[TokenRevocation]:
        """See `RevocationStore.all`."""
        return [TokenRevocation(*row) for row in await self._server.fetch(_ALL)]

    async def of(self, tenant: str) -> list[TokenRevocation]:
        """See `RevocationStore.of`; under the role that sees one tenant."""
        return [TokenRevocation(*row) for row in await self._reader.fetch(_OF, tenant)]

    async def add(self, row: TokenRevocation) -> None:
        """See `RevocationStore.add`."""
        await self._server.fetch(_ADD, *astuple(row))

    async def prune(self, before: float) -> int:
        """See `RevocationStore.prune`."""
        return int((await self._server.fetch(_PRUNE, before))[0][0])
