"""What keeps one server safe, put together: its secrets and their keeper, the sealed store, roles, keys, tokens, the
audit log.

Its steps are called in the order in which they stand here, as a server starts; what they begin ends with the server's
own stack.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from typing import NamedTuple, cast

from prometheus_client import CollectorRegistry

from golive.config.load import Loaded
from golive.config.secret_use import References, joined, references
from golive.config.secrets import Secrets
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.following import faults_told
from golive.gateway.browsers import Browsers
from golive.gateway.data_keys import DataKeyFaces
from golive.gateway.logins import Admit, everybody
from golive.gateway.recording import Recording
from golive.gateway.secrets import SecretFaces
from golive.gateway.server import Routed
from golive.gateway.signing_in import SigningIn
from golive.guards.redact import Redactor
from golive.guards.secret_keeper import SecretKeeper
from golive.models.credentials import OpenCalls
from golive.models.transport_http import HttpTransport
from golive.store.ports import KeyRow, Store
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.opening import seal
from golive.store.sealed.store import SealedStore
from golive.telemetry.data_keys import DataKeyMetrics
from golive.telemetry.erasure import ErasureMetrics
from golive.telemetry.logs import Log
from golive.telemetry.secrets import SecretMetrics
from golive.tenants.authentication import Credentials
from golive.tenants.erasure import Cancel, Eraser, ErasureReport
from golive.tenants.exporting import exported
from golive.tenants.keyring import Keyring
from golive.tenants.keys import KeyAdmin
from golive.tenants.makers import Maker, end_keys_of
from golive.tenants.pepper import marking, pepper_of
from golive.tenants.rolebook import Rolebook


class Erasing(NamedTuple):
    """What erases, and what is counted of it."""

    eraser: Eraser
    metrics: ErasureMetrics


class Security:
    """One server's.

    Args:
        stack: closes what is begun here.
        redactor: learns each value before it is used.
        holder: which server it is.
    """

    def __init__(
        self, loaded: Loaded, environ: Mapping[str, str], stack: AsyncExitStack, redactor: Redactor, clock: Clock,
        chance: Chance, log: Log, holder: str,
    ) -> None:  # fmt: skip
        self._loaded = loaded
        self._stack = stack
        self._redactor = redactor
        self._clock = clock
        self._chance = chance
        self._log = log
        self._holder = holder
        self._secrets = Secrets.of(loaded.root, environ, loaded.config.secrets, clock, log.warning)
        self._rolebook = Rolebook(loaded.config.roles)
        self.open_calls = OpenCalls()
        self._pepper: bytes
        self._store: Store
        self._data_keys: DataKeys
        self.recording: Recording
        self.secret_keeper: SecretKeeper
        self.keyring: Keyring
        self.key_admin: KeyAdmin
        self._signing_in: SigningIn
        self.browsers: Browsers | None = None
        self.erasing: Erasing

    # ---- the steps of a start ----------------------------------------------------------------------------------------

    async def over(self, plain: Store) -> Store:
        """The store as it is used from now on, sealed where that is set up; what is done is recorded in it.

        Raises:
            GoliveError: a secret or a key of golive's own cannot be used, or the store cannot be read.
        """
        config, root = self._loaded.config, self._loaded.root
        self._store = await seal(plain, self._secrets, root, config.secrets, self._clock, self._chance, self._log)
        self._data_keys = cast(SealedStore, self._store).data_keys_in_use
        made_of = (self._loaded, self._secrets, self._store, self._clock, self._chance)
        self.recording = Recording(*made_of, self._redactor.text, self._log, self._holder)
        await self.recording.start()
        self._stack.push_async_callback(self.recording.close)
        around = (root, config.secrets.pepper, self._chance, self._clock)
        self._pepper = await pepper_of(self._store, self._secrets, *around)
        self._redactor.learn(self._pepper.decode(errors="replace"), *self._secrets.known())
        self.recording.secret(config.secrets.pepper, self._pepper.hex())
        return self._store

    async def keep_secrets(self, registry: CollectorRegistry, of_tenants: Callable[[], References]) -> None:
        """Fetches what comes over the network, and follows it and what is revoked. Raises StoreUnavailable.

        Args:
            of_tenants: the references of tenants' own credentials, with where they are set.
        """
        metrics = DataKeyMetrics(registry, self._store.data_keys, self._data_keys)
        await metrics.start()
        self._stack.push_async_callback(metrics.close)
        self.secret_keeper = SecretKeeper(
            self._secrets, self._store, self._clock, self._log, SecretMetrics(registry),
            used=lambda: joined(references(self._loaded.config), of_tenants()),
            rotation=self._loaded.config.secrets.rotation,
            learn=self._redactor.learn, cut=self.open_calls.cut,
        )  # fmt: skip
        await self.secret_keeper.start()
        self._stack.push_async_callback(self.secret_keeper.close)

    async def know_callers(self, registry: CollectorRegistry, admit: Admit = everybody) -> None:
        """Reads keys and what is revoked, and begins to follow both and the issuers of tokens.

        Args:
            admit: raises unless whoever logs in is let in.

        Raises:
            ConfigError: an issuer's section names a role that there is not. StoreUnavailable.
        """
        store, clock, chance, rolebook = self._store, self._clock, self._chance, self._rolebook
        self.keyring = Keyring(store, self._pepper, clock, rolebook, faults_told(self._log))
        reference = self._loaded.config.secrets.pepper
        told = marking(store, self._pepper, reference, clock, self.keyring.learn)
        self.key_admin = KeyAdmin(store, self._pepper, clock, chance, told, rolebook, self._people_s)
        await self.keyring.start()
        self._stack.push_async_callback(self.keyring.close)
        around = (clock, chance, rolebook.get, registry, self._log)
        self._signing_in = SigningIn(self._loaded.config, store, HttpTransport(), *around, self.resolve, self._end_keys)
        self._stack.push_async_callback(self._signing_in.close)
        await self._signing_in.start()
        if self._loaded.config.server.sessions.enabled:
            self.browsers = Browsers(
                self._loaded.config.server, self._pepper, self.key_admin, store.revocations, self.recording.audit,
                lambda: self._signing_in.flow, registry, clock, chance, self._log, admit,
            )  # fmt: skip

    def erase_with(self, cancel: Cancel, registry: CollectorRegistry) -> None:
        """From now on users and tenants can be erased; `cancel` ends a run, wherever it is carried."""
        metrics = ErasureMetrics(registry)

        def counted(report: ErasureReport) -> None:
            metrics.erased("tenant" if report.user is None else "user", report.proved)

        def unfinished(count: int) -> None:
            metrics.unfinished = count

        around = (self.recording.audit.record, self._log, cancel, counted, unfinished)
        self.erasing = Erasing(Eraser(self._store, self._clock, *around), metrics)

    # ---- as it runs --------------------------------------------------------------------------------------------------

    def _people_s(self) -> float:
        return self._loaded.config.auth.keys_of_people_days * 86_400.0

    async def _end_keys(self, theirs: Callable[[Maker], bool], before: float) -> Collection[KeyRow]:
        """Revokes keys of people; this server's own ring counts it at once."""
        ended = await end_keys_of(self._store, self._clock, theirs, before)
        await self.keyring.refresh()
        return ended

    def credentials(self) -> Credentials:
        """Who knows callers by what they show."""
        return Credentials(self.keyring, self._signing_in)

    def faces(self) -> tuple[Routed, ...]:
        """What the door shows of all this."""
        shown = SecretFaces(self.secret_keeper, self._loaded.config.server)
        pages = () if self.browsers is None else self.browsers.faces
        keys = DataKeyFaces(self._store.data_keys, self._data_keys, self._chance)
        return self._signing_in.face, shown, keys, self.recording.face, *pages

    def exported(self, tenant: str, user: str | None) -> AsyncIterator[bytes]:
        """All that is kept of a tenant, or of one user of it, as JSON lines; see `tenants/exporting.py`."""
        return exported(self._store, tenant, user, self._clock)

    def resolve(self, reference: str) -> str:
        """A secret's value, from now on hidden wherever text leaves the server. Raises as `Secrets.resolve`."""
        value = self._secrets.resolve(reference)
        self._redactor.learn(value)
        self.recording.secret(reference, value)
        return value

    def adopt(self, loaded: Loaded) -> None:
        """Takes edited settings over; who was known is looked at anew."""
        self._loaded = loaded
        self._rolebook.adopt(loaded.config.roles)
        self._secrets.contain(loaded.config.secrets.tenant_references)
        self.recording.note("config.reload", "config", "golive.toml")
        self.keyring.reread()
        self._signing_in.adopt(loaded.config.auth.oidc)
