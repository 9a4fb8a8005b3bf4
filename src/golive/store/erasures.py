"""What the store can say of erasures: which there are, which are not finished, and what still stands of somebody.

Owns the contract. Removing rows belongs to `removal.py`, destroying keys to `data_keys.py`, and when each is done to
`golive/tenants`.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Erasure(Struct, frozen=True):
    """A tenant, or a user of it, that was erased. `erased_at`: when it was proved; None: it is not finished."""

    tenant: str
    user: str | None
    erased_at: float | None


class ErasureStore(Protocol):
    """Of all tenants."""

    async def all(self) -> list[Erasure]:
        """Every erasure, by tenant and user; a tenant's own before those of its users."""
        ...

    async def unfinished(self, limit: int) -> list[Erasure]:
        """Those that are not finished, or of which a run stands: one that a server began before it knew."""
        ...

    async def standing(self, tenant: str, user: str | None) -> dict[str, int]:
        """How many rows there are of a user (None: of the whole tenant), by table; and keys that are not destroyed.

        The ledger and the audit log, which stay, are not counted, nor the row that says that they were erased.
        """
        ...

    async def in_files(self, values: Sequence[bytes]) -> int | None:
        """How many of these stand anywhere in the database's files.

        None: that was not looked for, as the files are another's, or too large.

        Raises:
            StoreUnavailable: they could not be looked through to the end; what stands in them is not known.
        """
        ...


class KeepsErasures(Protocol):
    """A store that can."""

    erasures: ErasureStore


RUN_TABLES = ("decisions", "events", "leases", "outbox", "runs")
TENANT_TABLES = ("keys", "schedules", "tenant_credentials", "tenant_users", "tokens_revoked", "versions")
USER_TABLES = ("leases", "runs")
"""Those that say whose a run is; what else belongs to a run is removed with it."""


def counting(user: str | None, tenant: str, places: tuple[str, str], by_subject: str = "") -> str:
    """The SQL that counts: table and number, a row each; `places` stand for tenant and user.

    `by_subject`: stands behind the table of data keys where a user's are counted, for a database that must be told of
    the index.
    """
    of_tenant, of_user = places
    tables = USER_TABLES if user is not None else (*RUN_TABLES, *TENANT_TABLES)
    whose = f' AND "user" = {of_user}' if user is not None else ""
    counts = [
        f"SELECT '{table}', count(*) FROM {table} WHERE tenant = {of_tenant}{whose}"  # noqa: S608 - tables of our own
        for table in tables
        if (table, tenant) != ("versions", "default")
    ]
    keys, among = "", "data_keys"
    if user is not None:
        keys, among = f" AND scope = 'user' AND subject = {of_user}", among + by_subject
    counts.append(
        f"SELECT 'data_keys', count(*) FROM {among} WHERE tenant = {of_tenant} AND erased_at IS NULL{keys}"  # noqa: S608
    )
    return " UNION ALL ".join(counts)


ALL = """
SELECT tenant, NULL, erased_at FROM tenants WHERE state = 'erased'
UNION ALL SELECT tenant, id, erased_at FROM tenant_users WHERE state = 'erased' ORDER BY 1, 2 NULLS FIRST
"""
UNFINISHED = """
SELECT tenant, NULL, erased_at FROM tenants WHERE state = 'erased'
    AND (erased_at IS NULL OR EXISTS (SELECT 1 FROM leases WHERE leases.tenant = tenants.tenant))
UNION ALL SELECT tenant, id, erased_at FROM tenant_users WHERE state = 'erased'
    AND (erased_at IS NULL OR EXISTS (
        SELECT 1 FROM leases WHERE leases.tenant = tenant_users.tenant AND leases."user" = tenant_users.id
    ))
"""
