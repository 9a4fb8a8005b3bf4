"""Did a page of this very server make this request? What browsers say of themselves, and scripts cannot change.

`Sec-Fetch-Site` (Fetch Metadata) where there is one, else `Origin`. A request that says neither was made by no browser
of these days.

Source: https://www.w3.org/TR/fetch-metadata/, https://fetch.spec.whatwg.org/#origin-header
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def own_origin(headers: Mapping[bytes, bytes]) -> str | None:
    """The origin that the request names, if it is this server's: its host is the one that was asked, over HTTPS, or
    over plain HTTP on this machine. None otherwise."""
    origin = headers.get(b"origin", b"").decode("latin-1")
    try:
        parts, asked = urlsplit(origin), urlsplit(f"//{headers.get(b'host', b'').decode('latin-1')}")
        same = bool(parts.hostname) and _place(parts.hostname, parts.port, parts.scheme) == _place(
            asked.hostname, asked.port, parts.scheme
        )
    except ValueError:
        return None
    if not same or parts.path or parts.query:
        return None
    return origin if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK) else None


def _place(host: str | None, port: int | None, scheme: str) -> tuple[str | None, int]:
    return host, port or (443 if scheme == "https" else 80)


def from_own_page(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a cookie counts as a credential of this request.

    What changes something must come from a page of this server. What only reads may also be typed into the address bar,
    and must not come from another site.
    """
    site = headers.get(b"sec-fetch-site")
    if b"origin" in headers and own_origin(headers) is None:
        return False
    if method in SAFE_METHODS:
        return site in (None, b"same-origin", b"none")
    return site == b"same-origin" or (site is None and b"origin" in headers)
