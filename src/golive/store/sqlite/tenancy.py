"""Tenants, their users and their credentials in a SQLite file."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from msgspec.structs import astuple

from golive.store.sqlite.asking import ReadWrite
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
    """Adds a row, or replaces the one with the same first `key` fields."""
    replaced = ", ".join(f"{name} = excluded.{name}" for name in fields[key:])
    return (
        f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))}) "
        f"ON CONFLICT ({', '.join(fields[:key])}) DO UPDATE SET {replaced} {tail}"
    )


def add(table: str, fields: tuple[str, ...]) -> str:
    """Adds a row where there is none."""
    values = ", ".join("?" * len(fields))
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({values}) ON CONFLICT DO NOTHING"


def compare_and_set(table: str, changes: tuple[str, ...], key: str) -> str:
    """Changes a row where what is changed stands as it was read: new values, tenant and id, the values read."""
    given, stood = (sign.join(f"{name} {word} ?" for name in changes) for sign, word in ((", ", "="), (" AND ", "IS")))
    return f"UPDATE {table} SET {given} WHERE {key} AND {stood}"


_FOR_GOOD = "WHERE state <> 'erased' OR excluded.state = 'erased'"
_TENANTS = f"SELECT {_TENANT_COLUMNS} FROM tenants"
_PUT_TENANT = _put("tenants", TENANT_FIELDS, 1, _FOR_GOOD)
_ADD_TENANT = add("tenants", TENANT_FIELDS)
_CHANGE_TENANT = compare_and_set("tenants", TENANT_CHANGES, "tenant = ?")
_ADD_USER = add("tenant_users", USER_FIELDS)
_CHANGE_USER = compare_and_set("tenant_users", USER_CHANGES, "tenant = ? AND id = ?")
_USERS = f"SELECT {_USER_COLUMNS} FROM tenant_users WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?"
_USER = f"SELECT {_USER_COLUMNS} FROM tenant_users WHERE tenant = ? AND id = ?"
_PUT_USER = _put("tenant_users", USER_FIELDS, 2, _FOR_GOOD)
_SEEN = f"""
INSERT INTO tenant_users (tenant, id, state, created_at, created_by, last_seen_at, note)
SELECT ?1, ?2, 'active', ?3, '{BY_REQUEST}', ?3, ''
WHERE NOT EXISTS (SELECT 1 FROM tenants WHERE tenant = ?1 AND state = 'erased')
ON CONFLICT (tenant, id) DO UPDATE SET last_seen_at = max(coalesce(last_seen_at, ?3), ?3) WHERE state <> 'erased'
"""
_OUT = "SELECT tenant, id FROM tenant_users WHERE state <> 'active' ORDER BY tenant, id"
_CREDENTIALS = f"SELECT {_CREDENTIAL_COLUMNS} FROM tenant_credentials"
_PUT_CREDENTIAL = _put("tenant_credentials", CREDENTIAL_FIELDS, 2)
_DROP_CREDENTIAL = "DELETE FROM tenant_credentials WHERE tenant = ? AND provider = ?"


class SqliteTenancy:
    """Keeps `store.tenancy.TenantRecords`; a part of `SqliteTenant`."""

    tenant: str
    _store: ReadWrite

    async def tenant_row(self) -> TenantRow | None:
        """See `TenantRecords.tenant_row`."""
        rows = await self._rows(f"{_TENANTS} WHERE tenant = ?")
        return tenant_of(rows[0]) if rows else None

    async def put_tenant(self, row: TenantRow) -> None:
        """See `TenantRecords.put_tenant`."""
        self._mine(row.tenant)
        await self._replace(_PUT_TENANT, tenant_values(row), row)

    async def change_tenant(self, row: TenantRow, read: TenantRow | None) -> None:
        """See `TenantRecords.change_tenant`."""
        self._mine(row.tenant)
        if read is None:
            changed = await self._changed(_ADD_TENANT, tenant_values(row))
        else:
            given, stood = fields(row, TENANT_CHANGES), fields(read, TENANT_CHANGES)
            changed = await self._changed(_CHANGE_TENANT, [*given, row.tenant, *stood])
        if not changed:
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
        await self._replace(_PUT_USER, list(astuple(row)), row)

    async def change_user(self, row: UserRow, read: UserRow | None) -> None:
        """See `TenantRecords.change_user`."""
        self._mine(row.tenant)
        if read is None:
            changed = await self._changed(_ADD_USER, list(astuple(row)))
        else:
            given, stood = fields(row, USER_CHANGES), fields(read, USER_CHANGES)
            changed = await self._changed(_CHANGE_USER, [*given, row.tenant, row.id, *stood])
        if not changed:
            raise changed_meanwhile("user", row.id)

    async def users_seen(self, times: Mapping[str, float]) -> None:
        """See `TenantRecords.users_seen`."""
        if times:
            rows = [(self.tenant, id_, at) for id_, at in times.items()]
            await self._store.call(lambda connection: connection.executemany(_SEEN, rows).rowcount)

    async def credentials(self) -> list[CredentialRow]:
        """See `TenantRecords.credentials`."""
        rows = await self._rows(f"{_CREDENTIALS} WHERE tenant = ? ORDER BY provider")
        return [CredentialRow(*row) for row in rows]

    async def put_credential(self, row: CredentialRow) -> None:
        """See `TenantRecords.put_credential`."""
        self._mine(row.tenant)
        await self._changed(_PUT_CREDENTIAL, list(astuple(row)))

    async def drop_credential(self, provider: str) -> bool:
        """See `TenantRecords.drop_credential`."""
        return bool(await self._changed(_DROP_CREDENTIAL, [self.tenant, provider]))

    async def _replace(self, sql: str, values: list[Any], row: TenantRow | UserRow) -> None:
        if not await self._changed(sql, values):
            raise erased_for_good(row)

    async def _changed(self, sql: str, values: list[Any]) -> int:
        """Runs a change of control state; how many rows it changed."""

        def change(connection: sqlite3.Connection) -> int:
            changed = connection.execute(sql, values).rowcount
            if changed:
                connection.execute(CONTROL_CHANGED)
            return changed

        return await self._store.call(change)

    async def _rows(self, sql: str, *values: Any) -> list[Any]:
        tenant = self.tenant
        return await self._store.read(lambda connection: connection.execute(sql, (tenant, *values)).fetchall())

    def _mine(self, tenant: str) -> None:
        if tenant != self.tenant:
            raise ValueError(f"a row of tenant {tenant!r} cannot be written through the handle of {self.tenant!r}")


def all_tenants(connection: sqlite3.Connection) -> list[TenantRow]:
    """See `KeepsTenants.all_tenants`."""
    return [tenant_of(row) for row in connection.execute(f"{_TENANTS} ORDER BY tenant")]


def all_credentials(connection: sqlite3.Connection) -> list[CredentialRow]:
    """See `KeepsTenants.all_credentials`."""
    return [CredentialRow(*row) for row in connection.execute(f"{_CREDENTIALS} ORDER BY tenant, provider")]


def suspended_users(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """See `KeepsTenants.suspended_users`."""
    return connection.execute(_OUT).fetchall()
