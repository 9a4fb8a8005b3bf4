"""A lean load generator: asyncio protocols on uvloop, keep-alive, no HTTP library; it must not be the bottleneck.

    python bench/load.py < scenario.json        # one `Scenario`; prints one line of JSON, a `Result`

Goes to 127.0.0.1 only, and every scenario is bounded in requests and seconds. A request counts only when it was
answered 200 and whole, with the marker its end must carry; anything else is an error, and a result with errors is no
figure. With `stages`, streams are opened and held instead, for measuring memory: at each stage it prints
`{"open": N, "events": M}`, once more for each line that it is sent, and goes on when that line is "next".
"""

import asyncio
import re
import sys
import time
from typing import Any

import msgspec
import uvloop
from msgspec import Struct

from golive.core.tasks import Tasks

MAX_CLIENTS, MAX_REQUESTS, MAX_SECONDS = 4_096, 1_000_000, 600.0
OPEN_PER_S = 250
"""Streams opened in a second when they are to be held."""
STAGE_S = 30.0
"""Longest opening of one stage; a server that needs longer is overloaded."""
TAIL = 8_192
"""Bytes of an answer's end in which `last` is looked for."""
HEAD_END, CHUNKS_END = b"\r\n\r\n", b"\r\n0\r\n\r\n"


class Scenario(Struct, frozen=True, kw_only=True):
    """What to ask, how often, and what a good answer looks like."""

    port: int
    path: str
    body: str
    headers: dict[str, str] = {}
    content_type: str = "application/json"
    first: str = ""
    """Regular expression of what is the first token; empty: the answer's first byte."""
    event: str = "data: "
    """Marks one event of a stream."""
    last: str = ""
    """Must stand near the end of each answer."""
    clients: int = 1
    requests: int = MAX_REQUESTS
    seconds: float = 10.0
    """No request begins after this; begun ones are finished."""
    stages: tuple[int, ...] = ()
    """Streams to have open, one number after the other."""
    refused_wait_s: float = 0.0
    """How long a client waits after a 503 before it asks again; 0: a 503 is an error."""


class Result(Struct, frozen=True):
    """Times in milliseconds. `errors` says what went wrong, how often."""

    requests: int
    events: int
    wall_s: float
    first_ms: dict[str, float]
    whole_ms: dict[str, float]
    errors: dict[str, int]
    refused: int = 0
    """Answers 503 after which a client asked again."""


class Failed(Exception):
    """An answer that does not count; the text says why."""


class Refused(Failed):
    """An answer 503."""


class Connection(asyncio.Protocol):
    """One kept-alive connection; one request at a time."""

    def __init__(self, scenario: Scenario) -> None:
        self._first = re.compile(scenario.first.encode(), re.DOTALL)
        self._event, self._last = scenario.event.encode(), scenario.last.encode()
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[None] | None = None
        self.opened: asyncio.Future[None] | None = None
        self.events = 0
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._fail("the connection was lost in mid-answer")

    def close(self) -> None:
        self._transport.abort()

    async def ask(self, request: bytes) -> tuple[float, float, int]:
        """Sends a request. Returns seconds to the first token, seconds in all, and events."""
        self._head: bytes | None = b""
        self._left, self._tail, self._seam = -1, b"", b""
        self.events, self._first_at = 0, 0.0
        self._answer = self._loop.create_future()
        began = time.perf_counter()
        self._transport.write(request)
        await self._answer
        ended = time.perf_counter()
        if self._last not in self._tail:
            raise Failed(f"the answer does not end as it should: {self._tail[-200:]!r}")
        return (self._first_at or ended) - began, ended - began, self.events

    def _fail(self, why: str, kind: type[Failed] = Failed) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(kind(why))

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            return
        if self._head is not None:
            data = self._read_head(self._head + data)
            if not data:
                return
        if not self._first_at and self._first.search(data):
            self._first_at = time.perf_counter()
            if self.opened is not None and not self.opened.done():
                self.opened.set_result(None)
        seam = len(self._event) - 1
        self.events += data.count(self._event) + (self._seam + data[:seam]).count(self._event)
        self._seam = (self._seam + data[-seam:])[-seam:]
        self._tail = data[-TAIL:] if len(data) >= TAIL else (self._tail + data)[-TAIL:]
        if self._left >= 0:
            self._left -= len(data)
            done = self._left <= 0
        else:
            done = self._tail.endswith(CHUNKS_END)
        if done:
            self._answer.set_result(None)

    def _read_head(self, data: bytes) -> bytes:
        end = data.find(HEAD_END)
        if end < 0:
            self._head = data
            return b""
        self._head = None
        head = data[:end].lower()
        if b" 200 " not in head[:14]:
            self._fail(f"answered {data[:300]!r}", Refused if b" 503 " in head[:14] else Failed)
            return b""
        length = head.find(b"\r\ncontent-length:")
        if length >= 0:
            self._left = int(head[length + 17 :].split(b"\r\n", 1)[0])
            return data[end + 4 :]
        # The blank line's end stays in front: the end of an empty chunked body then looks like any other.
        return data[end + 2 :]


class Load:
    """Clients that ask until the scenario's bounds are reached."""

    def __init__(self, scenario: Scenario) -> None:
        if not (0 < scenario.clients <= MAX_CLIENTS and 0 < scenario.requests <= MAX_REQUESTS):
            raise ValueError(f"clients must be 1 to {MAX_CLIENTS}, requests 1 to {MAX_REQUESTS}")
        if not 0 < scenario.seconds <= MAX_SECONDS or max(scenario.stages, default=0) > MAX_CLIENTS:
            raise ValueError(f"seconds must be within {MAX_SECONDS:g}, stages up to {MAX_CLIENTS}")
        self._scenario = scenario
        body = scenario.body.encode()
        headers = "".join(f"{name}: {value}\r\n" for name, value in scenario.headers.items())
        self._request = (
            f"POST {scenario.path} HTTP/1.1\r\nhost: 127.0.0.1:{scenario.port}\r\n"
            f"content-type: {scenario.content_type}\r\n"
            f"{headers}content-length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._left = scenario.requests
        self._first: list[float] = []
        self._whole: list[float] = []
        self._events = 0
        self._errors: dict[str, int] = {}
        self._refused = 0

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: Connection(self._scenario), "127.0.0.1", self._scenario.port)
        return made

    async def _client(self, until: float) -> None:
        connection = await self._connect()
        while self._left > 0 and time.perf_counter() < until and len(self._errors) < 10:
            self._left -= 1
            if connection.lost:
                connection = await self._connect()
            try:
                first, whole, events = await connection.ask(self._request)
            except Failed as failed:
                connection.close()
                if isinstance(failed, Refused) and self._scenario.refused_wait_s:
                    self._refused += 1
                    self._left += 1
                    await asyncio.sleep(self._scenario.refused_wait_s)
                else:
                    self._errors[str(failed)] = self._errors.get(str(failed), 0) + 1
                connection = await self._connect()
                continue
            self._first.append(first)
            self._whole.append(whole)
            self._events += events
        connection.close()

    async def run(self) -> Result:
        """Asks; returns what was seen."""
        began = time.perf_counter()
        async with Tasks("load") as tasks:
            for number in range(self._scenario.clients):
                tasks.start(self._client(began + self._scenario.seconds), f"client {number}")
        wall = time.perf_counter() - began
        return Result(
            len(self._whole),
            self._events,
            wall,
            percentiles(self._first),
            percentiles(self._whole),
            self._errors,
            self._refused,
        )

    async def _held(self, connection: Connection) -> None:
        try:
            await connection.ask(self._request)
            why = "a stream ended while it was to be held"
        except Failed as failed:
            why = str(failed)
        if connection.opened is not None and not connection.opened.done():
            connection.opened.set_result(None)
        self._errors[why] = self._errors.get(why, 0) + 1

    async def _report(self, stage: int, held: list[Connection]) -> None:
        """Says how many streams are open and how many events came so far, again for each line until it reads "next"."""
        line = ""
        while line != "next":
            events = sum(connection.events for connection in held)
            told = {"open": stage, "events": events, "errors": self._errors}
            sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
            sys.stdout.flush()
            line = (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).strip() or "next"

    async def hold(self) -> Result:
        """Opens streams stage by stage; errors are those that did not stay open."""
        held: list[Connection] = []
        began = time.perf_counter()
        async with Tasks("held") as tasks:
            for stage in self._scenario.stages:
                while len(held) < stage:
                    connection = await self._connect()
                    connection.opened = asyncio.get_running_loop().create_future()
                    held.append(connection)
                    tasks.start(self._held(connection), f"stream {len(held)}")
                    await asyncio.sleep(1 / OPEN_PER_S)
                waiting = [connection.opened for connection in held if connection.opened is not None]
                late = len((await asyncio.wait(waiting, timeout=STAGE_S))[1])
                if late:
                    self._errors[f"{late} of {stage} streams had no first token after {STAGE_S:g} s"] = 1
                    break
                await self._report(stage, held)
            errors = dict(self._errors)
            for connection in held:
                connection.close()
        return Result(len(held), 0, time.perf_counter() - began, {}, {}, errors)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds, by nearest rank."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] * 1_000 for p in (50, 95, 99)}


def main() -> None:
    """Reads a scenario, prints its result."""
    load = Load(msgspec.json.decode(sys.stdin.readline(), type=Scenario))
    result = uvloop.run(load.hold() if load._scenario.stages else load.run())
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


if __name__ == "__main__":
    main()
