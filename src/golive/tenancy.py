"""The tenants of one server, put together: the directory, those who change it, what follows, and what the door shows.

Owns in which order these begin. `security.py` has who asks; what is erased and exported is its, too.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from golive.config.schema import GoliveConfig
from golive.core.clock import Clock
from golive.core.following import faults_told
from golive.gateway.leaving import Erases
from golive.gateway.server import Routed
from golive.gateway.tenants import TenantFaces
from golive.gateway.users import CredentialFaces, Stands, UserFaces
from golive.runtime.barring import Barring
from golive.runtime.relay import Relay
from golive.runtime.service import Runtime
from golive.store.ports import Store
from golive.telemetry.logs import Log
from golive.telemetry.tenants import TenantMetrics
from golive.tenants.administration import CredentialAdmin, TenantAdmin, UserAdmin
from golive.tenants.directory import Directory
from golive.tenants.seen import Seen


class Tenancy:
    """One server's; `start` it once the store is open, and `watch` once there is a runtime."""

    def __init__(
        self, store: Store, config: Callable[[], GoliveConfig], clock: Clock, log: Log, registry: CollectorRegistry
    ) -> None:
        """`config`: the settings as they are now."""
        self._store = store
        self._config = config
        self._clock = clock
        self._metrics = TenantMetrics(registry, log)
        self._metrics.follow(lambda: self.directory.tenants())  # noqa: PLW0108 - made in the next line
        self.directory = Directory(store, clock, refused=self._metrics.refused, fault=faults_told(log))
        self.seen = Seen(store, clock, lambda tenant, users: log.warning("users.not_noted", tenant=tenant, users=users))
        self._open: Callable[[str], int] = lambda tenant: 0

    async def start(self, stack: AsyncExitStack) -> None:
        """Reads which tenants there are, and begins to follow them. Raises StoreUnavailable."""
        await self.directory.start()
        stack.push_async_callback(self.directory.close)
        stack.push_async_callback(self.seen.close)
        self.seen.start()

    def watch(self, runtime: Runtime, relay: Relay, stack: AsyncExitStack) -> None:
        """From now on what is open of whoever is not let in any more is ended."""
        self._open = lambda tenant: runtime.open_of(tenant) + relay.open_of(tenant)
        barring = Barring(
            store=self._store, standing=self.directory, runs=runtime, calls=relay, cancel=runtime.steering.cancel,
            clock=self._clock, ended=self._metrics.ended, failed=self._metrics.not_ended,
        )  # fmt: skip
        stack.push_async_callback(barring.close)
        self.directory.on_poll = barring.look

    def admits(self, tenant: str, user: str | None) -> None:
        """Whether something of a tenant, in the name of a user, may begin. Raises Suspended, TenantLimited."""
        self.directory.begin(tenant, user, lambda: self._open(tenant))

    def faces(
        self, eraser: Erases, exported: Callable[[str, str | None], AsyncIterator[bytes]], stands: Stands
    ) -> tuple[Routed, ...]:
        """What the door shows of all this; `stands`: how a reference to a secret stands."""
        server, changed = self._config().server, self.directory.refresh
        around = (self._store, self._clock)
        credentials = CredentialAdmin(
            *around, providers=lambda: self._config().providers,
            allowed=lambda: self._config().secrets.tenant_references, changed=changed,
        )  # fmt: skip
        return (
            TenantFaces(TenantAdmin(*around, changed), eraser, exported, server),
            UserFaces(UserAdmin(*around, changed), eraser, exported, server),
            CredentialFaces(credentials, stands, server),
        )
