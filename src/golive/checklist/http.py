"""The checks' own HTTP client: every exchange can be shown as a command to repeat, without any credential in it.

Owns sending, reading streams with the time of each read, concealing secrets in what is shown, and remembering the
answers seen (so that they can be searched for secrets). Knows nothing of golive.
"""

import shlex
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from golive.checklist.results import Evidence, evidence
from golive.checklist.sse import Arrived, Parser
from golive.core.clock import Clock
from golive.core.errors import GoliveError
from golive.models.transport import in_words

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Longest answer that is read."""
MAX_KEPT_BYTES = 32 * 1024 * 1024
"""Of all answers that are remembered; the oldest are forgotten first."""
TIMEOUT_S = 30.0
CONNECT_S = 5.0

_SHOWN = ("content-type", "retry-after", "www-authenticate", "x-request-id", "location", "via", "server")


class Unreachable(GoliveError):
    """Nothing answered, or the answer broke off."""

    code = "check.unreachable"


class AnswerTooLarge(GoliveError):
    code = "check.answer_too_large"


class Sent(Struct, frozen=True):
    """A request as it was sent. `at`: seconds since the epoch."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    at: float


class Reply(Struct, frozen=True):
    """A whole answer; header names in lower case. `seconds`: from the request to the last byte."""

    sent: Sent
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """The body's JSON; None where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


class Stream:
    """An answer under way. `reads` counts network reads; `seconds` stands at the last byte."""

    def __init__(self, sent: Sent, response: aiohttp.ClientResponse, clock: Clock, began: float) -> None:
        self.sent = sent
        self.status = response.status
        self.headers = _lowered(response.headers)
        self.body = bytearray()
        self.reads = 0
        self.seconds = 0.0
        self._response = response
        self._clock = clock
        self._began = began

    async def events(self) -> AsyncIterator[Arrived]:
        """The server-sent events, as they come.

        Raises:
            Unreachable: the answer broke off. AnswerTooLarge: more than `MAX_ANSWER_BYTES` came.
        """
        parser = Parser()
        try:
            async for data in self._response.content.iter_any():
                self.seconds = self._clock.monotonic() - self._began
                self.reads += 1
                self.body += data
                if len(self.body) > MAX_ANSWER_BYTES:
                    raise AnswerTooLarge(f"{self.sent.url} sent more than {MAX_ANSWER_BYTES} bytes.")
                for event in parser.feed(data, self.seconds):
                    yield event
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _broken(self.sent, error) from error

    def reply(self) -> Reply:
        """What has come so far."""
        return Reply(self.sent, self.status, self.headers, bytes(self.body), self.seconds)


class Http:
    """Sends requests. Use as `async with`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answers: deque[tuple[str, bytes]] = deque()
        """(what was asked, the answer's head and body) of everything remembered."""
        self._kept = 0
        self._concealed: dict[str, str] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Http":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64), auto_decompress=True, headers={"User-Agent": "golive-check"}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def conceal(self, secret: str, shown: str) -> None:
        """From now on `secret` is shown as `shown`, such as `$GOLIVE_KEY`."""
        if secret:
            self._concealed[secret] = shown

    @property
    def concealed(self) -> Mapping[str, str]:
        return self._concealed

    def clean(self, text: str) -> str:
        """The text with every concealed secret replaced."""
        for secret in sorted(self._concealed, key=len, reverse=True):
            text = text.replace(secret, self._concealed[secret])
        return text

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        timeout_s: float = TIMEOUT_S,
        remember: bool = True,
    ) -> Reply:
        """One request, and its whole answer.

        Args:
            body: bytes as they are; anything else as JSON; None for no body.
            remember: False for the rare answer that rightly carries a secret.

        Raises:
            Unreachable: no connection, a broken one, or no answer in time.
        """
        async with self.stream(method, url, headers=headers, body=body, timeout_s=timeout_s, remember=False) as stream:
            async for _ in stream.events():
                pass
        reply = stream.reply()
        if remember:
            self._remember(reply)
        return reply

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        timeout_s: float = TIMEOUT_S,
        remember: bool = True,
    ) -> AsyncIterator[Stream]:
        """One request whose answer is read as it comes; leaving the block early closes the connection. See `send`."""
        assert self._session is not None
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = Sent(method, url, dict(headers or {}), data, self.clock.now())
        if body is not None:
            sent.headers.setdefault("Content-Type", "application/json")
        limits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        began = self.clock.monotonic()
        try:
            response = await self._session.request(
                method, url, data=data or None, headers=sent.headers, timeout=limits, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _broken(sent, error) from error
        stream = Stream(sent, response, self.clock, began)
        try:
            yield stream
        finally:
            response.close()
            if remember:
                self._remember(stream.reply())

    def _remember(self, reply: Reply) -> None:
        head = "\n".join(f"{name}: {value}" for name, value in reply.headers.items()).encode("utf-8", "replace")
        data = head + b"\n\n" + reply.body
        self.answers.append((f"{reply.sent.method} {reply.sent.url}", data))
        self._kept += len(data)
        while self._kept > MAX_KEPT_BYTES and len(self.answers) > 1:
            self._kept -= len(self.answers.popleft()[1])

    def curl(self, sent: Sent) -> str:
        """The request as a command for a shell."""
        streamed = "text/event-stream" in sent.headers.get("Accept", "")
        words = ["curl -sSN" if streamed else "curl -sS"]
        if sent.method != "GET":
            words.append(f"-X {sent.method}")
        for name, value in sent.headers.items():
            words.append(f"-H {self._quoted(f'{name}: {value}')}")
        if sent.body:
            text = sent.body.decode("utf-8", "replace")
            words.append(f"-d {self._quoted(text if len(text) <= 600 else text[:600] + '…')}")
        words.append(self._quoted(sent.url))
        return " ".join(words)

    def _quoted(self, text: str) -> str:
        """For a shell; where a credential was, double quotes let the shell put its variable's value."""
        shown = self.clean(text)
        if shown == text:
            return shlex.quote(text)
        return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def evidence(self, reply: Reply, note: str = "") -> Evidence:
        """The exchange as evidence; `note` says in words what it shows."""
        head = [f"HTTP {reply.status} after {reply.seconds:.3f} s by this machine's clock"]
        head += [f"{name}: {reply.headers[name]}" for name in _SHOWN if name in reply.headers]
        text = "\n".join([*([note] if note else []), *head, "", reply.body.decode("utf-8", "replace")])
        return evidence(self.curl(reply.sent), reply.body, reply.sent.at, shown=self.clean(text))


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        lowered[key] = f"{lowered[key]}, {value}" if key in lowered else value
    return lowered


def _words(error: BaseException) -> str:
    """What happened, in the system's words where it has any, and not in the library's."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.InvalidURL):
        return "that is no address"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return in_words(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return in_words(error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before an answer came"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the answer is not HTTP"
    return in_words(error)


def _broken(sent: Sent, error: BaseException) -> Unreachable:
    return Unreachable(
        f"{sent.method} {sent.url} failed: {_words(error)}.",
        remedy="Is the server running and reachable at this address?",
        url=sent.url,
        timed_out=isinstance(error, TimeoutError),
    )
