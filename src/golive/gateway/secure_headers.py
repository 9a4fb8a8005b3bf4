"""What every answer says to browsers and caches: keep nothing, guess nothing, embed nothing, come back by HTTPS.

Owns the headers and the policies of pages. The constant ones go out with uvicorn's own, so also with answers that no
application gave; the others are added to each answer that does not say otherwise itself.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from golive.config.transport import TlsConfig
from golive.gateway.exchange import Receive, Scope, Send

Application = Callable[[Scope, Receive, Send], Awaitable[Any]]

CSP = b"content-security-policy"
NO_STORE = (b"cache-control", b"no-store")
NOTHING = (CSP, b"default-src 'none'; frame-ancestors 'none'; sandbox")
"""Of an answer that is no page: should a browser show it after all, nothing in it does anything."""

_CONSTANT = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)
_PAGE = (
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


def constant_headers(tls: TlsConfig | None) -> list[tuple[str, str]]:
    """Those of every answer of the server; `tls` is None where it speaks plain HTTP."""
    headers = list(_CONSTANT)
    if tls is not None and tls.hsts_s:
        headers.append(("strict-transport-security", f"max-age={tls.hsts_s}"))
    return headers


def page_headers(
    *, styles: Iterable[str] = (), scripts: Iterable[str] = (), forms: bool = False, asks: bool = False
) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a page: it may do what is named here and nothing else.

    Args:
        styles, scripts: the contents of its `<style>` and `<script>` elements, to the letter; their hashes are named.
        forms: whether it sends forms, to this server.
        asks: whether its scripts ask this server.
    """
    rules = ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"]
    rules.append("form-action 'self'" if forms else "form-action 'none'")
    if asks:
        rules.append("connect-src 'self'")
    for kind, contents in (("style-src", styles), ("script-src", scripts)):
        if hashes := " ".join(f"'{_hash(content)}'" for content in contents):
            rules.append(f"{kind} {hashes}")
    return ((CSP, "; ".join(rules).encode()), *_PAGE)


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def with_secure_headers(app: Application) -> Application:
    """The application, each of whose answers says that it must not be kept, and has a policy, unless it has its own."""

    # Neither function is a coroutine: every request passes the one, every piece of a stream the other.
    def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        def send_on(message: MutableMapping[str, Any]) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = message["headers"] = [*message.get("headers", ())]
                kept = policy = False
                for name, _ in headers:
                    if name == b"cache-control":
                        kept = True
                    elif name == CSP:
                        policy = True
                if not kept:
                    headers.append(NO_STORE)
                if not policy:
                    headers.append(NOTHING)
            return send(message)

        return app(scope, receive, send_on)

    return answer
