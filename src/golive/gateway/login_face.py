"""/login and /logout: the page, one-time links, the end of a session.

A link is sealed as a session is, and no key: it names tenant and role, and is used up by an entry in the store that one
server alone can make. Logging in with an issuer is `oidc_login.py`'s.
"""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from golive.core.clock import Clock
from golive.core.errors import AuditUnavailable, Forbidden, InvalidRequest, Unauthenticated
from golive.gateway.bodies import read_body
from golive.gateway.cookies import Cookies, no_session
from golive.gateway.exchange import Exchange
from golive.gateway.login_page import HTML, LEAVE_HEADERS, LEAVE_PAGE, PAGE_HEADERS, login_page, path_here
from golive.gateway.logins import Logins
from golive.gateway.routes import PUBLIC, Answer, Param, Route
from golive.gateway.sessions import foreign
from golive.tenants.authorize import Principal
from golive.tenants.keys import SESSION, KeyAdmin
from golive.tenants.sealed_slips import Session

ISSUER = "golive:login-link"
"""Under which a link that was used stands among the revoked tokens."""
MOST_BYTES = 4_096
"""Largest body of a login."""


class LoginBody(Struct, frozen=True):
    """`link`: what stands behind the `#` of the address that `golive login-link` printed."""

    link: str


class LoggedIn(Struct, frozen=True):
    """What a login answers. `expires_at`: seconds since the epoch."""

    tenant: str
    role: str
    key: str
    expires_at: float


class LoggedOut(Struct, frozen=True):
    """The session is over, on every server within a second.

    `end_session`: where the browser can be sent to end the issuer's own session, too, which goes on; "": there was no
    issuer, or it names no such place.
    """

    end_session: str = ""


Leaving = Callable[[str], Awaitable[str]]
"""Gives the address at which somebody ends their session at an issuer, by its section's name."""


async def nowhere(_: str) -> str:
    """There are no issuers."""
    return ""


class LoginFace:
    """Handlers of /login and /logout."""

    def __init__(
        self, cookies: Cookies, keys: KeyAdmin, logins: Logins, clock: Clock,
        offered: Callable[[], Sequence[tuple[str, str]]] = tuple, leaving: Leaving = nowhere,
    ) -> None:  # fmt: skip
        """
        Args:
            keys: makes and revokes the sessions' keys.
            offered: (name, title) of each issuer that people may log in with.
            leaving: where the session at an issuer is ended.
        """
        self._cookies = cookies
        self._keys = keys
        self._logins = logins
        self._clock = clock
        self._offered = offered
        self._leaving = leaving

    async def page(self, exchange: Exchange) -> None:
        """GET /login"""
        then = path_here(next_of(exchange) or "") or ""
        await exchange.answer(200, login_page(self._offered(), then), HTML, PAGE_HEADERS)

    async def login(self, exchange: Exchange) -> None:
        """POST /login"""
        origin = self._cookies.origin.named(exchange.headers)
        if origin is None or not self._cookies.origin.counts("POST", exchange.headers):
            raise foreign()
        local = origin.startswith("http:")
        if local and not self._cookies.origin.local(exchange.scope, exchange.headers):
            raise Forbidden(
                "Sessions need HTTPS.", remedy="Set server.tls.cert, or put a proxy with TLS before golive."
            )
        try:
            body = msgspec.json.decode(await read_body(exchange, MOST_BYTES), type=LoginBody)
        except msgspec.MsgspecError:
            raise InvalidRequest('The body is not {"link": …}.', remedy="Open the link in a browser.") from None
        link = self._cookies.slips.link(body.link)
        now = self._clock.now()
        if (
            link is None
            or now >= link.expires_at
            or not await self._logins.take(ISSUER, link.tenant, link.id, link.expires_at)
        ):
            self._logins.refused(exchange, "link", "link", link=link.id if link else "")
            raise Unauthenticated(
                "This link does not work, or not any more.", remedy="Ask for a new one: golive login-link."
            )
        await self._logins.admit(exchange, "link", Principal(link.tenant, f"link:{link.id}"))
        absolute_s = self._cookies.config.absolute_s
        made = await self._keys.create(
            link.tenant, SESSION, link.role, created_by=f"link:{link.id}", expires_in_s=absolute_s
        )
        try:
            await self._logins.begun(exchange, "link", link.tenant, f"link:{link.id}", made.row.id, link.role)
        except AuditUnavailable:
            await self._keys.revoke(link.tenant, made.row.id)
            raise
        session = Session(link.tenant, made.row.id, made.secret, now, now + absolute_s)
        await exchange.json(
            LoggedIn(link.tenant, link.role, made.row.id, session.ends_at),
            headers=[self._cookies.of_session(session, local)],
        )

    async def leave_page(self, exchange: Exchange) -> None:
        """GET /logout"""
        await exchange.answer(200, LEAVE_PAGE, HTML, LEAVE_HEADERS)

    async def logout(self, exchange: Exchange) -> None:
        """POST /logout"""
        session = self._cookies.session(exchange.scope, exchange.headers)
        if session is None:
            raise Unauthenticated("There is no session.", remedy="It has ended already.")
        if not self._cookies.origin.counts("POST", exchange.headers):
            raise foreign()
        await self._keys.revoke(session.tenant, session.id)
        actor = f"user:{session.user}" if session.user else f"key:{session.id}"
        await self._logins.ended(exchange, session.tenant, actor, session.id)
        place = await self._leaving(session.issuer) if session.issuer else ""
        await exchange.json(LoggedOut(place), headers=no_session())

    def routes(self) -> list[Route]:
        """All routes of this face."""
        page = Answer(200, "The page.", media="text/html")
        then = Param("next", "query", "The page that comes after the login, a path here.")
        return [
            Route("GET", "/login", PUBLIC, self.page, "The page on which browsers log in", (page,), params=(then,),
                  tag="Browsers"),
            Route(
                "POST", "/login", PUBLIC, self.login, "Log a browser in by a one-time link", body=LoginBody,
                description="Only from the page itself.", tag="Browsers",
                answers=(Answer(200, "The session, in a cookie.", LoggedIn),),
            ),
            Route("GET", "/logout", PUBLIC, self.leave_page, "The page on which browsers log out", (page,),
                  tag="Browsers"),
            Route(
                "POST", "/logout", PUBLIC, self.logout, "End a browser's session", tag="Browsers",
                description="Only from a page of this server.", answers=(Answer(200, "It is over.", LoggedOut),),
            ),
        ]  # fmt: skip


def next_of(exchange: Exchange) -> str | None:
    """The page that the request names as the one that comes after."""
    try:
        named = dict(parse_qsl(exchange.scope["query_string"].decode("latin-1"), max_num_fields=8))
    except ValueError:
        return ""
    return named.get("next")
