"""Tokens of OpenID Connect issuers, put together for one server: verifier, log, metrics and the face of /v1/auth.

A flood of bad tokens does not become one of log lines: `MOST_TOLD` refusals in `TOLD_S` are told one by one, the rest
are counted.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry

from golive.config.auth import OidcConfig
from golive.config.schema import GoliveConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import ConfigError, StoreError
from golive.core.following import faults_told
from golive.core.tasks import Tasks
from golive.gateway.fetching import fetching, posting
from golive.gateway.token_face import TokenFace
from golive.models.transport import Transport
from golive.store.ports import Store
from golive.telemetry.logs import Log
from golive.telemetry.series import Labels
from golive.telemetry.tokens import TokenMetrics
from golive.tenants.authentication import unauthenticated
from golive.tenants.authorize import Principal
from golive.tenants.code_flow import CodeFlow
from golive.tenants.issuer import IssuerState
from golive.tenants.revoking import EndKeys, TokenAdmin, no_keys, prune_for_ever
from golive.tenants.roles import Role
from golive.tenants.verifier import POLL_S, Refusal, RevocationSource, TokenVerifier

MOST_TOLD = 20
TOLD_S = 10.0


class SigningIn:
    """Knows tokens as they are configured now (an `Authenticator`), and whom people may log in with (`flow`)."""

    def __init__(
        self,
        config: GoliveConfig,
        store: Store,
        transport: Transport,
        clock: Clock,
        chance: Chance,
        role: Callable[[str], Role | None],
        registry: CollectorRegistry,
        log: Log,
        resolve: Callable[[str], str] = str,
        end_keys: EndKeys = no_keys,
    ) -> None:
        """`resolve`: the value behind a reference to a secret. `end_keys`: see `TokenAdmin`.

        Raises ConfigError where a section names a role that there is not."""
        self._transport = transport
        self._clock = clock
        self._chance = chance
        self._log = log
        self._told_since = float("-inf")
        self._told = 0
        self._untold = 0
        self._role = role
        self._source = RevocationSource(store.control_version, store.revocations.all)
        self._resolve = resolve
        self._registry = registry
        self._metrics: TokenMetrics | None = None
        self._issuers: Mapping[str, OidcConfig] = {}
        self.verifier: TokenVerifier | None = None
        self.flow: CodeFlow | None = None
        self._take(config.auth.oidc, self._new(config.auth.oidc))
        admin = TokenAdmin(
            store.revocations, _Now(lambda: self._issuers), clock, chance, self.refresh,
            session_s=config.server.sessions.absolute_s, end_keys=end_keys,
        )  # fmt: skip
        self.face = TokenFace(admin, self.states, config.server)
        self._store = store.revocations
        self._tasks = Tasks("signing in")

    # ---- as configured -----------------------------------------------------------------------------------------------

    def _new(self, issuers: Mapping[str, OidcConfig]) -> TokenVerifier | None:
        """A verifier that is not started. Raises ConfigError."""
        if not issuers:
            return None
        if self._metrics is None:
            self._metrics = TokenMetrics(self._registry)
            self._metrics.follow_ages(self._ages)
        return TokenVerifier(
            issuers, role=self._role, fetch=fetching(self._transport), clock=self._clock, source=self._source,
            refused=self._refused, accepted=self._metrics.accepted, told=self._issuer_told,
            fault=faults_told(self._log),
        )  # fmt: skip

    def _take(self, issuers: Mapping[str, OidcConfig], verifier: TokenVerifier | None) -> None:
        self._issuers, self.verifier = issuers, verifier
        self.flow = None
        if verifier is not None and any(config.client_id is not None for config in issuers.values()):
            send = (fetching(self._transport), posting(self._transport))
            self.flow = CodeFlow(verifier, *send, self._resolve, self._clock, self._chance)

    def adopt(self, issuers: Mapping[str, OidcConfig]) -> None:
        """Takes edited sections over: what they do not say any more counts no more, from the next request on.

        Where one names a role that there is not, nothing is changed, and the log says so.
        """
        if issuers == self._issuers:
            self.forget()
            return
        try:
            fresh = self._new(issuers)
        except ConfigError as error:
            self._log.error("auth.not_reloaded", message=error.message, remedy=error.remedy)
            return
        old = self.verifier
        self._take(issuers, fresh)
        self._tasks.start(self._change(old, fresh), "issuers")
        self._log.info("auth.reloaded", issuers=sorted(issuers))

    async def _change(self, old: TokenVerifier | None, fresh: TokenVerifier | None) -> None:
        try:
            while fresh is not None:
                try:
                    await fresh.start()
                    break
                except StoreError:  # what is revoked is not known yet: until then it takes nothing
                    await asyncio.sleep(POLL_S)
        finally:
            if old is not None:
                await old.close()

    async def authenticate(self, credential: str) -> Principal:
        """Who holds the token. Raises Unauthenticated."""
        if self.verifier is None or not self.verifier.started:
            raise unauthenticated()
        return await self.verifier.authenticate(credential)

    async def start(self) -> None:
        """Reads what is revoked, and begins to read keys. Raises StoreUnavailable."""
        if self.verifier is not None:
            await self.verifier.start()
        self._tasks.start(prune_for_ever(self._store, self._clock, self._not_pruned), "prune")

    async def close(self) -> None:
        """Stops following, and closes the transport."""
        await self._tasks.close()
        if self.verifier is not None:
            await self.verifier.close()
        await self._transport.close()

    async def refresh(self) -> None:
        """Reads anew what is revoked, where anything has changed. Raises StoreError."""
        if self.verifier is not None:
            await self.verifier.refresh()

    def forget(self) -> None:
        """Roles have changed: who was known is looked at anew."""
        if self.verifier is not None:
            self.verifier.forget()

    # ---- told --------------------------------------------------------------------------------------------------------

    def states(self) -> list[IssuerState]:
        """Each issuer as it stands."""
        return [] if self.verifier is None else self.verifier.states()

    def _not_pruned(self, error: StoreError) -> None:
        self._log.warning("auth.revocations_not_pruned", message=error.message)

    def _ages(self) -> Mapping[Labels, float]:
        return {(state.name,): state.age_s for state in self.states() if state.age_s is not None}

    def _issuer_told(self, state: IssuerState) -> None:
        if state.error:
            self._log.warning(
                "auth.keys_unreadable", issuer=state.name, error=state.error, keys=len(state.keys), age_s=state.age_s
            )
        else:
            self._log.info("auth.keys_read", issuer=state.name, keys=len(state.keys), skipped=list(state.skipped))

    def _refused(self, refusal: Refusal) -> None:
        if self._metrics is not None:
            self._metrics.refused(refusal.issuer, refusal.reason)
        now = self._clock.monotonic()
        if now - self._told_since > TOLD_S:
            if self._untold:
                self._log.warning("auth.tokens_refused", count=self._untold)
            self._told_since, self._told, self._untold = now, 0, 0
        if self._told >= MOST_TOLD:
            self._untold += 1
            return
        self._told += 1
        self._log.info(
            "auth.token_refused", reason=refusal.reason, detail=refusal.detail, issuer=refusal.issuer,
            kid=refusal.kid, user=refusal.user,
        )  # fmt: skip


class _Now(Mapping[str, OidcConfig]):
    """The sections as they are configured now."""

    def __init__(self, issuers: Callable[[], Mapping[str, OidcConfig]]) -> None:
        self._issuers = issuers

    def __getitem__(self, name: str) -> OidcConfig:
        return self._issuers()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._issuers())

    def __len__(self) -> int:
        return len(self._issuers())
