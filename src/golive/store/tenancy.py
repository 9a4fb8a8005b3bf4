"""What the store keeps of tenants and of their users: rows, and nothing of what anybody said.

A tenant's row says whether it is let in, what it may use, and how long its runs are kept. Who asks for these rows, and
what follows from them, belongs to `golive/tenants`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from golive.core.errors import Conflict

Standing = Literal["active", "suspended", "erased"]
"""`erased` is for good: such a row is never changed back."""

BY_GOLIVE = "golive"
"""`created_by` of rows that nobody asked for: the tenant `default`, and those that were there before schema 12."""
BY_REQUEST = "request"
"""`created_by` of users that came by themselves, with the first request in their name."""


class TenantRow(Struct, frozen=True, kw_only=True):
    """A tenant. Times are seconds since the epoch.

    `keep_days`: how long finished runs are kept (None: as the installation says). `agents`: patterns of those that it
    may use, as in roles. `limits`: numbers by name, such as "max_open_runs". `changed_at`: 0.0 until it is changed.
    """

    tenant: str
    state: Standing
    created_at: float
    created_by: str
    keep_days: float | None = None
    agents: tuple[str, ...] = ("*",)
    limits: dict[str, int] = {}
    note: str = ""
    changed_at: float = 0.0
    erased_at: float | None = None


class UserRow(Struct, frozen=True, kw_only=True):
    """A user of a tenant, in whose name runs are begun. `last_seen_at`: None until then."""

    tenant: str
    id: str
    state: Standing
    created_at: float
    created_by: str
    last_seen_at: float | None = None
    note: str = ""
    erased_at: float | None = None


class CredentialRow(Struct, frozen=True):
    """With which credential a tenant's calls go to a provider: where it is to be found (`reference`), never a value."""

    tenant: str
    provider: str
    reference: str
    created_at: float
    created_by: str


class TenantRecords(Protocol):
    """One tenant's own rows; part of its handle (`TenantStore`)."""

    async def tenant_row(self) -> TenantRow | None:
        """The tenant's row; None: nobody made such a tenant."""
        ...

    async def put_tenant(self, row: TenantRow) -> None:
        """Adds or replaces the row; the control version grows.

        Raises:
            Conflict: the tenant is erased, and `row` says otherwise. Nothing was written.
        """
        ...

    async def change_tenant(self, row: TenantRow, read: TenantRow | None) -> None:
        """Writes `row` in the place of the one that was `read` (None: where there is none); the control version grows.

        Raises:
            Conflict: somebody else changed it meanwhile. Nothing was written.
        """
        ...

    async def users(self, *, before: str = "", limit: int = 50) -> list[UserRow]:
        """The tenant's users, ordered by id; `before` is the id of the last one of the page before."""
        ...

    async def user(self, id_: str) -> UserRow | None: ...

    async def put_user(self, row: UserRow) -> None:
        """Adds or replaces the row of that id; the control version grows.

        Raises:
            Conflict: the user is erased, and `row` says otherwise. Nothing was written.
        """
        ...

    async def change_user(self, row: UserRow, read: UserRow | None) -> None:
        """As `change_tenant`; `last_seen_at` is neither compared nor changed."""
        ...

    async def users_seen(self, times: Mapping[str, float]) -> None:
        """Sets `last_seen_at` of these ids, where it was earlier, and adds those that are missing, active.

        Neither a state nor the control version changes; erased users, and those of an erased tenant, stay as they are.
        """
        ...

    async def credentials(self) -> list[CredentialRow]:
        """The tenant's credentials, by provider."""
        ...

    async def put_credential(self, row: CredentialRow) -> None:
        """Adds or replaces the credential for that provider; the control version grows."""
        ...

    async def drop_credential(self, provider: str) -> bool:
        """Removes it, and the control version grows; False: there is none."""
        ...


class KeepsTenants(Protocol):
    """A store that keeps them, of all tenants."""

    async def all_tenants(self) -> list[TenantRow]:
        """Every tenant, the suspended and the erased ones too, by name."""
        ...

    async def all_credentials(self) -> list[CredentialRow]:
        """Every credential of every tenant, by tenant and provider."""
        ...

    async def suspended_users(self) -> list[tuple[str, str]]:
        """Tenant and id of every user that is not let in: suspended, or erased. Ordered by both."""
        ...


TENANT_FIELDS = TenantRow.__struct_fields__
USER_FIELDS = UserRow.__struct_fields__
CREDENTIAL_FIELDS = CredentialRow.__struct_fields__
_JSON = {"agents": tuple[str, ...], "limits": dict[str, int]}


def tenant_values(row: TenantRow) -> list[Any]:
    """The row's columns; patterns and limits as JSON."""
    values = zip(TENANT_FIELDS, astuple(row), strict=True)
    return [msgspec.json.encode(value, order="sorted").decode() if name in _JSON else value for name, value in values]


def tenant_of(columns: Sequence[Any]) -> TenantRow:
    """The opposite."""
    given = dict(zip(TENANT_FIELDS, columns, strict=True))
    return TenantRow(**given | {name: msgspec.json.decode(given[name], type=kind) for name, kind in _JSON.items()})


def user_of(columns: Sequence[Any]) -> UserRow:
    """A user's columns as the struct."""
    return UserRow(**dict(zip(USER_FIELDS, columns, strict=True)))


TENANT_CHANGES = tuple(name for name in TENANT_FIELDS if name not in ("tenant", "created_at", "created_by"))
USER_CHANGES = ("state", "note", "erased_at")
KEY_CHANGES = ("expires_at", "revoked_at")
"""What is changed of a row that stands, and what has to stand as it was read for that."""


def fields(row: Struct, names: Sequence[str]) -> list[Any]:
    """Those columns of a tenant, a user or a key."""
    given = tenant_values(row) if isinstance(row, TenantRow) else astuple(row)
    columns = dict(zip(row.__struct_fields__, given, strict=True))
    return [columns[name] for name in names]


def changed_meanwhile(kind: str, name: str) -> Conflict:
    """The error for a row that does not stand any more as it was read."""
    return Conflict(
        f"The {kind} {name!r} was changed by somebody else at the same time; nothing was done.",
        remedy="Look at it as it is now, and ask again where that is still wanted.", kind=kind, name=name,
    )  # fmt: skip


def erased_for_good(row: TenantRow | UserRow) -> Conflict:
    """The error for a row that stands as erased and was to be something else."""
    whose = f"The user {row.id!r} of {row.tenant}" if isinstance(row, UserRow) else f"The tenant {row.tenant!r}"
    return Conflict(
        f"{whose} is erased, and stays so.",
        remedy="Choose another name: what was erased is not brought back, and nobody takes its place.",
        tenant=row.tenant, state=row.state,
    )  # fmt: skip
