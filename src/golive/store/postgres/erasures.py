"""Erasures in PostgreSQL, whose files are its own: what is freed there is overwritten by its vacuum, in time."""

from collections.abc import Sequence

from golive.store.erasures import ALL, UNFINISHED, Erasure, ErasureStore, counting
from golive.store.postgres.pool import Pool


class PostgresErasures(ErasureStore):
    """Keeps `store.erasures.ErasureStore`."""

    def __init__(self, server: Pool) -> None:
        self._server = server

    async def all(self) -> list[Erasure]:
        """See `ErasureStore.all`."""
        return [Erasure(*row) for row in await self._server.fetch(ALL)]

    async def unfinished(self, limit: int) -> list[Erasure]:
        """See `ErasureStore.unfinished`."""
        return [Erasure(*row) for row in await self._server.fetch(f"{UNFINISHED} LIMIT $1", limit)]

    async def standing(self, tenant: str, user: str | None) -> dict[str, int]:
        """See `ErasureStore.standing`."""
        values = (tenant,) if user is None else (tenant, user)
        rows = await self._server.fetch(counting(user, tenant, ("$1::text", "$2::text")), *values)
        return {str(row[0]): int(row[1]) for row in rows}

    async def in_files(self, values: Sequence[bytes]) -> int | None:
        """See `ErasureStore.in_files`."""
        return None
