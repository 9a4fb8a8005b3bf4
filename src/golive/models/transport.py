"""The seam to the network: one request out, bytes back. Everything above it speaks of limits, dialects and money.

Owns connections, their pool, and what can go wrong with them. Leaves meaning (status codes, JSON, SSE) and all limits
but the one on connecting to `provider.py`. The simulated world puts its own implementation here.
"""

import errno
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Protocol


class TransportError(Exception):
    """The network failed. `sent` says whether the request may have reached the other side (and so may be billed)."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class ConnectFailed(TransportError):
    """No connection: refused, no route, unknown host, TLS refused. Nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)


class ConnectTimedOut(ConnectFailed):
    """No connection within the limit, waiting for a free one in the pool included."""


class Disconnected(TransportError):
    """The connection broke after the request began to be sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class ProtocolBroken(Disconnected):
    """What came back is not HTTP."""


class BodyTooLong(Disconnected):
    """The body is longer than the reader allowed."""


class Response(Protocol):
    """An answer whose head has come and whose body is still on its way."""

    status: int

    def header(self, name: str) -> str | None:
        """A header's value; names in any case."""
        ...

    async def chunk(self) -> bytes:
        """The next piece of the body, as much as has come; b"" at its end. Gives other tasks their turn.

        Raises:
            Disconnected: the body broke off.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            Disconnected: the body broke off.
            BodyTooLong: there is more than `limit` bytes of it.
        """
        ...

    def close(self) -> None:
        """Gives the connection back if the body was read whole; closes it at once otherwise. May be called twice."""
        ...


class Transport(Protocol):
    """How requests leave the process. Implementations: `transport_http.py`, and the simulated network of tests/sim."""

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, connect_s: float
    ) -> Response:
        """Sends a request and returns when the answer's head has come. Follows no redirect.

        Args:
            connect_s: longest wait for a connection, seconds; the wait for the answer is the caller's to limit.

        Raises:
            ConnectFailed: no connection; ConnectTimedOut: not within `connect_s`.
            Disconnected: the connection broke before the answer's head.
        """
        ...

    async def close(self) -> None:
        """Closes every connection."""
        ...


def in_words(error: BaseException) -> str:
    """What happened, in the system's own words where it has any: "connection refused" and not a library's sentence."""
    if isinstance(error, ssl.SSLError):
        return str(getattr(error, "verify_message", "") or error.reason or error)[:200]
    if isinstance(error, socket.gaierror):
        return str(error.strerror).lower()[:200]
    if isinstance(error, ConnectionResetError):  # an event loop may make one without a number
        return os.strerror(errno.ECONNRESET).lower()
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    return (str(error) or type(error).__name__)[:200]
