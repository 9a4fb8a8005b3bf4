"""Which tenants and users there are, in memory: who is let in, what a tenant may use, how much of it at once.

Owns the answers; `administration.py` makes the changes. What this process itself changes is read anew at once
(`refresh`). What others change is learned from the store's control version, polled: whoever is suspended is refused
within `POLL_S` on every replica, whether or not anybody was told. A tenant that is not known here is looked up, so that
it is let in the moment it was made. While the store is away, what was known counts.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from golive.core.clock import Clock
from golive.core.errors import GoliveError, NotAsItStands, NotFound, StoreError, Suspended, TenantLimited
from golive.core.following import Fault, Survived, untold
from golive.core.tasks import Tasks
from golive.store.tenancy import CredentialRow, TenantRow
from golive.tenants.authorize import INSTALLATION, Principal
from golive.tenants.roles import covers

POLL_S = 0.25
"""How often the store's control version is read."""
LOOKUP_S = 0.1
"""Least time between two reads of the store for unknown tenants, so that invented names cannot become load on it."""
MAX_OPEN_RUNS = "max_open_runs"
"""The limit of a tenant's runs and plain calls that are open at one server."""

TENANT_SUSPENDED, TENANT_ERASED, TENANT_UNKNOWN = "tenant.suspended", "tenant.erased", "tenant.unknown"
USER_SUSPENDED = "user.suspended"
"""Also of a user who was erased."""
MAKER_SUSPENDED = "maker.suspended"
"""Of a key whose maker is suspended or erased, or of a tenant that is."""

_SAID = {
    TENANT_SUSPENDED: ("Your tenant is suspended.", "Ask whoever runs this server; `golive tenants resume` ends that."),
    TENANT_ERASED: ("Your tenant is erased.", "It does not come back."),
    TENANT_UNKNOWN: ("Your tenant is not known here.", "Ask whoever runs this server: `golive tenants create`."),
    USER_SUSPENDED: ("This user is not let in.", "Ask an administrator of your tenant; `golive users resume`."),
    MAKER_SUSPENDED: ("Whoever made this key is not let in any more.", "Use a key that somebody else made."),
}
_USER = "user:"
TENANTS = "tenants."
"""Begins the name under which a tenant's credential stands among the settings that name secrets."""


class Source(Protocol):
    """What is read of the store."""

    async def control_version(self) -> int: ...
    async def all_tenants(self) -> list[TenantRow]: ...
    async def all_credentials(self) -> list[CredentialRow]: ...
    async def suspended_users(self) -> list[tuple[str, str]]: ...


class Directory:
    """See the module. `start` reads all and begins to follow; everything else answers from memory."""

    def __init__(
        self, store: Source, clock: Clock, *, refused: Callable[[str, str], None] = lambda *_: None,
        fault: Fault = untold,
    ) -> None:  # fmt: skip
        """`refused`: told of each refusal: the tenant ("unknown" for one that there is not), and why.

        `fault`: told of what following raised, which goes on.
        """
        self._store = store
        self._clock = clock
        self._refused = refused
        self._reading = Survived("tenants", fault)
        self._polling = Survived("tenants.open", fault)
        self.on_poll: Callable[[], None] = lambda: None
        """Called after each look at the store, whether or not anything changed; also while the store is away."""
        self.on_out: Callable[[str], None] = lambda tenant: None
        """Called with each tenant that was erased, or a user of which is not let in any more, once that is known."""
        self._tenants: dict[str, TenantRow] = {}
        self._out: frozenset[tuple[str, str]] = frozenset()
        self._credentials: dict[tuple[str, str], str] = {}
        self._settings: Mapping[str, tuple[str, ...]] = {}
        self._version = -1
        self._looked_up_at = float("-inf")
        self._refreshing = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._tasks = Tasks("directory")

    async def start(self) -> None:
        """Reads all and begins to follow changes.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        await self.refresh()
        self._tasks.start(self._follow(), "follow")

    async def close(self) -> None:
        """Stops following."""
        await self._tasks.close()

    async def refresh(self) -> None:
        """Reads all anew if the store's control version has changed. Raises StoreError."""
        async with self._refreshing:
            version = await self._store.control_version()
            if version == self._version:
                return
            tenants = await self._store.all_tenants()
            out = await self._store.suspended_users()
            credentials = await self._store.all_credentials()
            gone = {tenant for tenant, _ in set(out) - self._out}
            gone |= {row.tenant for row in tenants if row.state == "erased"} - self._erased()
            self._tenants = {row.tenant: row for row in tenants}
            self._out = frozenset(out)
            self._credentials = {(row.tenant, row.provider): row.reference for row in credentials}
            self._settings = settings_of(credentials)
            self._version = version
            for tenant in sorted(gone):
                self.on_out(tenant)

    def _erased(self) -> set[str]:
        return {row.tenant for row in self._tenants.values() if row.state == "erased"}

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            with self._reading.look():
                await self.refresh()
            with self._polling.look():
                self.on_poll()

    # ---- what there is -----------------------------------------------------------------------------------------------

    def row(self, tenant: str) -> TenantRow | None:
        """The tenant as it is known here; None: there is none of that name."""
        return self._tenants.get(tenant)

    def tenants(self) -> list[TenantRow]:
        """All of them, the suspended and the erased ones too, by name."""
        return [self._tenants[name] for name in sorted(self._tenants)]

    def out(self) -> frozenset[tuple[str, str]]:
        """Tenant and id of every user that is not let in."""
        return self._out

    def barred(self, tenant: str, user: str | None = None) -> str | None:
        """Why nothing of this tenant, or in the name of this user, goes on; None: nothing is in its way."""
        row = self._tenants.get(tenant)
        if row is None:
            return TENANT_UNKNOWN
        if row.state != "active":
            return TENANT_SUSPENDED if row.state == "suspended" else TENANT_ERASED
        return USER_SUSPENDED if user is not None and (tenant, user) in self._out else None

    def paused(self, tenant: str) -> bool:
        """Whether schedules and messages of the tenant rest."""
        return self.barred(tenant) is not None

    def may_use(self, tenant: str, agent: str) -> bool:
        """Whether the installation gives the tenant this agent."""
        row = self._tenants.get(tenant)
        return row is not None and covers(row.agents, agent)

    def credential(self, tenant: str, provider: str) -> str | None:
        """The reference to the tenant's own credential for a provider; None: it has none."""
        return self._credentials.get((tenant, provider))

    def settings(self) -> Mapping[str, tuple[str, ...]]:
        """As `settings_of`, of all tenants."""
        return self._settings

    def references(self) -> frozenset[str]:
        """All references to credentials of tenants."""
        return frozenset(self._credentials.values())

    # ---- who is let in -----------------------------------------------------------------------------------------------

    async def admit(self, principal: Principal, *, changes: bool = True, user: str | None = None) -> None:
        """Lets in whoever showed a good credential, and what it acts in.

        Who acts across tenants is let into a suspended one, to look after it, and into an erased one to read what is
        left (`changes`: the request may change something). Nothing runs there all the same, see `begin`. `user`: whom
        the request says it is for.

        Raises:
            Suspended: its own tenant, its user, whom it is for, or who made the key is not let in; only its holder is
                told so.
            NotFound: it may act across tenants, and there is none of that name.
        """
        home, tenant = principal.home, principal.tenant
        person = principal.id[len(_USER) :] if principal.id.startswith(_USER) else None
        why = self.barred(home, person)
        if why is not None:
            if why == TENANT_UNKNOWN:
                await self._look_up(home)
                why = self.barred(home, person)
            if why is not None:
                raise self._refusal(home, why)
        if principal.maker is not None and self.barred(*principal.maker) not in (None, TENANT_UNKNOWN):
            raise self._refusal(home, MAKER_SUSPENDED)
        if user is not None and self.barred(tenant, user) == USER_SUSPENDED:
            raise self._refusal(tenant, USER_SUSPENDED)
        if tenant == home:
            return
        row = self._tenants.get(tenant) or await self._look_up(tenant)
        if row is None:
            self._refused("unknown", TENANT_UNKNOWN)
            raise no_tenant(tenant)
        if row.state == "erased" and changes:
            self._refused(tenant, TENANT_ERASED)
            raise Suspended(
                f"The tenant {tenant!r} is erased.", remedy="What is left of it can only be read.", reason=TENANT_ERASED
            )

    def begin(self, tenant: str, user: str | None, open_runs: Callable[[], int]) -> None:
        """Lets a run, or a plain call, of the tenant begin.

        Args:
            user: in whose name it is to be.
            open_runs: how many of the tenant are open at this server.

        Raises:
            Suspended: nothing of the tenant, or in that user's name, is begun.
            TenantLimited: it has as many open as it may.
        """
        if (why := self.barred(tenant, user)) is not None:
            raise self._refusal(tenant, why)
        most = self._tenants[tenant].limits.get(MAX_OPEN_RUNS)
        if most is not None and (count := open_runs()) >= most:
            self._refused(tenant, MAX_OPEN_RUNS)
            raise TenantLimited(
                f"{count} runs of this tenant are open at this server, and it may have {most}.",
                remedy="Try again in a moment.", advice="`golive tenants set --max-open-runs` changes it.",
                limit=MAX_OPEN_RUNS, value=most,
            )  # fmt: skip

    def _refusal(self, tenant: str, why: str) -> GoliveError:
        self._refused("unknown" if why == TENANT_UNKNOWN else tenant, why)
        message, remedy = _SAID[why]
        return Suspended(message, remedy=remedy, reason=why)

    async def _look_up(self, tenant: str) -> TenantRow | None:
        """Reads the store for a tenant made since the last poll; one read serves all who asked before it began."""
        asked = self._clock.monotonic()
        async with self._looking:
            if self._looked_up_at < asked and tenant not in self._tenants:
                pause = self._looked_up_at + LOOKUP_S - self._clock.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                self._looked_up_at = self._clock.monotonic()
                try:
                    await self.refresh()
                except StoreError:
                    return None
            return self._tenants.get(tenant)


def no_tenant(tenant: str) -> NotFound:
    """What to raise where there is no such tenant, or none that who asks may know of."""
    return NotFound(
        f"There is no tenant {tenant[:63]!r}.",
        remedy="`golive tenants list` (GET /v1/tenants) shows them, `golive tenants create` makes one.",
        field="tenant", value=tenant[:63],
    )  # fmt: skip


def untouchable(tenant: str) -> None:
    """Raises NotAsItStands for the installation's own tenant, without which nobody could be let in any more."""
    if tenant == INSTALLATION:
        raise NotAsItStands(
            f"{INSTALLATION!r} is the installation's own tenant: it is neither suspended nor erased.",
            remedy="Revoke its keys, or suspend its users, instead.", tenant=tenant,
        )  # fmt: skip


def settings_of(credentials: Iterable[CredentialRow]) -> dict[str, tuple[str, ...]]:
    """Each reference to a tenant's credential, with where it is set: `tenants.NAME.PROVIDER`."""
    found: dict[str, list[str]] = {}
    for row in credentials:
        found.setdefault(row.reference, []).append(f"{TENANTS}{row.tenant}.{row.provider}")
    return {reference: tuple(settings) for reference, settings in found.items()}
