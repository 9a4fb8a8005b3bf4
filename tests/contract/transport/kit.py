"""Servers of raw bytes for the suites of the transport to providers: the test says what goes over each connection.

A `Listener` accepts; each connection is a `Peer`, handed out in the order they came. `Net` makes both sides and sees at
the end that nothing was left behind.
"""

import asyncio
import gc
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from golive.models.http_connection import HttpResponse
from golive.models.transport_http import HttpTransport

LIMIT_S = 30.0
"""What hangs fails after this."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def until(condition: Callable[[], bool]) -> None:
    """Returns once `condition` holds."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.001)


async def turns(count: int = 20) -> None:
    """Lets the event loop go round, sockets included."""
    for _ in range(count):
        await asyncio.sleep(0)


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> tuple[bytes, bytes]:
        """Head and body of the next request."""
        head = await self.head()
        found = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
        assert found is not None
        async with asyncio.timeout(LIMIT_S):
            return head, await self.reader.readexactly(int(found[1]))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def send_cut(self, data: bytes, size: int) -> None:
        """Sends so that pieces of `size` bytes arrive one by one."""
        for start in range(0, len(data), size):
            self.writer.write(data[start : start + size])
            await turns(3)

    async def answer(self, data: bytes = OK) -> bytes:
        """Reads a request, answers it, and returns the request's body."""
        _, body = await self.request()
        self.send(data)
        return body

    async def gone(self) -> None:
        """Returns once the client has closed this connection."""
        async with asyncio.timeout(LIMIT_S):
            with suppress(ConnectionError):
                while await self.reader.read(1_048_576):
                    pass

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Closes with a reset instead of an end."""
        raw: Any = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Listener:
    """Accepts connections and hands them to the test."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.url = ""
        self.port = 0
        self._handed = 0

    async def start(self, host: str, tls: ssl.SSLContext | None) -> asyncio.Server:
        """Listens on a free port of `host`."""
        server = await asyncio.start_server(self._accept, host, 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{self.port}/v1"
        return server

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(Peer(reader, writer))

    @property
    def accepted(self) -> int:
        return len(self.peers)

    async def peer(self) -> Peer:
        """The next connection."""
        await until(lambda: len(self.peers) > self._handed)
        self._handed += 1
        return self.peers[self._handed - 1]


class Names:
    """Stands before the event loop's resolver: the names it knows stand for addresses of this machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, known: Mapping[str, list[tuple[str, int]]]) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.getaddrinfo
        self._known = known
        self.asked: list[tuple[str, int]] = []
        self.answered = asyncio.Event()
        """Cleared, no question is answered."""
        self.answered.set()
        monkeypatch.setattr(loop, "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, name: str, port: int, **options: Any) -> Any:
        if name not in self._known:  # such as the addresses uvloop asks for
            return await self._real(name, port, **options)
        self.asked.append((name, port))
        await self.answered.wait()
        found = []
        for address in self._known[name]:
            found += await self._real(*address, **options)
        return found


class Net:
    """Both sides of one test, and what the event loop complained of meanwhile."""

    def __init__(self) -> None:
        self.transports: list[HttpTransport] = []
        self.listeners: list[Listener] = []
        self.servers: list[asyncio.Server] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.complaints: list[Mapping[str, Any]] = []

    def client(self, made: HttpTransport | None = None, **options: Any) -> HttpTransport:
        """A transport that is closed, and found empty, at the end of the test."""
        self.transports.append(made or HttpTransport(**options))
        return self.transports[-1]

    async def listen(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Listener:
        listener = Listener()
        self.servers.append(await listener.start(host, tls))
        self.listeners.append(listener)
        return listener

    def ask(
        self,
        client: HttpTransport,
        url: str,
        body: bytes = b"hi",
        headers: Mapping[str, str] | None = None,
        connect_s: float = LIMIT_S,
    ) -> "asyncio.Task[HttpResponse]":
        """Begins a request."""
        sending = client.send("POST", url, headers or {}, body, connect_s=connect_s)
        task = asyncio.get_running_loop().create_task(sending)
        self.tasks.append(task)
        return task

    async def body(self, client: HttpTransport, url: str) -> bytes:
        """Asks, and reads a small answer whole."""
        async with asyncio.timeout(LIMIT_S):
            response = await self.ask(client, url)
            return await response.read(65_536)


@asynccontextmanager
async def network() -> AsyncIterator[Net]:
    """A `Net` that is put away at the end.

    Raises:
        AssertionError: a connection was left in a pool, or the event loop had something to complain of.
    """
    gc.freeze()  # what was there before is no garbage of this test's, and is not looked through in the end
    net = Net()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: net.complaints.append(context))
    yield net
    for client in net.transports:
        await client.close()
        assert client.open_connections == 0
    for task in net.tasks:
        task.cancel()
    if net.tasks:
        await asyncio.wait(net.tasks)
    for listener in net.listeners:
        for peer in listener.peers:
            peer.writer.transport.abort()
    for server in net.servers:
        server.close()
    failed = [task.exception() for task in net.tasks if not task.cancelled()]
    net.tasks.clear()
    del failed
    await turns()
    gc.collect()
    assert net.complaints == []
