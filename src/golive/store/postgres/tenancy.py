"""Tenants, their users and their credentials in PostgreSQL. Each change is one statement."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import astuple

from golive.store.postgres.asking import as_tenant
from golive.store.postgres.pool import Pool
from golive.store.tenancy import (
    BY_REQUEST,
    CREDENTIAL_FIELDS,
    TENANT_CHANGES,
    TENANT_FIELDS,
    USER_CHANGES,
    USER_FIELDS,
    CredentialRow,
    TenantRow,
    UserRow,
    changed_meanwhile,
    erased_for_good,
    fields,
    tenant_of,
    tenant_values,
    user_of,
)

CONTROL_CHANGED = "UPDATE installation SET control_version = control_version + 1"

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_TENANT_COLUMNS = ", ".join(TENANT_FIELDS)
_USER_COLUMNS = ", ".join(USER_FIELDS)
_CREDENTIAL_COLUMNS = ", ".join(CREDENTIAL_FIELDS)


def _put(table: str, fields: tuple[str, ...], key: int, tail: str = "") -> str:
    """Adds a row, or replaces the one with the same first `key` fields; finds a row where that changed anything."""
    replaced = ", ".join(f"{name} = excluded.{name}" for name in fields[key:])
    return f"""
WITH put AS (
    INSERT INTO {table} ({", ".join(fields)}) VALUES ({", ".join(f"${place}" for place in range(1, len(fields) + 1))})
    ON CONFLICT ({", ".join(fields[:key])}) DO UPDATE SET {replaced} {tail} RETURNING 1
), told AS ({CONTROL_CHANGED} WHERE EXISTS (SELECT FROM put))
SELECT FROM put
"""


def add(table: str, fields: tuple[str, ...]) -> str:
    """Adds a row where there is none; finds a row where it did."""
    return f"""
WITH put AS (
    INSERT INTO {table} ({", ".join(fields)}) VALUES ({", ".join(f"${place}" for place in range(1, len(fields) + 1))})
    ON CONFLICT DO NOTHING RETURNING 1
), told AS ({CONTROL_CHANGED} WHERE EXISTS (SELECT FROM put))
SELECT FROM put
"""


def compare_and_set(table: str, changes: tuple[str, ...], key: tuple[str, ...]) -> str:
    """Changes a row where what is changed stands as it was read: key, new values, values read; finds it then."""
    mine = " AND ".join(f"{name} = ${place}" for place, name in enumerate(key, 1))
    given = ", ".join(f"{name} = ${place}" for place, name in enumerate(changes, len(key) + 1))
    first = len(key) + len(changes) + 1
    stood = " AND ".join(f"{name} IS NOT DISTINCT FROM ${place}" for place, name in enumerate(changes, first))
    return f"""
WITH put AS (UPDATE {table} SET {given} WHERE {mine} AND {stood} RETURNING 1
), told AS ({CONTROL_CHANGED} WHERE EXISTS (SELECT FROM put))
SELECT FROM put
"""


_TENANTS = f"SELECT {_TENANT_COLUMNS} FROM tenants"
_TENANT = as_tenant(f"{_TENANTS} WHERE tenant = mine")
_PUT_TENANT = _put("tenants", TENANT_FIELDS, 1, "WHERE tenants.state <> 'erased' OR excluded.state = 'erased'")
_ADD_TENANT = add("tenants", TENANT_FIELDS)
_CHANGE_TENANT = compare_and_set("tenants", TENANT_CHANGES, ("tenant",))
_ADD_USER = add("tenant_users", USER_FIELDS)
_CHANGE_USER = compare_and_set("tenant_users", USER_CHANGES, ("tenant", "id"))
_USERS = as_tenant(f"SELECT {_USER_COLUMNS} FROM tenant_users WHERE tenant = mine AND id > $2 ORDER BY id LIMIT $3")
_USER = as_tenant(f"SELECT {_USER_COLUMNS} FROM tenant_users WHERE tenant = mine AND id = $2")
_PUT_USER = _put("tenant_users", USER_FIELDS, 2, "WHERE tenant_users.state <> 'erased' OR excluded.state = 'erased'")
_SEEN = f"""
INSERT INTO tenant_users (tenant, id, state, created_at, created_by, last_seen_at, note)
SELECT $1, v.id, 'active', v.at, '{BY_REQUEST}', v.at, '' FROM unnest($2::text[], $3::double precision[]) AS v (id, at)
WHERE NOT EXISTS (SELECT FROM tenants WHERE tenant = $1 AND state = 'erased') ORDER BY v.id
ON CONFLICT (tenant, id) DO UPDATE SET last_seen_at = greatest(tenant_users.last_seen_at, excluded.last_seen_at)
WHERE tenant_users.state <> 'erased'
"""
_OUT = "SELECT tenant, id FROM tenant_users WHERE state <> 'active' ORDER BY tenant, id"
_CREDENTIALS = f"SELECT {_CREDENTIAL_COLUMNS} FROM tenant_credentials"
_CREDENTIALS_OF = as_tenant(f"{_CREDENTIALS} WHERE tenant = mine ORDER BY provider")
_PUT_CREDENTIAL = _put("tenant_credentials", CREDENTIAL_FIELDS, 2)
_DROP_CREDENTIAL = f"""
WITH gone AS (DELETE FROM tenant_credentials WHERE tenant = $1 AND provider = $2 RETURNING 1
), told AS ({CONTROL_CHANGED} WHERE EXISTS (SELECT FROM gone))
SELECT FROM gone
"""


class PostgresTenancy:
    """Keeps `store.tenancy.TenantRecords`; a part of `PostgresTenant`."""

    tenant: str
    _reader: Pool
    _server: Pool

    async def tenant_row(self) -> TenantRow | None:
        """See `TenantRecords.tenant_row`."""
        rows = await self._rows(_TENANT)
        return tenant_of(rows[0]) if rows else None

    async def put_tenant(self, row: TenantRow) -> None:
        """See `TenantRecords.put_tenant`."""
        self._mine(row.tenant)
        if not await self._server.fetch(_PUT_TENANT, *tenant_values(row)):
            raise erased_for_good(row)

    async def change_tenant(self, row: TenantRow, read: TenantRow | None) -> None:
        """See `TenantRecords.change_tenant`."""
        self._mine(row.tenant)
        if read is None:
            done = await self._server.fetch(_ADD_TENANT, *tenant_values(row))
        else:
            given, stood = fields(row, TENANT_CHANGES), fields(read, TENANT_CHANGES)
            done = await self._server.fetch(_CHANGE_TENANT, row.tenant, *given, *stood)
        if not done and await self.tenant_row() != row:  # it stands so where the answer to the first asking was lost
            raise changed_meanwhile("tenant", row.tenant)

    async def users(self, *, before: str = "", limit: int = 50) -> list[UserRow]:
        """See `TenantRecords.users`."""
        return [user_of(row) for row in await self._rows(_USERS, before, max(0, limit))]

    async def user(self, id_: str) -> UserRow | None:
        """The user's row; None: the tenant has none of that id."""
        rows = await self._rows(_USER, id_)
        return user_of(rows[0]) if rows else None

    async def put_user(self, row: UserRow) -> None:
        """See `TenantRecords.put_user`."""
        self._mine(row.tenant)
        if not await self._server.fetch(_PUT_USER, *astuple(row)):
            raise erased_for_good(row)

    async def change_user(self, row: UserRow, read: UserRow | None) -> None:
        """See `TenantRecords.change_user`."""
        self._mine(row.tenant)
        given = fields(row, USER_CHANGES)
        if read is None:
            done = await self._server.fetch(_ADD_USER, *astuple(row))
        else:
            done = await self._server.fetch(_CHANGE_USER, row.tenant, row.id, *given, *fields(read, USER_CHANGES))
        if not done:
            stands = await self.user(row.id)
            if stands is None or fields(stands, USER_CHANGES) != given:
                raise changed_meanwhile("user", row.id)

    async def users_seen(self, times: Mapping[str, float]) -> None:
        """See `TenantRecords.users_seen`."""
        if times:
            await self._server.fetch(_SEEN, self.tenant, list(times), list(times.values()))

    async def credentials(self) -> list[CredentialRow]:
        """See `TenantRecords.credentials`."""
        return [CredentialRow(*row) for row in await self._rows(_CREDENTIALS_OF)]

    async def put_credential(self, row: CredentialRow) -> None:
        """See `TenantRecords.put_credential`."""
        self._mine(row.tenant)
        await self._server.fetch(_PUT_CREDENTIAL, *astuple(row))

    async def drop_credential(self, provider: str) -> bool:
        """See `TenantRecords.drop_credential`. Not sent again when its answer is lost: it would find none."""
        return bool(await self._server.fetch(_DROP_CREDENTIAL, self.tenant, provider, again=False))

    async def _rows(self, sql: str, *values: Any) -> list[Any]:
        return await self._reader.fetch(sql, self.tenant, *values)

    def _mine(self, tenant: str) -> None:
        if tenant != self.tenant:
            raise ValueError(f"a row of tenant {tenant!r} cannot be written through the handle of {self.tenant!r}")


async def all_tenants(server: Pool) -> list[TenantRow]:
    """See `KeepsTenants.all_tenants`."""
    return [tenant_of(row) for row in await server.fetch(f"{_TENANTS} ORDER BY tenant")]


async def all_credentials(server: Pool) -> list[CredentialRow]:
    """See `KeepsTenants.all_credentials`."""
    return [CredentialRow(*row) for row in await server.fetch(f"{_CREDENTIALS} ORDER BY tenant, provider")]


async def suspended_users(server: Pool) -> list[tuple[str, str]]:
    """See `KeepsTenants.suspended_users`."""
    return [(row[0], row[1]) for row in await server.fetch(_OUT)]
