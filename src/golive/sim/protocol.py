"""One HTTP/1.1 connection: parses requests with httptools, writes answers, and breaks off in every way a network does.

Knows nothing of the dialect. A request is handed over whole; the answer is written by whoever got it.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import httptools
from msgspec import Struct

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_CONNECTIONS = 20_000
_LINGER_ZERO = struct.pack("ii", 1, 0)
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class Request(Struct):
    """A request, whole. Header names are lower case; `query` is still encoded; `place` as in `server.py`."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    place: str = ""


Handler = Callable[["Connection", Request], None]
Gate = Callable[[Request], bool]
"""Asked when the headers are there: True means the connection is reset without a word."""


class Connection(asyncio.Protocol):
    """A client's connection.

    `on_gone` is called once if the connection ends during an answer, with True if the client ended it; `on_drain` when
    the client reads again.
    """

    def __init__(self, handler: Handler, gate: Gate, connections: dict["Connection", None]) -> None:
        self._handler = handler
        self._gate = gate
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._request: Request | None = None
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._keep_alive = True
        self.closed = False
        self.answering = False
        self.paused = False
        self.on_gone: Callable[[bool], None] | None = None
        self.on_drain: Callable[[], None] | None = None

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not derive from asyncio's
        if len(self._connections) >= MAX_CONNECTIONS:
            self.reset()
            return
        self._connections[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        by_client, self.closed = not self.closed, True
        self._connections.pop(self, None)
        gone, self.on_gone, self.on_drain = self.on_gone, None, None
        if gone is not None:
            gone(by_client)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.on_drain is not None:
            self.on_drain()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        if self.answering:  # pipelining: no client of ours does it, and an end is clearer than silence
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.respond(400, b"Upgrade is not supported.", content_type=b"text/plain")
            self.close()
        except httptools.HttpParserError:
            if not self.closed:
                self._keep_alive = False
                self.respond(400, b"This is not an HTTP/1.1 request.", content_type=b"text/plain")

    # ---- httptools callbacks

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body, self._body_bytes, self._request = b"", {}, [], 0, None

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        self._request = Request(self._parser.get_method().decode("latin-1"), path, query, self._headers)
        self._keep_alive = self._parser.should_keep_alive()
        if self._gate(self._request):
            self.reset()
        elif self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes <= MAX_BODY_BYTES:
            self._body.append(body)

    def on_message_complete(self) -> None:
        request = self._request
        if self.closed or request is None:
            return
        if self.answering:
            self.close()
            return
        if self._body_bytes > MAX_BODY_BYTES:
            self._keep_alive = False
            self.respond(413, b"The body is larger than %d bytes." % MAX_BODY_BYTES, content_type=b"text/plain")
            return
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self.answering = True
        self._handler(self, request)

    # ---- answering

    def respond(
        self, status: int, body: bytes, *, headers: bytes = b"", content_type: bytes = b"application/json",
        announce: int | None = None,
    ) -> None:  # fmt: skip
        """A whole answer. `headers` are further header lines, each ended by CRLF; `announce` lies about the length."""
        if self.closed:
            return
        self._transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n%s%s\r\n%s"
            % (
                status,
                _REASONS.get(status, b"Unknown"),
                content_type,
                len(body) if announce is None else announce,
                headers,
                b"" if self._keep_alive else b"connection: close\r\n",
                body,
            )
        )
        if announce is None:
            self.answered()

    def stream_head(self, headers: bytes, content_type: bytes) -> bytes:
        """The head of a streamed answer; to be written by `write` together with the first chunk, or alone."""
        return (
            b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n%s%s\r\n"
            % (content_type, headers, b"" if self._keep_alive else b"connection: close\r\n")
        )

    def write(self, data: bytes) -> None:
        """Bytes as they are."""
        if not self.closed:
            self._transport.write(data)

    def end_stream(self) -> None:
        """The last chunk of a streamed answer."""
        if not self.closed:
            self._transport.write(b"0\r\n\r\n")
            self.answered()

    def answered(self) -> None:
        """The answer is written: the connection is free for the next request, or ends."""
        self.answering = False
        self.on_gone = self.on_drain = None
        if not self._keep_alive:
            self.close()

    def close(self) -> None:
        """Ends the connection after what was written: FIN."""
        if self.closed:
            return
        self.closed = True
        self._transport.close()

    def reset(self) -> None:
        """Ends the connection at once with RST; what was not sent yet is lost."""
        if self.closed:
            return
        self.closed = True
        raw: Any = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)
