"""Data keys over a replica's link to the database: what is asked may be late, lost or carried out unheard."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from golive.store.data_keys import DataKeyCount, DataKeyRow, DataKeyStore, Living, Scope

if TYPE_CHECKING:
    from tests.sim.database import Link


class LinkDataKeys(DataKeyStore):
    """Data keys over a link."""

    def __init__(self, link: "Link", keys: DataKeyStore) -> None:
        self._link = link
        self._keys = keys

    async def installation(self) -> str:
        return await self._link.ask(self._keys.installation)

    async def all(self) -> list[DataKeyRow]:
        return await self._link.ask(self._keys.all)

    async def get(self, tenant: str, id_: str) -> DataKeyRow | None:
        return await self._link.ask(lambda: self._keys.get(tenant, id_))

    async def present(self, tenant: str, user: str) -> DataKeyRow | None:
        return await self._link.ask(lambda: self._keys.present(tenant, user))

    async def erased(self, places: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        return await self._link.ask(lambda: self._keys.erased(places))

    async def counts(self) -> list[DataKeyCount]:
        return await self._link.ask(self._keys.counts)

    async def to_rewrap(self, master: str, limit: int) -> list[DataKeyRow]:
        return await self._link.ask(lambda: self._keys.to_rewrap(master, limit))

    async def add(self, row: DataKeyRow, replaces: str | None) -> bool:
        return await self._link.ask(lambda: self._keys.add(row, replaces), writes=True)

    async def reserve(self, tenant: str, id_: str, count: int, most: int) -> bool:
        return await self._link.ask(lambda: self._keys.reserve(tenant, id_, count, most), writes=True)

    async def rewrap(self, row: DataKeyRow, wrapped: bytes, master: str) -> bool:
        return await self._link.ask(lambda: self._keys.rewrap(row, wrapped, master), writes=True)

    async def tell_masters(self, holder: str, masters: Sequence[str]) -> None:
        await self._link.ask(lambda: self._keys.tell_masters(holder, masters), writes=True)

    async def living(self) -> list[Living]:
        return await self._link.ask(self._keys.living)

    async def erase(self, tenant: str, scope: Scope | None, subject: str, at: float) -> int:
        return await self._link.ask(lambda: self._keys.erase(tenant, scope, subject, at), writes=True)
