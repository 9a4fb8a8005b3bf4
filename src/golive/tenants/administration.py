"""Making, changing, suspending tenants and users, and giving tenants credentials of their own. For CLI and API alike.

Owns what may stand in these rows. Who may ask for it is the door's to decide; what follows from it is `directory.py`'s;
erasing and exporting have modules of their own.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType, structs

from golive.config.secret_backends.reference import parse
from golive.config.section import NAME, REFERENCE
from golive.config.tenant_references import may_set
from golive.core.clock import Clock
from golive.core.errors import InvalidRequest, NotAsItStands, NotFound
from golive.core.people import SAID, may_be_user
from golive.core.verbs import AGENT_PATTERN
from golive.store.ports import Store
from golive.store.tenancy import CredentialRow, Standing, TenantRow, UserRow
from golive.tenants.changing import over_what_stands
from golive.tenants.directory import MAX_OPEN_RUNS, no_tenant, untouchable

NOTE_CHARS = 500
MOST_PATTERNS = 64
MOST_OPEN_RUNS = 1_000_000
MAX_KEEP_DAYS = 36_600.0
MOST_REFERENCE_CHARS = 1_000
PAGE = 200
"""Most users of one page."""

Changed = Callable[[], Awaitable[None]]
T = TypeVar("T", TenantRow, UserRow)


class Settings(Struct, frozen=True, kw_only=True):
    """What can be set of a tenant; what is left out stays as it is.

    `agents`: patterns of those it may use, as in roles. `max_open_runs`: at one server; None: as many as the server
    takes. `keep_days`: how long its finished runs are kept; None: as the installation says.
    """

    agents: tuple[str, ...] | UnsetType = UNSET
    max_open_runs: int | UnsetType | None = UNSET
    keep_days: float | UnsetType | None = UNSET
    note: str | UnsetType = UNSET


async def _nobody() -> None:
    """Beside a server, which sees the change in the store."""


class TenantAdmin:
    """Tenants.

    Args:
        changed: awaited after each change once that is durable: a server's own directory.
    """

    def __init__(self, store: Store, clock: Clock, changed: Changed = _nobody) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed

    async def list(self) -> list[TenantRow]:
        """All of them by name, the suspended and the erased ones too."""
        return await self._store.all_tenants()

    async def get(self, tenant: str) -> TenantRow:
        """A tenant. Raises NotFound."""
        row = await self._store.tenant(tenant).tenant_row() if re.fullmatch(NAME, tenant) else None
        if row is None:
            raise no_tenant(tenant)
        return row

    async def create(self, tenant: str, settings: Settings, *, by: str) -> TenantRow:
        """Makes a tenant; it is let in at once.

        Raises:
            InvalidRequest: its name, or a setting, cannot be used.
            NotAsItStands: there is one of that name, or was one that is erased.
        """
        if not re.fullmatch(NAME, tenant):
            raise _refused("tenant", tenant, "is no name for a tenant", "Use lower-case letters, digits, `_` and `-`, "
                           "beginning with a letter, 63 at most.")  # fmt: skip
        if await self._store.tenant(tenant).tenant_row() is not None:
            raise NotAsItStands(
                f"There is a tenant {tenant!r} already.", remedy="Choose another name, or change that one.",
                field="tenant", value=tenant,
            )  # fmt: skip
        now = self._clock.now()
        row = TenantRow(tenant=tenant, state="active", created_at=now, created_by=by, changed_at=now)
        return await self._put(_with(row, settings), None)

    async def change(self, tenant: str, settings: Settings) -> TenantRow:
        """Sets what is given, from the next request on. Raises NotFound, InvalidRequest, NotAsItStands, Conflict."""
        return await self._edit(tenant, lambda row: _with(row, settings))

    async def suspend(self, tenant: str, note: str = "") -> TenantRow:
        """Lets nobody of the tenant in, and ends what it has open. Raises NotFound, NotAsItStands, Conflict."""
        return await self._stand(tenant, "suspended", note)

    async def resume(self, tenant: str, note: str = "") -> TenantRow:
        """Lets the tenant in again. Raises NotFound, NotAsItStands, Conflict."""
        return await self._stand(tenant, "active", note)

    async def _stand(self, tenant: str, state: Standing, note: str) -> TenantRow:
        if state != "active":
            await self.get(tenant)
            untouchable(tenant)
        said = note or state == "active"  # why somebody was suspended is not said of whom is let in again
        noted = Settings(note=note) if said else Settings()
        return await self._edit(tenant, lambda row: structs.replace(_with(row, noted), state=state))

    async def _edit(self, tenant: str, edit: Callable[[TenantRow], TenantRow]) -> TenantRow:
        """Changes the row as it stands: where somebody else was quicker, what they left."""

        async def once() -> TenantRow:
            row = _living(await self.get(tenant))
            return await self._put(edit(row), row)

        return await over_what_stands(once)

    async def _put(self, row: TenantRow, read: TenantRow | None) -> TenantRow:
        row = structs.replace(row, changed_at=self._clock.now())
        await self._store.tenant(row.tenant).change_tenant(row, read)
        await self._changed()
        return row


class UserAdmin:
    """Users of tenants; `changed` as for `TenantAdmin`."""

    def __init__(self, store: Store, clock: Clock, changed: Changed = _nobody) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed

    async def list(self, tenant: str, before: str = "", limit: int = 50) -> list[UserRow]:
        """A page of the tenant's users, by id; `before`: the id of the last one of the page before."""
        return await self._store.tenant(tenant).users(before=before, limit=limit)

    async def get(self, tenant: str, user: str) -> UserRow:
        """A user. Raises NotFound: the tenant has none of that id, none that was ever seen."""
        row = await self._store.tenant(tenant).user(user)
        if row is None:
            raise NotFound(
                f"There is no user {user[:200]!r}.", remedy="`golive users list` (GET /v1/users) shows them.",
                field="user", value=user[:200],
            )  # fmt: skip
        return row

    async def create(self, tenant: str, user: str, note: str = "", *, by: str) -> UserRow:
        """Makes a user known before they come; who comes by themselves is known without it.

        Raises:
            InvalidRequest: that is no id of a user. NotAsItStands: there is one, or was one that is erased.
        """
        if await self._store.tenant(tenant).user(checked_user(user)) is not None:
            raise NotAsItStands(
                f"There is a user {user!r} already.", remedy="Nothing need be done.", field="user", value=user
            )
        return await self._put(self._new(tenant, user, _note(note), by), None)

    async def suspend(self, tenant: str, user: str, note: str = "", *, by: str) -> UserRow:
        """Lets the user in no more, and ends what is open in their name; also one who has never been seen yet.

        Raises:
            InvalidRequest, NotAsItStands: as for `create`. Conflict: others change it without end.
        """
        checked_user(user)

        async def once() -> UserRow:
            found = await self._store.tenant(tenant).user(user)
            row = self._new(tenant, user, "", by) if found is None else _living(found)
            return await self._put(structs.replace(row, state="suspended", note=_note(note) or row.note), found)

        return await over_what_stands(once)

    async def resume(self, tenant: str, user: str, note: str = "") -> UserRow:
        """Lets the user in again. Raises NotFound, NotAsItStands (erased), Conflict."""

        async def once() -> UserRow:
            found = await self.get(tenant, user)
            return await self._put(structs.replace(_living(found), state="active", note=_note(note)), found)

        return await over_what_stands(once)

    def _new(self, tenant: str, user: str, note: str, by: str) -> UserRow:
        now = self._clock.now()
        return UserRow(tenant=tenant, id=user, state="active", created_at=now, created_by=by, note=note)

    async def _put(self, row: UserRow, read: UserRow | None) -> UserRow:
        await self._store.tenant(row.tenant).change_user(row, read)
        await self._changed()
        return row


class CredentialAdmin:
    """Credentials of tenants for providers: references, never values.

    Args:
        providers: those that are configured.
        allowed: which references a tenant's own administrators may set, with `{tenant}` for its name.
        changed: as for `TenantAdmin`.
    """

    def __init__(
        self, store: Store, clock: Clock, *, providers: Callable[[], Collection[str]],
        allowed: Callable[[], Sequence[str]], changed: Changed = _nobody,
    ) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._providers = providers
        self._allowed = allowed
        self._changed = changed

    async def list(self, tenant: str) -> list[CredentialRow]:
        """The tenant's, by provider."""
        return await self._store.tenant(tenant).credentials()

    async def set(self, tenant: str, provider: str, reference: str, *, by: str, any_reference: bool) -> CredentialRow:
        """Gives the tenant a credential for a provider, in the place of one it may have.

        Args:
            any_reference: who asks acts for the installation; else only what it allows its tenants.

        Raises:
            NotFound: there is no such provider. InvalidRequest: the reference is none, or may not be set.
        """
        self._known(provider)
        if not re.fullmatch(REFERENCE, reference):
            raise _refused("reference", reference[:200], "is no reference to a secret", "Write env:NAME, file:PATH, "
                           "aws-sm:NAME or vault:MOUNT/PATH#FIELD. The value itself is never given here.")  # fmt: skip
        if len(reference) > MOST_REFERENCE_CHARS or not re.fullmatch("[!-~]+", reference):
            raise _refused("reference", reference[:200], "cannot be used", "Write printable ASCII without spaces, "
                           f"{MOST_REFERENCE_CHARS} characters at most.")  # fmt: skip
        if not any_reference and not may_set(self._allowed(), tenant, parse(reference)):
            raise _refused("reference", reference[:200], "is not one that this tenant may set", "The installation "
                           "allows some with secrets.tenant_references; ask whoever runs it.")  # fmt: skip
        row = CredentialRow(tenant, provider, reference, self._clock.now(), by)
        await self._store.tenant(tenant).put_credential(row)
        await self._changed()
        return row

    async def remove(self, tenant: str, provider: str) -> None:
        """Takes the credential away: from then on calls go with the installation's, where that is allowed.

        Raises:
            NotFound: the tenant has none for that provider.
        """
        if not await self._store.tenant(tenant).drop_credential(provider):
            raise NotFound(
                f"There is no credential for {provider[:63]!r}.", remedy="`golive credentials list` shows them.",
                field="provider", value=provider[:63],
            )  # fmt: skip
        await self._changed()

    def _known(self, provider: str) -> None:
        providers = self._providers()
        if provider not in providers:
            raise NotFound(
                f"There is no provider {provider[:63]!r}.",
                remedy="`golive models` (GET /v1/models) shows those that can be used.",
                advice=f"Configured: {', '.join(providers) or 'none'}.",
                field="provider", value=provider[:63],
            )  # fmt: skip


def confirmed(name: str, confirm: str, field: str = "confirm") -> None:
    """Raises InvalidRequest unless what cannot be undone was confirmed by its name."""
    if confirm != name:
        raise _refused(field, confirm[:200], "does not repeat the name", f"Erasing cannot be undone. Write {name!r}.")


def _with(row: TenantRow, settings: Settings) -> TenantRow:
    """The row with what is set; raises InvalidRequest where that cannot be."""
    if settings.agents is not UNSET:
        row = structs.replace(row, agents=_patterns(settings.agents))
    if settings.max_open_runs is not UNSET:
        row = structs.replace(row, limits=_limited(row.limits, settings.max_open_runs))
    if settings.keep_days is not UNSET:
        days = settings.keep_days
        if days is not None and not 0 < days <= MAX_KEEP_DAYS:
            raise _refused("keep_days", days, "is out of range", f"Give days, above 0 and at most {MAX_KEEP_DAYS:g}.")
        row = structs.replace(row, keep_days=days)
    if settings.note is not UNSET:
        row = structs.replace(row, note=_note(settings.note))
    return row


def _limited(limits: Mapping[str, int], most: int | None) -> dict[str, int]:
    if most is not None and not 1 <= most <= MOST_OPEN_RUNS:
        raise _refused(MAX_OPEN_RUNS, most, "is out of range", f"Give 1 to {MOST_OPEN_RUNS}; null for no limit.")
    left = {name: value for name, value in limits.items() if name != MAX_OPEN_RUNS}
    return left if most is None else left | {MAX_OPEN_RUNS: most}


def _patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    wrong = next((pattern for pattern in patterns if not re.fullmatch(AGENT_PATTERN, pattern)), None)
    if wrong is not None:
        raise _refused("agents", wrong[:80], "names no agents", "Write a name, or the beginning of one with `*`.")
    if len(patterns) > MOST_PATTERNS:
        raise _refused("agents", len(patterns), "are too many patterns", f"Give {MOST_PATTERNS} at most.")
    return tuple(dict.fromkeys(patterns))


def _note(note: str) -> str:
    if len(note) > NOTE_CHARS or not note.isprintable():
        raise _refused("note", note[:80], "cannot be noted", f"Give {NOTE_CHARS} printable characters at most.")
    return note


def checked_user(user: str) -> str:
    """The id; raises InvalidRequest where it cannot be one of a user."""
    if not may_be_user(user):
        raise _refused("user", user[:80], "is no id of a user", f"Use {SAID}.")
    return user


def _living(row: T) -> T:
    """Raises NotAsItStands where it is erased."""
    if row.state == "erased":
        name = row.id if isinstance(row, UserRow) else row.tenant
        raise NotAsItStands(f"{name!r} is erased.", remedy="It does not come back; use another name.", field="state")
    return row


def _refused(field: str, value: object, what: str, remedy: str) -> InvalidRequest:
    shown = repr(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    return InvalidRequest(f"{field} {shown} {what}.", remedy=remedy, field=field, value=value)
