"""The fingerprints of secrets in a PostgreSQL database; only the role that works for all tenants may read them."""

from msgspec.structs import astuple

from golive.store.fingerprints import COLUMNS, CONTROL_CHANGED, ON_CONFLICT, SELECT, FingerprintRow
from golive.store.postgres.pool import Pool

_PUT = f"""
WITH put AS (INSERT INTO secret_fingerprints ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) {ON_CONFLICT})
{CONTROL_CHANGED}
"""  # noqa: S608 - names of our own


class PostgresFingerprints:
    """Keeps `store.fingerprints.Fingerprints`."""

    def __init__(self, server: Pool) -> None:
        self._server = server

    async def rows(self) -> list[FingerprintRow]:
        """See `Fingerprints.rows`."""
        return [FingerprintRow(*row) for row in await self._server.fetch(SELECT)]

    async def put(self, row: FingerprintRow) -> None:
        """See `Fingerprints.put`."""
        await self._server.fetch(_PUT, *astuple(row))
