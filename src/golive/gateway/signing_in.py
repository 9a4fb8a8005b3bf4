"""Tokens of OpenID Connect issuers, put together for one server: verifier, log, metrics and the face of /v1/auth.

A flood of bad tokens does not become one of log lines: `MOST_TOLD` refusals in `TOLD_S` are told one by one, the rest
are counted.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from golive.config.schema import GoliveConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import StoreError
from golive.core.tasks import Tasks
from golive.gateway.fetching import fetching
from golive.gateway.token_face import TokenFace
from golive.models.transport import Transport
from golive.store.ports import Store
from golive.telemetry.logs import Log
from golive.telemetry.series import Labels
from golive.telemetry.tokens import TokenMetrics
from golive.tenants.authentication import Authenticator
from golive.tenants.issuer import IssuerState
from golive.tenants.revoking import TokenAdmin, prune_for_ever
from golive.tenants.roles import Role
from golive.tenants.verifier import Refusal, RevocationSource, TokenVerifier

MOST_TOLD = 20
TOLD_S = 10.0


class SigningIn:
    """`authenticator` is None where no issuer is configured: then no token is taken."""

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
    ) -> None:
        """Raises ConfigError where a section names a role that there is not."""
        self._transport = transport
        self._clock = clock
        self._log = log
        self._told_since = float("-inf")
        self._told = 0
        self._untold = 0
        issuers = config.auth.oidc
        self.verifier: TokenVerifier | None = None
        if issuers:
            self._metrics = TokenMetrics(registry)
            self._metrics.follow_ages(self._ages)
            self.verifier = TokenVerifier(
                issuers,
                role=role,
                fetch=fetching(transport),
                clock=clock,
                source=RevocationSource(store.control_version, store.revocations.all),
                refused=self._refused,
                accepted=self._metrics.accepted,
                told=self._issuer_told,
            )
        changed = None if self.verifier is None else self.verifier.refresh
        admin = TokenAdmin(store.revocations, issuers, clock, chance, changed)
        self.face = TokenFace(admin, self.states, config.server)
        self._store = store.revocations
        self._tasks = Tasks("signing in")

    @property
    def authenticator(self) -> Authenticator | None:
        """Who knows tokens."""
        return self.verifier

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

    def forget(self) -> None:
        """Roles have changed: who was known is looked at anew."""
        if self.verifier is not None:
            self.verifier.forget()

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
