"""Browser sessions: a cookie that is a key, and a defence against requests that other websites make (CSRF).

A session is an API key that the server makes for a browser and that leaves it only sealed: the cookie is the key under
AES-256-GCM, so that whoever reads it can use it here and nowhere as a key. Everything about it is the key's: role,
expiry, last use, `golive keys list`, and revocation on every replica within `keyring.POLL_S`. This layer stands before
the gateway and only turns a cookie that counts into the `Authorization` that the one door reads; a request that brings
a credential of its own passes as it is. Owns that and CSRF; leaves cookies to `cookies.py`, logging in to
`login_face.py` and `oidc_login.py`, who may what to the gateway.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from golive.core.clock import Clock
from golive.core.errors import Forbidden, GoliveError
from golive.gateway import problems
from golive.gateway.cookies import Cookies, no_session
from golive.gateway.exchange import Exchange, Receive, Scope, Send
from golive.gateway.own_origin import SAFE_METHODS
from golive.gateway.secure_headers import Application
from golive.telemetry.logs import Log
from golive.tenants.sealed_slips import Session

FRESH = 0.05
"""A cookie says when it was last used; it is written again after this share of `idle_s`."""


class Sessions:
    """The gateway with sessions before it: `await sessions(scope, receive, send)`."""

    def __init__(
        self, app: Application, cookies: Cookies, clock: Clock, log: Log,
        stands: Callable[[Session], bool] = lambda session: not session.issuer,
    ) -> None:  # fmt: skip
        """`stands`: whether what the session began with still counts; of those that a link began, it does."""
        self._app = app
        self._cookies = cookies
        self._clock = clock
        self._log = log
        self._stands = stands

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """ASGI. Without a cookie of ours this costs a look at the headers."""
        cookies = b""
        for name, value in scope["headers"]:
            if name == b"cookie":
                cookies = value
            elif name in (b"authorization", b"x-api-key"):
                return self._app(scope, receive, send)
        if b"golive" not in cookies or scope["path"].startswith(("/login", "/logout")):
            return self._app(scope, receive, send)
        return self._with_cookie(scope, receive, send)

    async def _with_cookie(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        session = self._cookies.session(scope, headers)
        if session is None:
            await self._app(scope, receive, send)
            return
        if not self._cookies.origin.counts(scope["method"], headers):
            if scope["method"] in SAFE_METHODS:
                await self._app(scope, receive, send)  # as a stranger's
                return
            self._log.warning("session.foreign_request", key=session.id, path=scope["path"])
            await _tell(Exchange(scope, receive, send), foreign())
            return
        if self._stands(session):
            scope["headers"] = [*scope["headers"], (b"authorization", f"Bearer {session.key}".encode())]
        now = self._clock.now()
        renewed = now - session.seen_at > self._cookies.config.idle_s * FRESH

        def send_on(message: MutableMapping[str, Any]) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                if message["status"] == 401:  # revoked or expired
                    message["headers"] = [*message["headers"], *no_session()]
                elif renewed:
                    seen = msgspec.structs.replace(session, seen_at=now)
                    cookie = self._cookies.of_session(seen, self._cookies.origin.local(scope, headers))
                    message["headers"] = [*message["headers"], cookie]
            return send(message)

        await self._app(scope, receive, send_on)


def foreign() -> Forbidden:
    """The refusal of what another website may have caused."""
    return Forbidden(
        "A browser's session counts for requests of this server's own pages only.",
        remedy="Programs send an API key: Authorization: Bearer gl_…",
    )


async def _tell(exchange: Exchange, error: GoliveError) -> None:
    status, headers, body = problems.problem(error)
    await exchange.answer(status, body, problems.CONTENT_TYPE, headers)
