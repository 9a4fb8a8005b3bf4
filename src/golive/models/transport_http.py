"""The transport over plain HTTP/1.1: a bounded pool of kept-alive connections, and how they are made.

Owns addresses, names, TLS and the pool. Why it is our own: ARCHITECTURE.md, point 6.
"""

import asyncio
import errno
import re
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
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
_SENDABLE = re.compile(r"[!-~]+")
"""What the first line and the host may hold."""
_USER = re.compile(r"[^/?#]*//[^/?#]*@")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\r\n\0\ud800-\udfff]*")
_CLOSED = "this server is shutting down"
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
        self._waiting: deque[tuple[_Host, asyncio.Future[HttpConnection | None]]] = deque()
        self._names: dict[_Host, tuple[float, Infos]] = {}
        self._resolving: dict[_Host, asyncio.Task[Infos | Exception]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._tasks = Tasks("transport")
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Connections there are or that are being made, idle ones included."""
        return len(self._of) + self._making

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
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while (waits := self._next_waiting()) is not None:
            waits[1].set_exception(ConnectFailed(_CLOSED))
        for connection in list(self._of):
            connection.abort()
        await self._tasks.close()
        for _ in range(2):
            await asyncio.sleep(0)  # the event loop closes sockets in its next turn, and those of TLS in the one after

    # ---- what is asked

    def _target(self, url: str) -> _Target:
        if _USER.match(url):  # nor is it shown
            raise ConnectFailed("a user or password in an address is not sent; the setting for a credential is api_key")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConnectFailed(f"{url!r} is no address: {error}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConnectFailed(f"{url!r} is no address that begins with http:// or https://")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            host = parts.hostname.encode("idna").decode()
        except UnicodeError:
            raise ConnectFailed(f"{url!r} is no address: a label of its host is empty or too long") from None
        if not (url.isprintable() and _SENDABLE.fullmatch(path) and _SENDABLE.fullmatch(host)):
            raise ConnectFailed(f"{url!r} is no address: it holds a character that must be percent-encoded")
        usual = 443 if parts.scheme == "https" else 80
        named = f"[{host.partition('%')[0]}]" if ":" in host else host
        if port is None or port == usual:
            port = usual
        else:
            named = f"{named}:{port}"
        line = f"{path} HTTP/1.1\r\nHost: {named}\r\n".encode()
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
            if not _TOKEN.fullmatch(name):
                raise ConnectFailed(f"the header {name!r} cannot be sent: its name holds what no name may")
            if not _VALUE.fullmatch(value):
                raise ConnectFailed(f"the header {name} cannot be sent: it holds a line break or what is no text")
        encoded = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()
        self._headers = (headers, encoded)
        return encoded

    # ---- the pool

    def _kept(self, host: _Host) -> HttpConnection | None:
        idle = self._idle.get(host)
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
        return None

    def _freed(self, connection: HttpConnection) -> None:
        """It can carry a request: that of the one who waits longest, or it is kept."""
        host = self._of[connection]
        waits = self._next_waiting()
        if waits is None:
            self._keep(connection, host)
        elif waits[0] == host:
            waits[1].set_result(connection)
        else:
            self._of.pop(connection)
            connection.abort()
            self._making += 1
            waits[1].set_result(None)

    def _keep(self, connection: HttpConnection, host: _Host) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(host, deque()).append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep, loop)

    def _lost(self, connection: HttpConnection) -> None:
        host = self._of.pop(connection, None)
        if host is None:
            return
        idle = self._idle.get(host)
        if idle and connection in idle:
            idle.remove(connection)
        self._give_place()

    def _give_place(self) -> None:
        """Where there is room for one more connection, who waits longest makes it."""
        if self.open_connections < self._max and (waits := self._next_waiting()) is not None:
            self._making += 1
            waits[1].set_result(None)

    def _next_waiting(self) -> tuple[_Host, "asyncio.Future[HttpConnection | None]"] | None:
        while self._waiting:
            waits = self._waiting.popleft()
            if not waits[1].done():
                return waits
        return None

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
                connection = await self._turn(host)
                if connection is not None:
                    return connection
                try:
                    return await self._connect(host)
                finally:
                    self._making -= 1
                    self._give_place()
        except (OSError, ValueError) as error:
            if limit.expired():
                raise ConnectTimedOut(f"no connection within {connect_s:g} s") from None
            raise ConnectFailed(in_words(error)) from None

    async def _turn(self, host: _Host) -> HttpConnection | None:
        """Waits until there is room: None lets the caller make a connection, and counts it in `_making` already.

        Who waits is served in order. Nothing is kept idle meanwhile, so a newcomer cannot be served first.
        """
        while not self._closed and self.open_connections >= self._max and not self._close_one_idle():
            turn: asyncio.Future[HttpConnection | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waits := (host, turn))
            try:
                connection = await turn
            except asyncio.CancelledError:
                with suppress(ValueError):
                    self._waiting.remove(waits)
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self._pass_on(turn.result())
                raise
            if connection is None:
                return None
            if connection.usable():
                return connection
        self._making += 1
        return None

    def _pass_on(self, connection: HttpConnection | None) -> None:
        """The turn was ours, and we leave."""
        if connection is None:
            self._making -= 1
            self._give_place()
        elif connection.usable():
            self._freed(connection)

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
        if self._shut():
            raise ConnectFailed(_CLOSED)
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
                server_hostname=host.name.rstrip(".") if host.tls else None,
            )
        except BaseException:
            raw.close()
            raise
        if self._shut():  # meanwhile
            connection.abort()
            raise ConnectFailed(_CLOSED)
        if not connection.usable():
            raise ConnectionResetError(errno.ECONNRESET, "closed before anything was asked")
        self._of[connection] = host
        return connection

    def _shut(self) -> bool:
        return self._closed

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
        await asyncio.wait([asked])  # goes on for the others when this caller is cancelled
        if asked.cancelled():
            raise ConnectFailed(_CLOSED)
        infos = asked.result()
        if isinstance(infos, Exception):
            raise infos
        return infos

    async def _resolve(self, host: _Host) -> Infos | Exception:
        loop = asyncio.get_running_loop()
        try:
            infos: Infos = await loop.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
            self._names[host] = (loop.time() + NAMES_S, infos)
            return infos
        except (OSError, ValueError) as error:
            return error
        finally:
            self._resolving.pop(host, None)
