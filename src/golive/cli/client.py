"""A client of golive's HTTP API, and how a command finds the server it is to talk to.

In this order: --url and --key; GOLIVE_URL and GOLIVE_KEY; the server that `golive dev` or `golive demo` runs for this
project (it leaves its address in .golive/client.json, mode 0600); else a server of the command's own, for its own time.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from msgspec import Struct

from golive.cli.trust import client_context
from golive.config.secret_use import CLIENT_FILE
from golive.core.errors import GoliveError, InvalidRequest
from golive.models.transport import in_words

_JSON = {"Content-Type": "application/json"}


class ServerRefused(GoliveError):
    """The server answered with a problem; its own code stands in `fields`."""

    code = "client.refused"


class ServerUnreachable(GoliveError):
    """Nothing answered."""

    code = "client.unreachable"


class StreamBroken(GoliveError):
    """The connection was lost in the middle of a stream."""

    code = "client.stream_broken"


class Address(Struct, frozen=True):
    """Where a server answers, and the key to use."""

    url: str
    key: str
    pid: int = 0


class ServerSentEvent(NamedTuple):
    """One event of a stream."""

    id: str
    event: str
    data: bytes


class Client:
    """Speaks to one server with one key. `own`: the server is the command's, and ends with it."""

    def __init__(
        self, session: aiohttp.ClientSession, address: Address, *, own: bool = False, tenant: str | None = None
    ) -> None:
        """`tenant`: the one to act in, where it is not the key's own."""
        self._session = session
        self.own = own
        self.url = address.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {address.key}"}
        if tenant is not None:
            self._headers["x-golive-tenant"] = tenant

    async def call(self, method: str, path: str, body: object = None, *, accept: tuple[int, ...] = ()) -> Any:
        """The JSON answer.

        Args:
            accept: statuses beside 2xx whose body is an answer, not a problem.

        Raises:
            ServerRefused: the server answered with a problem. ServerUnreachable: nothing answered.
        """
        data = None if body is None else _encoded(body)
        try:
            async with self._session.request(
                method, self.url + path, data=data, headers=self._headers | _JSON
            ) as answer:
                raw = await answer.read()
                if answer.status >= 300 and answer.status not in accept:
                    raise refused(answer.status, raw)
                return msgspec.json.decode(raw) if raw else None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """A long answer, piece by piece.

        Raises:
            ServerRefused, ServerUnreachable: as `call`. StreamBroken: the connection was lost before its end.
        """
        no_limit, began = aiohttp.ClientTimeout(total=None), False
        try:
            async with self._session.get(self.url + path, headers=self._headers, timeout=no_limit) as answer:
                if answer.status >= 300:
                    raise refused(answer.status, await answer.read())
                began = True
                async for piece in answer.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            if began:
                raise StreamBroken(f"the connection to {self.url} was lost ({_words(error)}).") from error
            raise self._unreachable(error) from error

    async def stream(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        last_event_id: str = "",
        opened: Callable[[Mapping[str, str]], None] | None = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """The events of a stream, heartbeats left out.

        Args:
            opened: called with the answer's headers before the first event.

        Raises:
            ServerRefused, ServerUnreachable: as `call`. StreamBroken: the connection was lost after the stream began.
        """
        headers = self._headers | _JSON | {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        data = None if body is None else _encoded(body)
        no_limit = aiohttp.ClientTimeout(total=None)
        began = False
        try:
            async with self._session.request(
                method, self.url + path, data=data, headers=headers, timeout=no_limit
            ) as answer:
                if answer.status >= 300:
                    raise refused(answer.status, await answer.read())
                began = True
                if opened is not None:
                    opened(answer.headers)
                async for event in _events(answer.content.iter_any()):
                    yield event
        except (aiohttp.ClientError, TimeoutError) as error:
            if began:
                raise StreamBroken(f"the connection to {self.url} was lost ({_words(error)}).") from error
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        how = "is no address" if isinstance(error, aiohttp.InvalidURL) else f"is not reachable ({_words(error)})"
        return ServerUnreachable(
            f"the server at {self.url} {how}.", remedy="Start one with `golive dev`, or name another with --url."
        )


def _encoded(body: object) -> bytes:
    """The body as JSON.

    Raises:
        InvalidRequest: text of it is not UTF-8.
    """
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        broken = error.object[error.start : error.end].encode("utf-8", "surrogateescape")
        raise InvalidRequest(
            f"The text is not UTF-8: it has the byte 0x{broken.hex()} at character {error.start}.",
            remedy="Convert it first, for instance with: iconv -f latin1 -t utf-8",
        ) from None


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientPayloadError) and not isinstance(error.__cause__, OSError):
        return "the connection ended before the body did"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
        return f"its certificate is not trusted: {why}; name who vouches for it with --ca FILE"
    if isinstance(error, aiohttp.ClientConnectorError):
        return in_words(error.os_error)
    return in_words(error.__cause__ if isinstance(error.__cause__, OSError) else error)


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events out of a body. Own splitting: aiohttp's lines end at 128 KiB, a run's result need not."""
    fields: dict[str, bytes] = {}
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.rstrip(b"\r").partition(b":")
            if name:
                fields[name.decode()] = value.removeprefix(b" ")
                continue
            if "data" in fields:
                yield ServerSentEvent(fields.get("id", b"").decode(), fields.get("event", b"").decode(), fields["data"])
            fields = {}


def refused(status: int, raw: bytes) -> ServerRefused:
    """An error answer, RFC 9457's problem or OpenAI's object, as an error."""
    try:
        problem = msgspec.json.decode(raw)
        problem = problem.get("error") or problem
        detail = str(problem.get("detail") or problem.get("message") or problem.get("title") or problem)
        return ServerRefused(detail, remedy=str(problem.get("remedy", "")), code=problem.get("code"), status=status)
    except (msgspec.DecodeError, AttributeError):
        return ServerRefused(f"the server answered {status}: {raw[:200].decode(errors='replace')}", status=status)


def known_server(config: Path | None, url: str | None, key: str | None) -> Address | None:
    """The server to talk to, if one is named or runs for this project."""
    url = url or os.environ.get("GOLIVE_URL")
    key = key or os.environ.get("GOLIVE_KEY")
    if url:
        return Address(url, key or "")
    here = (config if config and config.is_dir() else config.parent if config else Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "golive.toml").is_file():
            try:
                found = msgspec.json.decode((folder / CLIENT_FILE).read_bytes(), type=Address)
            except (OSError, msgspec.MsgspecError):
                return None
            return Address(found.url, key or found.key) if _alive(found.pid) else None
    return None


def _alive(pid: int) -> bool:
    """Whether the server that left its address still runs (one that was killed could not take it away)."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0


@asynccontextmanager
async def connected(
    config: Path | None, url: str | None, key: str | None, tenant: str | None = None
) -> AsyncIterator[Client]:
    """A client of the server to talk to; starts one for the time of the block when none is known."""
    address = known_server(config, url, key)
    trusted = client_context(os.environ)
    connector = None if trusted is None else aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(connector=connector) as session:
        if address is not None:
            yield Client(session, address, tenant=tenant)
            return
        from golive.cli.hosting import hosted

        async with hosted(config) as own:
            yield Client(session, own, own=True, tenant=tenant)
