"""The world's tenants; tenants and users over a replica's link to the database, and the removal of runs."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from golive.store.ports import Store, TenantStore
from golive.store.tenancy import CredentialRow, TenantRow, UserRow
from tests.sim.whose import TENANTS

T = TypeVar("T")


class Asks(Protocol):
    """The link, as far as it is needed here."""

    async def ask(
        self, work: Callable[[], Coroutine[Any, Any, T]], *, writes: bool = False, again: bool = False
    ) -> T: ...


async def make_tenants(store: Store, at: float) -> None:
    """Those that are not there by themselves, for whoever has no row begins nothing."""
    for tenant in TENANTS[1:]:
        row = TenantRow(tenant=tenant, state="active", created_at=at, created_by="world")
        await store.tenant(tenant).put_tenant(row)


class LinkTenancy(Asks):
    """What all tenants have, over a link."""

    _store: Store

    async def all_tenants(self) -> list[TenantRow]:
        return await self.ask(self._store.all_tenants)

    async def all_credentials(self) -> list[CredentialRow]:
        return await self.ask(self._store.all_credentials)

    async def suspended_users(self) -> list[tuple[str, str]]:
        return await self.ask(self._store.suspended_users)

    async def prune(
        self, finished_before: float, limit: int, tenant: str | None = None, but: Sequence[str] = ()
    ) -> int:
        return await self.ask(lambda: self._store.prune(finished_before, limit, tenant, but), writes=True)

    async def erase_runs(self, tenant: str, user: str | None, limit: int) -> int:
        return await self.ask(lambda: self._store.erase_runs(tenant, user, limit), writes=True)

    async def erase_tenant_rows(self, tenant: str) -> dict[str, int]:
        return await self.ask(lambda: self._store.erase_tenant_rows(tenant), writes=True)

    async def wipe(self) -> bool:
        return await self.ask(self._store.wipe, writes=True)


class LinkRecords:
    """One tenant's rows over a link."""

    _link: Asks
    _store: TenantStore

    async def tenant_row(self) -> TenantRow | None:
        return await self._link.ask(self._store.tenant_row)

    async def put_tenant(self, row: TenantRow) -> None:
        await self._link.ask(lambda: self._store.put_tenant(row), writes=True)

    async def change_tenant(self, row: TenantRow, read: TenantRow | None) -> None:
        await self._link.ask(lambda: self._store.change_tenant(row, read), writes=True)

    async def users(self, *, before: str = "", limit: int = 50) -> list[UserRow]:
        return await self._link.ask(lambda: self._store.users(before=before, limit=limit))

    async def user(self, id_: str) -> UserRow | None:
        return await self._link.ask(lambda: self._store.user(id_))

    async def put_user(self, row: UserRow) -> None:
        await self._link.ask(lambda: self._store.put_user(row), writes=True)

    async def change_user(self, row: UserRow, read: UserRow | None) -> None:
        await self._link.ask(lambda: self._store.change_user(row, read), writes=True)

    async def users_seen(self, times: Mapping[str, float]) -> None:
        await self._link.ask(lambda: self._store.users_seen(times), writes=True)

    async def credentials(self) -> list[CredentialRow]:
        return await self._link.ask(self._store.credentials)

    async def put_credential(self, row: CredentialRow) -> None:
        await self._link.ask(lambda: self._store.put_credential(row), writes=True)

    async def drop_credential(self, provider: str) -> bool:
        return await self._link.ask(lambda: self._store.drop_credential(provider), writes=True)
