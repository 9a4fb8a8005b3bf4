"""One HTTP/1.1 connection to a provider: bytes of a request out, httptools' callbacks into a response.

Owns framing, back pressure both ways, and what a broken connection is called. Leaves addresses, the pool and
connecting to `transport_http.py`.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import cast

import httptools

from golive.models.transport import BodyTooLong, Disconnected, ProtocolBroken, TransportError, in_words

READ_AHEAD_BYTES = 524_288
"""Body bytes held for a slow reader before the socket is no longer read."""
PIECE_OVERHEAD_BYTES = 56
"""What holding one piece costs beside its bytes; so a provider of tiny pieces is held to the same memory."""
MAX_HEAD_BYTES = 65_536
"""Longest head of an answer; also the most that may come between two pieces of its body (framing, trailers)."""
PIECE_BYTES = 262_144
"""A longer request is written in pieces of this size, each when the one before has left."""


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return name.lower().encode("latin-1")


class HttpResponse:
    """See `transport.Response`."""

    __slots__ = ("_connection", "_error", "_headers", "_parts", "_size", "_waiter", "status", "whole")

    def __init__(self, connection: "HttpConnection") -> None:
        self._connection = connection
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: TransportError | None = None
        self.whole = False
        """The body has come to its end; its connection carries it no longer."""
        self.status = 0
        """0 until the head has come."""

    def header(self, name: str) -> str | None:
        value = self._headers.get(_key(name))
        return None if value is None else value.decode("latin-1").strip(" \t")

    async def head(self) -> None:
        """Returns once status and headers are there.

        Raises:
            Disconnected, ProtocolBroken: they will not come.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self.wait()

    async def chunk(self) -> bytes:
        if self._parts:
            data = self._take()
            if not self.whole:
                # More had come meanwhile, so this read did not suspend: without a pause here a fast provider would keep
                # the loop to itself (measured over 100 bursts: p99 1,540 ms against 96 ms).
                await asyncio.sleep(0)
            return data
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self.whole:
                return b""
            await self.wait()
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
        if not self.whole:  # a whole one has given its connection back already
            self._connection.abort()

    def _take(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        if not self.whole:  # the connection of a whole one may carry somebody else's by now
            self._connection.read_on()
        return data

    async def wait(self) -> None:
        """Returns after the next `wake`."""
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
        self.wake()

    def add(self, data: bytes) -> bool:
        """A piece of the body; True when enough is held that reading should pause."""
        self._parts.append(data)
        self._size += len(data) + PIECE_OVERHEAD_BYTES
        self.wake()
        return self._size > READ_AHEAD_BYTES

    def end(self) -> None:
        """The body is whole."""
        self.whole = True
        self.wake()

    def fail(self, error: TransportError) -> None:
        """Nothing more will come; what came is still read before this is raised."""
        if not self.whole and self._error is None:
            self._error = error
            self.wake()

    def wake(self) -> None:
        """Lets whoever waits look again."""
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
        # What simple servers send, and cannot be read in two ways.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
        self._transport: asyncio.Transport
        self._response: HttpResponse | None = None
        """The one under way; None again once it is whole or has failed."""
        self._headers: dict[bytes, bytes] = {}
        self._barren_bytes = 0
        """What came since the last piece of a body."""
        self._interim = False
        self._asked = self._unasked = False
        """Whether we have ever asked; and the other side spoke when it was not asked, as no HTTP server does."""
        self._to_the_end = False
        self._sending = False
        self._reading_paused = False
        self._writing_paused = False
        self.closed = False
        """Carries no further request."""
        self.idle_since = 0.0
        """On the loop's clock; kept by the pool."""

    # ---- asking

    def usable(self) -> bool:
        """Whether it can carry a request, as far as is known."""
        return not self.closed and not self._transport.is_closing()

    async def ask(self, head: bytes, body: bytes) -> HttpResponse:
        """Sends a request; returns with the head of its answer.

        Raises:
            Disconnected, ProtocolBroken: the connection broke before.
        """
        if self._unasked:
            self.abort()
            raise ProtocolBroken("the server spoke before it was asked")
        self._asked = True
        response = self._response = HttpResponse(self)
        self._to_the_end = False
        self._barren_bytes = 0
        try:
            if len(body) <= PIECE_BYTES:
                self._transport.write(head + body)
            else:
                await self._write_long(head, body, response)
            await response.head()
        except BaseException:
            response.close()  # and not the connection: after a whole answer it may carry another request
            raise
        return response

    async def _write_long(self, head: bytes, body: bytes, response: HttpResponse) -> None:
        """A provider may answer (refuse) before it has read everything; the rest is not sent then."""
        self._sending = True
        self._transport.write(head)
        rest = memoryview(body)
        while rest and not response.status and not self.closed:
            if self._writing_paused:
                await response.wait()
            else:
                self._transport.write(bytes(rest[:PIECE_BYTES]))
                rest = rest[PIECE_BYTES:]
                await asyncio.sleep(0)
        self._sending = bool(rest)

    def abort(self, error: TransportError | None = None) -> None:
        """Closes the connection at once; who still waits for the answer is told `error`."""
        response, self._response = self._response, None
        if response is not None:
            response.fail(error or Disconnected("the connection was closed on this side"))
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
        self._on_lost(self)

    def eof_received(self) -> None:
        self._ended(None)
        self.abort()  # closing would first wait until the other side has read what was asked

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._response is not None:
            self._response.wake()

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            if self._asked:
                self.abort()
            self._unasked = True
            return
        self._barren_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken("it wants to speak another protocol")
        except httptools.HttpParserError as error:
            self._broken(str(error))
        else:
            if response.whole:
                # Only now, so that what came behind the answer was looked at before anybody asks again.
                if not self.closed:
                    self._on_free(self)
            elif self._barren_bytes > MAX_HEAD_BYTES:
                what = "framing" if response.status else "head"
                self._broken(f"the {what} of its answer is longer than {MAX_HEAD_BYTES} bytes")

    def _broken(self, words: str) -> None:
        began = self._response is not None and self._response.status
        self.abort(Disconnected(words) if began else ProtocolBroken(words))

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
        if self._response is None:
            self.abort()  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        headers, self._headers = self._headers, {}  # trailers go into the new one, and nowhere
        response = self._response
        if response is None:
            return
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if status < 100:
            self._broken(f"{status:03} is no status")
        elif not self._interim:
            coding = headers.get(b"transfer-encoding")
            self._to_the_end = b"content-length" not in headers and (
                coding is None or coding.strip().lower() == b"identity"
            )
            response.begin(status, headers)

    def on_body(self, data: bytes) -> None:
        self._barren_bytes = 0
        if self._response is not None and self._response.add(data) and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._interim:
            return
        response, self._response = self._response, None
        if response is None:
            return
        self._headers = {}
        response.end()
        if self._sending or self._transport.get_write_buffer_size() or not self._parser.should_keep_alive():
            self.abort()
        else:
            self.read_on()
