"""One HTTP/1.1 connection to a provider: bytes of a request out, httptools' callbacks into a response.

Owns framing, back pressure both ways, and what a broken connection is called. Leaves addresses, the pool and
connecting to `transport_http.py`.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from golive.models.transport import BodyTooLong, Disconnected, ProtocolBroken, TransportError, in_words

READ_AHEAD_BYTES = 524_288
"""Body bytes held for a slow reader before the socket is no longer read."""
MAX_HEAD_BYTES = 65_536
"""Longest head of an answer."""
PIECE_BYTES = 262_144
"""A longer request is written in pieces of this size, each when the one before has left."""


class HttpResponse:
    """See `transport.Response`."""

    __slots__ = ("_connection", "_error", "_headers", "_parts", "_size", "_waiter", "_whole", "status")

    def __init__(self, connection: "HttpConnection") -> None:
        self._connection = connection
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: TransportError | None = None
        self._whole = False
        self.status = 0
        """0 until the head has come."""

    def header(self, name: str) -> str | None:
        value = self._headers.get(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    async def head(self) -> None:
        """Returns once status and headers are there.

        Raises:
            Disconnected, ProtocolBroken: they will not come.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def chunk(self) -> bytes:
        if self._parts:
            data = self._take()
            if not self._whole:
                # More had come meanwhile, so this read did not suspend: without a pause here a fast provider would keep
                # the loop to itself (measured over 100 bursts: p99 1,540 ms against 96 ms).
                await asyncio.sleep(0)
            return data
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._whole:
                return b""
            await self._wait()
        return self._take()

    async def read(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while data := await self.chunk():
            size += len(data)
            if size > limit:
                raise BodyTooLong(f"the answer is longer than {limit} bytes")
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        if not self._whole:  # a whole one has given its connection back already
            self._connection.abort()

    def _take(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        self._connection.read_on()
        return data

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    # ---- told by the connection

    def begin(self, status: int, headers: dict[bytes, bytes]) -> None:
        """The head is there."""
        self.status = status
        self._headers = headers
        self._wake()

    def add(self, data: bytes) -> bool:
        """A piece of the body; True when enough is held that reading should pause."""
        self._parts.append(data)
        self._size += len(data)
        self._wake()
        return self._size > READ_AHEAD_BYTES

    def end(self) -> None:
        """The body is whole."""
        self._whole = True
        self._wake()

    def fail(self, error: TransportError) -> None:
        """Nothing more will come; what came is still read before this is raised."""
        if not self._whole and self._error is None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class HttpConnection(asyncio.Protocol):
    """Carries one request at a time; `on_free` is told when it may carry the next, `on_lost` when it is gone."""

    def __init__(
        self, on_free: Callable[["HttpConnection"], None], on_lost: Callable[["HttpConnection"], None]
    ) -> None:
        self._on_free = on_free
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._response: HttpResponse | None = None
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._in_head = False
        self._interim = False
        self._to_the_end = False
        self._soiled = False
        self._sending = False
        self._reading_paused = False
        self._writable: asyncio.Future[None] | None = None
        self.closed = False
        """Carries no further request."""
        self.idle_since = 0.0
        """On the loop's clock; kept by the pool."""

    # ---- asking

    async def ask(self, head: bytes, body: bytes) -> HttpResponse:
        """Sends a request; returns with the head of its answer.

        Raises:
            Disconnected, ProtocolBroken: the connection broke before.
        """
        response = self._response = HttpResponse(self)
        self._to_the_end = False
        try:
            if len(body) <= PIECE_BYTES:
                self._transport.write(head + body)
            else:
                await self._write_long(head, body, response)
            await response.head()
        except BaseException:
            self.abort()
            raise
        return response

    async def _write_long(self, head: bytes, body: bytes, response: HttpResponse) -> None:
        """A provider may answer (refuse) before it has read everything; the rest is not sent then."""
        self._sending = True
        self._transport.write(head)
        rest = memoryview(body)
        while rest and not response.status and not self.closed:
            self._transport.write(bytes(rest[:PIECE_BYTES]))
            rest = rest[PIECE_BYTES:]
            if self._writable is not None:
                await self._writable
            else:
                await asyncio.sleep(0)
        self._sending = bool(rest)

    def abort(self) -> None:
        """Closes the connection at once."""
        if not self.closed:
            self.closed = True
            self._transport.abort()

    def read_on(self) -> None:
        """The reader has taken what was held."""
        if self._reading_paused:
            self._reading_paused = False
            if not self.closed:
                self._transport.resume_reading()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not derive from asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._ended(exc)
        self.resume_writing()
        self._on_lost(self)

    def eof_received(self) -> None:
        self.closed = True  # by the event loop, on return
        self._ended(None)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._response is None:
            self.abort()  # nothing was asked
            return
        if self._in_head or not self._response.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken("it wants to speak another protocol")
        except httptools.HttpParserError as error:
            self._broken(str(error))
        else:
            if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
                self._broken(f"the head of its answer is longer than {MAX_HEAD_BYTES} bytes")

    def _broken(self, words: str) -> None:
        response = self._response
        if response is not None:
            response.fail(Disconnected(words) if response.status else ProtocolBroken(words))
        self._soiled = True
        self.abort()

    def _ended(self, exc: Exception | None) -> None:
        """The other side will send nothing more."""
        response, self._response = self._response, None
        if response is None:
            return
        if exc is not None:
            response.fail(Disconnected(in_words(exc)))
        elif not response.status:
            response.fail(Disconnected("the server closed the connection without an answer"))
        elif self._to_the_end:
            response.end()
        else:
            response.fail(Disconnected("the connection ended before the body did"))

    # ---- httptools' callbacks

    def on_message_begin(self) -> None:
        self._headers = {}
        self._head_bytes = 0
        self._in_head = True
        if self._response is None or self._response.status:
            self._soiled = True  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._soiled or self._response is None:
            return
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if not self._interim:
            headers = self._headers
            self._to_the_end = b"content-length" not in headers and b"transfer-encoding" not in headers
            self._response.begin(status, headers)

    def on_body(self, data: bytes) -> None:
        if self._response is not None and not self._soiled and self._response.add(data) and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        response, self._response = self._response, None
        if response is None or self._soiled:
            self.abort()
            return
        response.end()
        if self._sending or not self._parser.should_keep_alive():
            self.closed = True
            self._transport.close()
        else:
            self.read_on()
            self._on_free(self)
