"""A reverse proxy that breaks what passes through it, so that a check can be seen to fail.

It stands between a check and a server that is well. What it does to requests, answers and events is given as functions;
left alone it passes everything on, unbuffered.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple

from aiohttp import ClientSession, ClientTimeout, StreamReader, TCPConnector, web

HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"})


class Asked(NamedTuple):
    """A request on its way to the server; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Told(NamedTuple):
    """An answer on its way back, whole."""

    status: int
    headers: dict[str, str]
    body: bytes


def same_request(asked: Asked) -> Asked:
    return asked


def same_answer(_asked: Asked, told: Told) -> Told:
    return told


def same_event(_asked: Asked, _number: int, event: bytes) -> bytes:
    return event


class Saboteur:
    """Use as `async with Saboteur(upstream, …) as url`.

    Args:
        request: changes a request.
        answer: changes a whole answer; event streams pass by it unless `collect`.
        event: changes one event of a stream, blank line included; b"" swallows it.
        collect: event streams are read whole before their first byte is passed on, as buffering proxies do.
        headers: added to every answer.
    """

    def __init__(
        self,
        upstream: str,
        *,
        request: Callable[[Asked], Asked] = same_request,
        answer: Callable[[Asked, Told], Told] = same_answer,
        event: Callable[[Asked, int, bytes], bytes] = same_event,
        collect: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._upstream = upstream.rstrip("/")
        self._request = request
        self._answer = answer
        self._event = event
        self._collect = collect
        self._headers = dict(headers or {})
        self.passed = 0
        self._session: ClientSession
        self._runner: web.ServerRunner

    async def __aenter__(self) -> str:
        self._session = ClientSession(
            connector=TCPConnector(limit=0), timeout=ClientTimeout(total=60), auto_decompress=False
        )
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = self._request(Asked(request.method, request.raw_path, headers, await request.read()))
        self.passed += 1
        kept = {name: value for name, value in asked.headers.items() if name not in HOP}
        async with self._session.request(
            asked.method, self._upstream + asked.path, headers=kept, data=asked.body or None, allow_redirects=False
        ) as upstream:
            back = {name.lower(): value for name, value in upstream.headers.items() if name.lower() not in HOP}
            back |= self._headers
            if back.get("content-type", "").startswith("text/event-stream"):
                return await self._stream(request, asked, upstream.status, back, upstream.content)
            told = self._answer(asked, Told(upstream.status, back, await upstream.read()))
            return web.Response(status=told.status, headers=told.headers, body=told.body)

    async def _stream(
        self, request: web.BaseRequest, asked: Asked, status: int, headers: dict[str, str], content: StreamReader
    ) -> web.StreamResponse:
        if self._collect:
            headers.pop("x-accel-buffering", None)
            told = self._answer(asked, Told(status, headers, await content.read()))
            return web.Response(status=told.status, headers=told.headers, body=told.body)
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        rest, number = b"", 0
        async for data in content.iter_any():
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                number += 1
                out = self._event(asked, number, event + b"\n\n")
                if out:
                    await response.write(out)
        if rest:
            await response.write(rest)
        await response.write_eof()
        return response
