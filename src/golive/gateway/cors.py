"""CORS: which websites' scripts may ask, by the Fetch standard (https://fetch.spec.whatwg.org/#http-cors-protocol).

Off unless origins are named. An origin counts when it is one of them to the letter; none is ever repeated that is not,
and `null` cannot be named. A preflight is answered before anybody knows who asks, as browsers send no credential
with it, and says what is configured, whatever it asked for.
"""

from collections.abc import Awaitable, MutableMapping
from typing import Any

from golive.config.transport import CorsConfig
from golive.gateway.exchange import Receive, Scope, Send
from golive.gateway.secure_headers import Application

EXPOSED = b"x-request-id, retry-after, location"
"""Headers of an answer that a script may read."""
_VARY = (b"vary", b"origin")


def with_cors(app: Application, config: CorsConfig) -> Application:
    """The application with CORS; itself where no origin is named."""
    if not config.origins:
        return app
    origins = frozenset(origin.encode() for origin in config.origins)
    credentials = ((b"access-control-allow-credentials", b"true"),) if config.credentials else ()
    preflight = (
        (b"access-control-allow-methods", ", ".join(config.methods).encode()),
        (b"access-control-allow-headers", ", ".join(config.headers).encode()),
        (b"access-control-max-age", str(config.max_age_s).encode()),
        (b"content-length", b"0"),
    )

    async def answer_preflight(send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": [*headers, *preflight]})
        await send({"type": "http.response.body", "body": b""})

    def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        headers = [_VARY]
        origin = b""
        asks = False
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"access-control-request-method":
                asks = True
        if origin in origins:
            headers += [(b"access-control-allow-origin", origin), *credentials]
            if asks and scope["method"] == "OPTIONS":
                return answer_preflight(send, headers)
            headers.append((b"access-control-expose-headers", EXPOSED))

        def send_on(message: MutableMapping[str, Any]) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            return send(message)

        return app(scope, receive, send_on)

    return answer
