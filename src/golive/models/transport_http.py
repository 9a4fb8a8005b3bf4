"""The transport over plain HTTP/1.1: a bounded pool of kept-alive connections, and how they are made.

Owns addresses, names, TLS and the pool. Measured in bench/ beside a client library: a relayed request costs a fifth
less CPU, and the server ten megabytes less memory.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohappyeyeballs

from golive.core.tasks import Tasks
from golive.models.http_connection import HttpConnection, HttpResponse
from golive.models.transport import ConnectFailed, ConnectTimedOut, in_words

MAX_CONNECTIONS = 4_096
"""Connections at once to all providers together; one more call waits (within its connect limit)."""
KEEPALIVE_S = 30.0
"""An idle connection is kept this long; shorter than servers usually do, so that they seldom close one first."""
SWEEP_S = 10.0
"""How often idle connections are looked at."""
NAMES_S = 10.0
"""How long a resolved name is used again."""
NEXT_ADDRESS_S = 0.25
"""A host's next address is tried beside the one before after this (RFC 8305)."""
MAX_URLS = 1_024
"""Parsed addresses remembered; there is one per provider and path."""

_FIXED = b"User-Agent: golive\r\nAccept-Encoding: identity\r\n"
_BREAKS = frozenset("\r\n\0")
Infos = list[tuple[Any, ...]]


class _Host(NamedTuple):
    name: str
    port: int
    tls: bool


class _Target(NamedTuple):
    """An address, taken apart."""

    host: _Host
    line: bytes
    """Request target and the headers that are the same for every request."""


class HttpTransport:
    """See `transport.Transport`. Serves one event loop."""

    def __init__(self, *, max_connections: int = MAX_CONNECTIONS, tls: ssl.SSLContext | None = None) -> None:
        """Takes `tls` instead of the system's certificates, where a caller trusts others."""
        self._max = max_connections
        self._tls = tls
        self._targets: dict[str, _Target] = {}
        self._headers: tuple[Mapping[str, str], bytes] = ({}, b"")
        self._idle: dict[_Host, deque[HttpConnection]] = {}
        self._of: dict[HttpConnection, _Host] = {}
        self._making = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._names: dict[_Host, tuple[float, Infos]] = {}
        self._resolving: dict[_Host, asyncio.Task[Infos | OSError]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._tasks = Tasks("transport")

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, connect_s: float
    ) -> HttpResponse:
        target = self._targets.get(url) or self._target(url)
        content = body or b""
        head = b"%b %b%bContent-Length: %d\r\n\r\n" % (
            method.encode(), target.line, self._encoded(headers), len(content),
        )  # fmt: skip
        connection = self._kept(target.host) or await self._connected(target.host, connect_s)
        return await connection.ask(head, content)

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._of):
            connection.abort()
        await self._tasks.close()

    # ---- what is asked

    def _target(self, url: str) -> _Target:
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise ConnectFailed(f"{url!r} is no address: {error}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConnectFailed(f"{url!r} is no address that begins with http:// or https://")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        named = parts.netloc.rpartition("@")[2]
        try:
            host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
            line = f"{path} HTTP/1.1\r\nHost: {named if named.isascii() else host}\r\n".encode("ascii")
        except UnicodeError:
            raise ConnectFailed(f"{url!r} is no address: it holds a character that must be percent-encoded") from None
        target = _Target(_Host(host, port, parts.scheme == "https"), line + _FIXED)
        if len(self._targets) < MAX_URLS:
            self._targets[url] = target
        return target

    def _encoded(self, headers: Mapping[str, str]) -> bytes:
        """The headers as they are sent; those of the request before are usually the same object."""
        last, encoded = self._headers
        if last is headers:
            return encoded
        for name, value in headers.items():
            if not _BREAKS.isdisjoint(value):
                raise ConnectFailed(f"the header {name} cannot be sent: it holds a line break")
        encoded = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()
        self._headers = (headers, encoded)
        return encoded

    # ---- the pool

    def _kept(self, host: _Host) -> HttpConnection | None:
        idle = self._idle.get(host)
        while idle:
            connection = idle.pop()
            if not connection.closed:
                return connection
        return None

    def _freed(self, connection: HttpConnection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(self._of[connection], deque()).append(connection)
        if self._waiting:
            self._wake_next()
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep, loop)

    def _lost(self, connection: HttpConnection) -> None:
        host = self._of.pop(connection, None)
        idle = self._idle.get(host) if host is not None else None
        if idle and connection in idle:
            idle.remove(connection)
        self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        oldest = loop.time() - KEEPALIVE_S
        for idle in self._idle.values():
            while idle and idle[0].idle_since <= oldest:
                idle.popleft().abort()
        self._idle = {host: idle for host, idle in self._idle.items() if idle}
        self._sweeper = loop.call_later(SWEEP_S, self._sweep, loop) if self._idle else None

    # ---- connecting

    async def _connected(self, host: _Host, connect_s: float) -> HttpConnection:
        """A connection to `host`, new or just given back.

        Raises:
            ConnectFailed, ConnectTimedOut
        """
        limit = asyncio.timeout(connect_s)
        try:
            async with limit:
                while len(self._of) + self._making >= self._max and not self._close_one_idle():
                    await self._a_change()
                    if (kept := self._kept(host)) is not None:
                        return kept
                self._making += 1
                try:
                    return await self._connect(host)
                except BaseException:
                    self._wake_next()
                    raise
                finally:
                    self._making -= 1
        except (OSError, ssl.SSLError) as error:
            if limit.expired():
                raise ConnectTimedOut(f"no connection within {connect_s:g} s") from None
            raise ConnectFailed(in_words(error)) from None

    async def _a_change(self) -> None:
        """Returns when a connection was given back or lost."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake_next()  # the turn was ours, and we leave
            raise

    def _close_one_idle(self) -> bool:
        """Makes room: of the connections to other hosts that nobody uses, one goes."""
        for idle in self._idle.values():
            if idle:
                connection = idle.popleft()
                self._of.pop(connection, None)
                connection.abort()
                return True
        return False

    async def _connect(self, host: _Host) -> HttpConnection:
        loop = asyncio.get_running_loop()
        raw = await aiohappyeyeballs.start_connection(
            await self._addresses(host), happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1, loop=loop
        )
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            _, connection = await loop.create_connection(
                lambda: HttpConnection(self._freed, self._lost),
                sock=raw,
                ssl=self._context() if host.tls else None,
                server_hostname=host.name if host.tls else None,
            )
        except BaseException:
            raw.close()
            raise
        self._of[connection] = host
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    async def _addresses(self, host: _Host) -> Infos:
        """What the host's name stands for; those who ask at once share one question."""
        loop = asyncio.get_running_loop()
        known = self._names.get(host)
        if known is not None and known[0] > loop.time():
            return known[1]
        asked = self._resolving.get(host)
        if asked is None:
            asked = self._resolving[host] = self._tasks.start(self._resolve(host), host.name)
        infos = await asyncio.shield(asked)
        if isinstance(infos, OSError):
            raise infos
        return infos

    async def _resolve(self, host: _Host) -> Infos | OSError:
        loop = asyncio.get_running_loop()
        try:
            infos: Infos = await loop.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
            self._names[host] = (loop.time() + NAMES_S, infos)
            return infos
        except OSError as error:
            return error
        finally:
            del self._resolving[host]
