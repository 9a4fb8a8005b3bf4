"""Did a page of this very server make this request? What browsers say of themselves, and scripts cannot change.

`Sec-Fetch-Site` (Fetch Metadata) where there is one, else `Origin`. A request that says neither was made by no browser
of these days. Behind a proxy the server's own address is the one that it is told (`server.public_url`): what a request
names as its Host, or a proxy as forwarded, is nobody's word.

Source: https://www.w3.org/TR/fetch-metadata/, https://fetch.spec.whatwg.org/#origin-header
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
ELSEWHERE = (b"cross-site", b"same-site")


class OwnOrigin:
    """Knows pages of this server. `public_url`: where browsers find it; None: where they ask."""

    def __init__(self, public_url: str | None = None) -> None:
        self._public = None if public_url is None else public_url.rstrip("/")

    def named(self, headers: Mapping[bytes, bytes]) -> str | None:
        """The origin that the request names, if it is this server's: its host is the one that was asked, over HTTPS, or
        over plain HTTP on this machine. None otherwise."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        try:
            parts, asked = urlsplit(origin), urlsplit(self._public or f"//{_host(headers)}")
            same = bool(parts.hostname) and _place(parts.hostname, parts.port, parts.scheme) == _place(
                asked.hostname, asked.port, parts.scheme
            )
        except ValueError:
            return None
        if not same or parts.path or parts.query or (self._public is not None and parts.scheme != asked.scheme):
            return None
        return origin if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK) else None

    def asked(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str | None:
        """The origin that the request came to, if a browser can have a session there: HTTPS, or on this machine."""
        if self._public is not None:
            return self._public
        host = _host(headers)
        try:
            urlsplit(f"//{host}").port  # noqa: B018 - raises where it is none
        except ValueError:
            return None
        if not host or set(host) & set("/@?#\\ "):
            return None
        if scope["scheme"] == "https":
            return f"https://{host}"
        return f"http://{host}" if self.local(scope, headers) else None

    def local(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> bool:
        """Whether browser and server are on one machine, and speak plain HTTP with nobody between."""
        if self._public is not None and not self._public.startswith("http:"):
            return False
        host = _host(headers)
        name = host.rpartition(":")[0] or host
        client = scope.get("client")
        near = client is not None and client[0] in LOOPBACK
        return scope["scheme"] == "http" and near and name.strip("[]") in LOOPBACK

    def counts(self, method: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a cookie counts as a credential of this request.

        What changes something must come from a page of this server. What only reads may also be typed into the address
        bar, and must not come from another site.
        """
        site = headers.get(b"sec-fetch-site")
        if b"origin" in headers and self.named(headers) is None:
            return False
        if method in SAFE_METHODS:
            return site in (None, b"same-origin", b"none")
        return site == b"same-origin" or (site is None and b"origin" in headers)


def _host(headers: Mapping[bytes, bytes]) -> str:
    return headers.get(b"host", b"").decode("latin-1")


def _place(host: str | None, port: int | None, scheme: str) -> tuple[str | None, int]:
    return host, port or (443 if scheme == "https" else 80)
