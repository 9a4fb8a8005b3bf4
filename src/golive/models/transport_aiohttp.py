"""The transport over aiohttp: one session, one bounded pool of kept-alive connections.

Measured against the alternatives in bench/; nothing outside this file knows aiohttp.
"""

import asyncio
import errno
import io
import os
import socket
import ssl
from collections.abc import Mapping

import aiohttp
from yarl import URL

from golive.models.transport import BodyTooLong, ConnectFailed, ConnectTimedOut, Disconnected, ProtocolBroken

MAX_CONNECTIONS = 4_096
"""Connections at once to all providers together; one more call waits (within its connect limit)."""
USER_AGENT = "golive"
KEEPALIVE_S = 30.0
"""An idle connection is kept this long."""
READ_BUFFER_BYTES = 262_144
"""Body bytes held for a slow reader before the socket is no longer read (aiohttp pauses at twice this)."""
MAX_URLS = 1_024
"""Parsed addresses remembered; there is one per provider and path."""
LARGE_BODY_BYTES = 1_048_576
"""From here on a body is written in pieces, so that copying it does not hold up other tasks."""


class AiohttpResponse:
    """See `transport.Response`."""

    __slots__ = ("_response", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str | None:
        return self._response.headers.get(name)

    async def chunk(self) -> bytes:
        content = self._response.content
        try:
            data = content.read_nowait()
            if not data:
                return await content.readany()
            if not content.is_eof():
                # More had come meanwhile, so this read did not suspend: without a pause here a fast provider would keep
                # the loop to itself (measured over 100 bursts: p99 1,540 ms against 96 ms).
                await asyncio.sleep(0)
            return data
        except (aiohttp.ClientError, OSError) as error:
            raise Disconnected(in_words(error)) from None

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
        # aiohttp gives the connection back by itself at the end of the body; then this does nothing.
        self._response.close()


class AiohttpTransport:
    """See `transport.Transport`. The session is made on first use, inside the running loop."""

    def __init__(self, *, max_connections: int = MAX_CONNECTIONS) -> None:
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER_BYTES,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self._session

    def _timeout(self, connect_s: float) -> aiohttp.ClientTimeout:
        timeout = self._timeouts.get(connect_s)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=connect_s)
            if len(self._timeouts) < MAX_URLS:
                self._timeouts[connect_s] = timeout
        return timeout

    def _url(self, url: str) -> URL:
        parsed = self._urls.get(url)
        if parsed is None:
            parsed = URL(url)
            if len(self._urls) < MAX_URLS:
                self._urls[url] = parsed
        return parsed

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, connect_s: float
    ) -> AiohttpResponse:
        session = self._session or self._open()
        data = io.BytesIO(body) if body is not None and len(body) >= LARGE_BODY_BYTES else body
        try:
            response = await session.request(
                method, self._url(url), headers=headers, data=data, allow_redirects=False,
                timeout=self._timeout(connect_s),
            )  # fmt: skip
        except aiohttp.ConnectionTimeoutError:
            raise ConnectTimedOut(f"no connection within {connect_s:g} s") from None
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise ConnectFailed(in_words(error)) from None
        except aiohttp.ClientResponseError as error:
            raise ProtocolBroken(in_words(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Disconnected(in_words(error)) from None
        return AiohttpResponse(response)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def in_words(error: BaseException) -> str:
    """What happened, in the system's own words where it has any: "connection refused" and not aiohttp's sentence."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientPayloadError):
        if not isinstance(error.__cause__, OSError):
            return "the connection ended before the body did"
        cause = error.__cause__
    if isinstance(cause, ssl.SSLError):
        return str(getattr(cause, "verify_message", "") or cause.reason or cause)[:200]
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
        return os.strerror(cause.errno).lower()
    if isinstance(cause, socket.gaierror):
        return str(cause.strerror).lower()[:200]
    return (str(cause) or type(cause).__name__)[:200]
