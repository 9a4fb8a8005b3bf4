"""Logging in with an OpenID Connect issuer: /login/start/NAME sends the browser there, /login/callback/NAME takes it
back and gives it a session.

What is under way stands in the browser, sealed: no other browser can end what this one began, and a login that was used
once, on whichever server, is used. Whoever comes back gets a page in plain words; what exactly was wrong stands in the
log. Owns these two addresses; leaves the protocol to `tenants/code_flow.py`.
"""

from collections.abc import Callable
from urllib.parse import parse_qsl

from golive.core.clock import Clock
from golive.core.errors import AuditUnavailable, GoliveError, InvalidRequest
from golive.gateway import problems
from golive.gateway.cookies import Cookies, no_pending
from golive.gateway.exchange import Exchange, Headers
from golive.gateway.login_face import next_of
from golive.gateway.login_page import AFTER, HTML, TOLD_HEADERS, going_on, path_here, told
from golive.gateway.logins import Logins
from golive.gateway.own_origin import ELSEWHERE
from golive.gateway.routes import PUBLIC, Answer, Param, Route
from golive.store.audit import INSTALLATION
from golive.tenants.code_flow import CodeFlow, NotLoggedIn, not_begun
from golive.tenants.keys import KeyAdmin, NewKey
from golive.tenants.sealed_slips import Session
from golive.tenants.verifier import Verified

ISSUER = "golive:login"
"""Under which a login that was used stands among the revoked tokens."""
MOST_FIELDS = 32
NO_ROLE = "no_role"
"""Why somebody who is known gets no session."""


class OidcLogin:
    """Handlers of /login/start and /login/callback."""

    def __init__(
        self, cookies: Cookies, keys: KeyAdmin, logins: Logins, clock: Clock, flow: Callable[[], CodeFlow | None]
    ) -> None:
        """`flow`: the issuers as they are configured now; None where there are none."""
        self._cookies = cookies
        self._keys = keys
        self._logins = logins
        self._clock = clock
        self._flow = flow

    # ---- to the issuer -----------------------------------------------------------------------------------------------

    async def start(self, exchange: Exchange) -> None:
        """GET /login/start/{issuer}"""
        name = exchange.params["issuer"]
        try:
            await self._start(exchange, name)
        except NotLoggedIn as error:
            self._logins.refused(exchange, self._via(name), error.reason, error.detail)
            await exchange.answer(error.status, told(error.words, error.remedy), HTML, TOLD_HEADERS)

    async def _start(self, exchange: Exchange, name: str) -> None:
        flow = self._flow()
        if flow is None:
            raise NotLoggedIn(404, "Nobody logs in here by that name.", "Begin at /login.", reason="no_issuer")
        if exchange.headers.get(b"sec-fetch-site") in ELSEWHERE:
            raise NotLoggedIn(
                403, "Another website sent you here to log in.", "Log in from here, if that is what you want.",
                reason="foreign",
            )  # fmt: skip
        wanted = next_of(exchange)
        then = AFTER if wanted is None else path_here(wanted)
        if then is None:
            raise NotLoggedIn(
                400, "The page to go to after the login is none of this server's.", "Log in without it.",
                reason="open_redirect", detail=ascii((wanted or "")[:100]),
            )  # fmt: skip
        origin = self._cookies.origin.asked(exchange.scope, exchange.headers)
        if origin is None:
            raise NotLoggedIn(
                403, "Browsers log in over HTTPS only.",
                "Its operator sets server.public_url, where a proxy speaks TLS for golive, or server.tls.cert.",
                reason="no_https",
            )  # fmt: skip
        url, pending = await flow.begin(name, f"{origin}/login/callback/{name}", then)
        headers = [
            (b"location", url.encode("ascii", "replace")),
            self._cookies.of_pending(pending, self._local(exchange)),
        ]
        await exchange.answer(303, b"", b"text/plain", headers)

    # ---- and back ----------------------------------------------------------------------------------------------------

    async def callback(self, exchange: Exchange) -> None:
        """GET /login/callback/{issuer}"""
        name = exchange.params["issuer"]
        ours: Headers = ()
        try:
            flow = self._flow()
            pending = self._cookies.pending(exchange.scope, exchange.headers)
            answer = _fields(exchange)
            if flow is None:
                raise not_begun("no_issuer")
            pending = flow.check(name, pending, answer)
            ours = no_pending()
            if not await self._logins.take(ISSUER, INSTALLATION, pending.state, pending.expires_at):
                raise not_begun("used")
            verified = await flow.finish(pending, answer)
            session = await self._begin(exchange, flow, verified)
        except NotLoggedIn as error:
            known = error.reason == NO_ROLE
            self._logins.refused(exchange, self._via(name), error.reason, error.detail, stranger=not known)
            await exchange.answer(error.status, told(error.words, error.remedy), HTML, [*TOLD_HEADERS, *ours])
        except GoliveError as error:
            status = problems.status_of(error)
            await exchange.answer(status, told(error.message, error.remedy), HTML, [*TOLD_HEADERS, *ours])
        else:
            cookie = self._cookies.of_session(session, self._local(exchange))
            await exchange.answer(200, going_on(pending.then), HTML, [*TOLD_HEADERS, *ours, cookie])

    async def _begin(self, exchange: Exchange, flow: CodeFlow, verified: Verified) -> Session:
        """The session, recorded. Raises NotLoggedIn, AuditUnavailable, StoreError."""
        who, principal, now = verified.who, verified.principal, self._clock.now()
        absolute_s = self._cookies.config.absolute_s
        try:
            await self._logins.admit(exchange, verified.issuer, principal)
        except GoliveError as error:
            raise NotLoggedIn(
                problems.status_of(error), error.message, error.remedy, reason=NO_ROLE, detail=error.code
            ) from None
        try:
            made: NewKey = await self._keys.begin_session(
                who.tenant, who.roles, principal.id.removeprefix("user:"), who.agents,
                created_by=f"oidc:{verified.issuer}", expires_in_s=absolute_s,
            )  # fmt: skip
        except InvalidRequest as error:
            await self._logins.denied(exchange, verified.issuer, who.tenant, principal.id, error.message)
            raise NotLoggedIn(
                403, "You are known, and your account may do nothing here.", "Ask golive's administrator for a role.",
                reason=NO_ROLE, detail=error.message,
            ) from None  # fmt: skip
        try:
            role = principal.role
            await self._logins.begun(exchange, verified.issuer, who.tenant, principal.id, made.row.id, role)
        except AuditUnavailable:
            await self._keys.revoke(who.tenant, made.row.id)
            raise
        return flow.session_of(verified, Session(who.tenant, made.row.id, made.secret, now, now + absolute_s))

    def _local(self, exchange: Exchange) -> bool:
        return self._cookies.origin.local(exchange.scope, exchange.headers)

    def _via(self, name: str) -> str:
        """The issuer's name as metrics and the log may hold it: one that there is."""
        flow = self._flow()
        return name if flow is not None and any(name == known for known, _ in flow.offered()) else "unknown"

    def routes(self) -> list[Route]:
        """All routes of this face."""
        issuer = Param("issuer", "path", "Its section of [auth.oidc].")
        return [
            Route(
                "GET", "/login/start/{issuer}", PUBLIC, self.start, "Begin a login with an issuer", tag="Browsers",
                params=(issuer, Param("next", "query", "The page that comes after the login, a path here.")),
                answers=(Answer(303, "To the issuer.", media="text/plain"),),
            ),
            Route(
                "GET", "/login/callback/{issuer}", PUBLIC, self.callback, "Where an issuer sends browsers back",
                tag="Browsers", params=(issuer, *(Param(name, "query", "As the issuer says.") for name in
                                                  ("code", "state", "iss", "error", "error_description"))),
                answers=(Answer(200, "The session, in a cookie, and the page that leads on.", media="text/html"),),
            ),
        ]  # fmt: skip


def _fields(exchange: Exchange) -> list[tuple[str, str]]:
    """What the issuer says in the address. Raises NotLoggedIn where it cannot be read."""
    try:
        query = exchange.scope["query_string"].decode("latin-1")
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise not_begun("malformed") from None
