"""Browser sessions: a one-time link, a cookie, and a defence against requests that other websites make (CSRF).

A session is an API key that the server makes for a browser and that leaves it only sealed: the cookie is the key under
AES-256-GCM, so that whoever reads it can use it here and nowhere as a key. Everything about it is the key's: role,
expiry, last use, `golive keys list`, and revocation on every replica within `keyring.POLL_S`. This layer stands before
the gateway and only turns a cookie that counts into the `Authorization` that the one door reads; a request that brings
a credential of its own passes as it is. Owns cookie, link and CSRF; leaves who may what to the gateway.

A link is sealed likewise, and no key: it names tenant and role, and is used up by an entry in the store that one server
alone can make.
"""

from collections.abc import Awaitable, MutableMapping
from typing import Any

import msgspec
from msgspec import Struct

from golive.config.transport import SessionsConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import Forbidden, GoliveError, InvalidRequest, Unauthenticated
from golive.gateway import problems
from golive.gateway.exchange import Exchange, Receive, Scope, Send
from golive.gateway.login_page import PAGE, PAGE_HEADERS
from golive.gateway.own_origin import LOOPBACK, SAFE_METHODS, from_own_page, own_origin
from golive.gateway.secure_headers import Application
from golive.store.revocation import RevocationStore, TokenRevocation
from golive.telemetry.logs import Log
from golive.tenants.keys import KeyAdmin
from golive.tenants.sealed_slips import Link, Session, Slips

LOGIN, LOGOUT = "/login", "/logout"
COOKIE = "__Host-golive"
LOCAL_COOKIE = "golive-session"
"""On this machine over plain HTTP, where browsers keep no cookie that is `Secure`."""
ISSUER = "golive:login-link"
"""Under which a link that was used stands among the revoked tokens."""
MOST_BYTES = 4_096
"""Largest body of a login."""
FRESH = 0.05
"""A cookie says when it was last used; it is written again after this share of `idle_s`."""


class LoginBody(Struct, frozen=True):
    link: str


class LoggedIn(Struct, frozen=True):
    """What a login answers. `expires_at`: seconds since the epoch."""

    tenant: str
    role: str
    key: str
    expires_at: float


class Sessions:
    """The gateway with sessions before it: `await sessions(scope, receive, send)`."""

    def __init__(
        self, app: Application, config: SessionsConfig, *, slips: Slips, keys: KeyAdmin, used: RevocationStore,
        clock: Clock, chance: Chance, log: Log,
    ) -> None:  # fmt: skip
        """
        Args:
            slips: seals and opens links and cookies.
            keys: makes and revokes the sessions' keys.
            used: where a link that was used is noted, for all servers.
        """
        self._app = app
        self._config = config
        self._slips = slips
        self._keys = keys
        self._used = used
        self._clock = clock
        self._chance = chance
        self._log = log

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """ASGI. Without a cookie of ours this costs a look at the headers."""
        if scope["path"] in (LOGIN, LOGOUT):
            return self._own(scope, receive, send)
        cookies = b""
        for name, value in scope["headers"]:
            if name == b"cookie":
                cookies = value
            elif name in (b"authorization", b"x-api-key"):
                return self._app(scope, receive, send)
        if b"golive" not in cookies:
            return self._app(scope, receive, send)
        return self._with_cookie(scope, receive, send)

    # ---- requests that bring a cookie --------------------------------------------------------------------------------

    async def _with_cookie(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        session = self._session(scope, headers)
        if session is None:
            await self._app(scope, receive, send)
            return
        if not from_own_page(scope["method"], headers):
            if scope["method"] in SAFE_METHODS:
                await self._app(scope, receive, send)  # as a stranger's
                return
            self._log.warning("session.foreign_request", key=session.id, path=scope["path"])
            await _tell(Exchange(scope, receive, send), _foreign())
            return
        scope["headers"] = [*scope["headers"], (b"authorization", f"Bearer {session.key}".encode())]
        now = self._clock.now()
        renewed = now - session.seen_at > self._config.idle_s * FRESH

        def send_on(message: MutableMapping[str, Any]) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                if message["status"] == 401:  # revoked or expired
                    message["headers"] = [*message["headers"], *_no_cookies()]
                elif renewed:
                    cookie = self._cookie(msgspec.structs.replace(session, seen_at=now), _is_local(scope, headers))
                    message["headers"] = [*message["headers"], cookie]
            return send(message)

        await self._app(scope, receive, send_on)

    def _session(self, scope: Scope, headers: MutableMapping[bytes, bytes]) -> Session | None:
        """The session of the request's cookie; None where there is none that can be used still."""
        wanted = [COOKIE, LOCAL_COOKIE] if _is_local(scope, headers) else [COOKIE]
        for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
            name, _, value = part.strip().partition("=")
            if name in wanted and (session := self._slips.session(value)) is not None:
                now = self._clock.now()
                idle = now - session.seen_at > self._config.idle_s
                return None if idle or now >= session.ends_at else session
        return None

    def _cookie(self, session: Session, local: bool) -> tuple[bytes, bytes]:
        name, secure = (LOCAL_COOKIE, "") if local else (COOKIE, " Secure;")
        age = max(0, int(session.ends_at - self._clock.now()))
        value = self._slips.seal_session(session, self._chance)
        return b"set-cookie", f"{name}={value}; Path=/; Max-Age={age};{secure} HttpOnly; SameSite=Strict".encode()

    # ---- login and logout --------------------------------------------------------------------------------------------

    async def _own(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            if exchange.path == LOGIN and exchange.method in ("GET", "HEAD"):
                await exchange.answer(200, PAGE, b"text/html; charset=utf-8", PAGE_HEADERS)
            elif exchange.method != "POST":
                await self._app(scope, receive, send)
            elif exchange.path == LOGIN:
                await self._login(exchange)
            else:
                await self._logout(exchange)
        except GoliveError as error:
            await _tell(exchange, error)

    async def _login(self, exchange: Exchange) -> None:
        origin = own_origin(exchange.headers)
        if origin is None or not from_own_page("POST", exchange.headers):
            raise _foreign()
        local = origin.startswith("http:")
        if local and not _is_local(exchange.scope, exchange.headers):
            raise Forbidden(
                "Sessions need HTTPS.", remedy="Set server.tls.cert, or put a proxy with TLS before golive."
            )
        try:
            body = msgspec.json.decode(await _body(exchange), type=LoginBody)
        except msgspec.MsgspecError:
            raise InvalidRequest('The body is not {"link": …}.', remedy="Open the link in a browser.") from None
        link = self._slips.link(body.link)
        now = self._clock.now()
        if link is None or now >= link.expires_at or not await self._take(link, now):
            self._log.warning("session.refused", link=link.id if link else None, source=_source(exchange.scope))
            raise Unauthenticated(
                "This link does not work, or not any more.", remedy="Ask for a new one: golive login-link."
            )
        made = await self._keys.create(
            link.tenant, "browser session", link.role, created_by=f"link:{link.id}",
            expires_in_s=self._config.absolute_s,
        )  # fmt: skip
        ends_at = now + self._config.absolute_s
        session = Session(link.tenant, made.row.id, made.secret, now, ends_at)
        self._log.info(
            "session.begun", tenant=link.tenant, key=made.row.id, role=link.role, link=link.id,
            source=_source(exchange.scope),
        )  # fmt: skip
        await exchange.json(
            LoggedIn(link.tenant, link.role, made.row.id, ends_at), headers=[self._cookie(session, local)]
        )

    async def _take(self, link: Link, now: float) -> bool:
        """Uses the link up; False where somebody was faster. Of two that add an entry, one finds its own there."""
        mark = self._chance.token(16).hex()
        await self._used.add(
            TokenRevocation(link.tenant, f"link_{link.id}", ISSUER, "jti", link.id, now, link.expires_at, now, mark)
        )
        rows = await self._used.of(link.tenant)
        return any(row.id == f"link_{link.id}" and row.created_by == mark for row in rows)

    async def _logout(self, exchange: Exchange) -> None:
        session = self._session(exchange.scope, exchange.headers)
        if session is None:
            raise Unauthenticated("There is no session.", remedy="It has ended already.")
        if not from_own_page("POST", exchange.headers):
            raise _foreign()
        await self._keys.revoke(session.tenant, session.id)
        self._log.info("session.ended", tenant=session.tenant, key=session.id, source=_source(exchange.scope))
        await exchange.answer(200, b"{}", b"application/json", _no_cookies())


def _foreign() -> Forbidden:
    return Forbidden(
        "A browser's session counts for requests of this server's own pages only.",
        remedy="Programs send an API key: Authorization: Bearer gl_…",
    )


def _no_cookies() -> list[tuple[bytes, bytes]]:
    """Takes the cookies away."""
    return [
        (b"set-cookie", f"{name}=; Path=/; Max-Age=0;{secure} HttpOnly; SameSite=Strict".encode())
        for name, secure in ((COOKIE, " Secure;"), (LOCAL_COOKIE, ""))
    ]


def _is_local(scope: Scope, headers: MutableMapping[bytes, bytes]) -> bool:
    """Whether browser and server are on one machine, and speak plain HTTP with nobody between."""
    host = headers.get(b"host", b"").decode("latin-1").rpartition(":")[0] or headers.get(b"host", b"").decode("latin-1")
    return scope["scheme"] == "http" and _source(scope) in LOOPBACK and host.strip("[]") in LOOPBACK


def _source(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


async def _body(exchange: Exchange) -> bytes:
    data = bytearray()
    while True:
        message = await exchange.receive()
        data += message.get("body", b"")
        if len(data) > MOST_BYTES:
            raise InvalidRequest("The body is too large for a login.", remedy="Open the link in a browser.")
        if not message.get("more_body"):
            return bytes(data)


async def _tell(exchange: Exchange, error: GoliveError) -> None:
    status, headers, body = problems.problem(error)
    await exchange.answer(status, body, problems.CONTENT_TYPE, headers)
