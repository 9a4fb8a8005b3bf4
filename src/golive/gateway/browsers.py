"""Browsers, put together for one server: cookies, the pages of logging in and out, and the layer before the gateway."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from golive.audit.log import Audit
from golive.config.schema import ServerConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.gateway.cookies import Cookies
from golive.gateway.login_face import LoginFace
from golive.gateway.logins import Admit, Logins, everybody
from golive.gateway.oidc_login import OidcLogin
from golive.gateway.own_origin import OwnOrigin
from golive.gateway.secure_headers import Application
from golive.gateway.sessions import Sessions
from golive.store.revocation import RevocationStore
from golive.telemetry.logins import LoginMetrics
from golive.telemetry.logs import Log
from golive.tenants.code_flow import CodeFlow
from golive.tenants.keys import KeyAdmin
from golive.tenants.sealed_slips import Session, Slips


class Browsers:
    """`faces` are the gateway's; `before` puts sessions before it."""

    def __init__(
        self, server: ServerConfig, pepper: bytes, keys: KeyAdmin, used: RevocationStore, audit: Audit | None,
        flow: Callable[[], CodeFlow | None], registry: CollectorRegistry, clock: Clock, chance: Chance, log: Log,
        admit: Admit = everybody,
    ) -> None:  # fmt: skip
        """
        Args:
            flow: the issuers that people log in with, as they are configured now.
            admit: raises unless a tenant, or a user, is let in.
        """
        self._flow = flow
        self._clock = clock
        self._log = log
        self.cookies = Cookies(server.sessions, Slips(pepper), OwnOrigin(server.public_url), clock, chance)
        logins = Logins(audit, used, clock, chance, log, LoginMetrics(registry), admit)
        self.faces = (
            LoginFace(self.cookies, keys, logins, clock, self._offered, self._leaving),
            OidcLogin(self.cookies, keys, logins, clock, flow),
        )

    def before(self, app: Application) -> Sessions:
        """The application with sessions before it."""
        return Sessions(app, self.cookies, self._clock, self._log, self._stands)

    def _offered(self) -> list[tuple[str, str]]:
        flow = self._flow()
        return [] if flow is None else flow.offered()

    async def _leaving(self, issuer: str) -> str:
        flow = self._flow()
        return "" if flow is None else await flow.leaving(issuer)

    def _stands(self, session: Session) -> bool:
        """Whether what a session began with still counts: a link was used up, an issuer may be gone."""
        if not session.issuer:
            return True
        flow = self._flow()
        return flow is not None and flow.stands(session)
