"""Keys made and revoked by a command, recorded in the audit log as those of a server are."""

from typing import Any

from golive.audit.acting import Acts
from golive.store.ports import KeyRow
from golive.tenants.authorize import Principal
from golive.tenants.directory import no_tenant
from golive.tenants.keys import KeyAdmin, NewKey, Rotated


class RecordedKeyAdmin(KeyAdmin):
    """As `KeyAdmin`; nothing is done that cannot be recorded (AuditUnavailable)."""

    def __init__(self, *args: Any, acts: Acts, **options: Any) -> None:
        super().__init__(*args, **options)
        self._acts = acts

    async def create(self, tenant: str, name: str, role: str, **options: Any) -> NewKey:
        """See `KeyAdmin.create`."""
        await self._there(tenant)
        async with self._acts.act("keys.manage", "key", name, tenant, role=role) as more:
            made = await super().create(tenant, name, role, **options)
            more["key"] = made.row.id
            return made

    async def revoke(self, tenant: str, key_id: str, by: Principal | None = None) -> KeyRow:
        """See `KeyAdmin.revoke`."""
        await self._there(tenant)
        async with self._acts.act("keys.manage", "key", key_id, tenant, did="revoke"):
            return await super().revoke(tenant, key_id, by)

    async def rotate(
        self, tenant: str, key_id: str, overlap_s: float, *, created_by: str, by: Principal | None = None
    ) -> Rotated:
        """See `KeyAdmin.rotate`."""
        await self._there(tenant)
        async with self._acts.act("keys.manage", "key", key_id, tenant, did="rotate") as more:
            made = await super().rotate(tenant, key_id, overlap_s, created_by=created_by, by=by)
            more["key"], more["overlap_s"] = made.new.row.id, f"{overlap_s:g}"
            return made

    async def _there(self, tenant: str) -> None:
        """Raises NotFound: what is recorded of a tenant that there is not would begin a log of its name."""
        if await self._store.tenant(tenant).tenant_row() is None:
            raise no_tenant(tenant)
