"""Clients that begin runs and stay with them: streams that come back with Last-Event-ID at any replica, runs in the
background, chat completions, plain calls. Each leaves a record of what it was told, which the checkers judge."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp

from tests.chaos.replica import Replica
from tests.chaos.stage import Stage

Kind = Literal["stream", "background", "chat", "wait", "relay"]
KINDS: tuple[tuple[Kind, str, int], ...] = (
    ("stream", "clerk", 45), ("background", "clerk", 18), ("chat", "clerk", 10), ("wait", "clerk", 5),
    ("stream", "talk", 12), ("chat", "talk", 5), ("relay", "sim/sim-plain", 5),
)  # fmt: skip
"""What is asked of what, and how often."""
PATIENCE_S = 150.0
"""A client gives up on a run after so long, which is a finding."""
QUIET_S = 8.0
"""A stream without even a heartbeat for so long is taken for dead."""
SILENT = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=QUIET_S)
WHOLE = aiohttp.ClientTimeout(total=60)
BROKEN = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
"""Whatever tells a client that its connection is of no more use; half a line of JSON too."""


@dataclass
class Seen:
    """One frame: the position it ends at, its name and data."""

    epoch: int
    pos: int
    name: str
    data: Any


@dataclass
class Record:
    """What one client was told of one run. `frames` are those that stand; `torn` says where positions did not fit."""

    number: int
    kind: Kind
    agent: str
    run: str = ""
    frames: list[Seen] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    resets: int = 0
    resumes: int = 0
    text: str = ""
    """Of a chat or a whole answer."""
    ended: str = ""
    """"finished", "error" (told so), "broken" (the connection), "" (it gave up)."""
    result: dict[str, Any] | None = None
    unacknowledged: int = 0
    """Requests to begin that broke before a run was named: it may exist or not."""
    refused: int = 0
    """Answers of 5xx to a request to begin: no run exists."""

    def take(self, frame: Seen) -> None:
        """Adds a frame, going back where the stream says so."""
        at = self.frames[-1].pos if self.frames else 0
        if frame.name == "text.reset" and "pos" in frame.data:
            self.resets += 1
            if frame.data["pos"] > at:
                self.torn.append(f"reset to {frame.data['pos']}, which is past {at}")
            self._back_to(frame.data["pos"])
            return
        if frame.name == "error":
            return
        if frame.name == "text.reset":
            self.resets += 1
        length = len(frame.data["text"]) if frame.name in ("text.delta", "reasoning.delta") else 1
        if frame.pos - length != at:
            self.torn.append(f"{frame.name} covers {frame.pos - length} to {frame.pos}, and the stream stood at {at}")
        self.frames.append(frame)

    def _back_to(self, pos: int) -> None:
        kept = []
        for frame in self.frames:
            if frame.pos <= pos:
                kept.append(frame)
            elif frame.name == "text.delta" and frame.pos - len(frame.data["text"]) < pos:
                text = frame.data["text"][: pos - frame.pos]
                kept.append(Seen(frame.epoch, pos, frame.name, {**frame.data, "text": text}))
        self.frames = kept

    def shown(self) -> str:
        """The text that stands: what the user reads."""
        parts: list[tuple[str, str]] = []
        for frame in self.frames:
            if frame.name == "text.delta":
                parts.append((frame.data["item"], frame.data["text"]))
            elif frame.name == "text.reset":
                item, keep = frame.data["item"], frame.data["length"]
                own = "".join(text for name, text in parts if name == item)[:keep]
                first = next((index for index, (name, _) in enumerate(parts) if name == item), len(parts))
                rest = [part for part in parts[first:] if part[0] != item]
                parts = [*parts[:first], (item, own), *rest]
        return "".join(text for _, text in parts)


async def frames_of(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str, Any]]:
    """(id, name, data) of each event of a stream."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])
            fields = {}


class Clients:
    """All clients of a round.

    Args:
        begun: told of each run that was acknowledged.
    """

    def __init__(self, stage: Stage, seed: int, begun: Callable[[str], None]) -> None:
        self.records: list[Record] = []
        self.open = 0
        self._stage = stage
        self._seed = seed
        self._begun = begun
        self._headers = {"Authorization": f"Bearer {stage.key}"}

    async def one(self, http: aiohttp.ClientSession, number: int) -> None:
        """The whole life of client `number`, which the seed decides."""
        chance = random.Random(f"{self._seed}/client/{number}")
        kind, agent = chance.choices([each[:2] for each in KINDS], [each[2] for each in KINDS])[0]
        record = Record(number, kind, agent)
        self.records.append(record)
        self.open += 1
        act = {"stream": self._stream, "background": self._background, "chat": self._chat, "wait": self._wait,
               "relay": self._chat}[kind]  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE_S):
                await act(http, record, chance)
        except TimeoutError:
            record.ended = ""
        finally:
            self.open -= 1

    async def _anywhere(self, chance: random.Random) -> Replica:
        """A replica that is up, as a load balancer would choose it."""
        while not (up := self._stage.up):
            await asyncio.sleep(0.05)
        return chance.choice(up)

    def _named(self, record: Record, response: aiohttp.ClientResponse) -> bool:
        """Learns the run from an answer's head; False where the server refused."""
        if response.status >= 500:
            record.refused += 1
            return False
        response.raise_for_status()
        record.run = response.headers["x-request-id"]
        self._begun(record.run)
        return True

    # ---- kinds

    async def _stream(self, http: aiohttp.ClientSession, record: Record, chance: random.Random) -> None:
        leaves = chance.random() < 0.25
        body = {"input": "Please.", "stream": True}
        while record.ended != "finished":
            replica = await self._anywhere(chance)
            last = record.frames[-1] if record.frames else None
            try:
                if not record.run:
                    request = http.post(f"{replica.url}/v1/agents/{record.agent}/runs", json=body,
                                        headers=self._headers, timeout=SILENT)  # fmt: skip
                else:
                    record.resumes += 1
                    place = {"Last-Event-ID": f"{last.epoch}-{last.pos}"} if last else {}
                    request = http.get(f"{replica.url}/v1/runs/{record.run}/events",
                                       headers=self._headers | place, timeout=SILENT)  # fmt: skip
                async with request as response:
                    if record.run:
                        response.raise_for_status()
                    elif not self._named(record, response):
                        await asyncio.sleep(0.3)
                        continue
                    await self._follow(record, response, chance.randrange(5, 80) if leaves else 0)
                    leaves = False
            except BROKEN as error:
                if not record.run and not _not_sent(error):
                    record.unacknowledged += 1
                await asyncio.sleep(chance.uniform(0.05, 0.3))

    async def _follow(self, record: Record, response: aiohttp.ClientResponse, most: int) -> None:
        count = 0
        async for place, name, data in frames_of(response):
            epoch, _, pos = (place or "0-0").partition("-")
            record.take(Seen(int(epoch), int(pos), name, data))
            if name == "run.finished":
                record.result, record.ended = data, "finished"
            count += 1
            if count == most:  # it leaves by itself, to come back elsewhere
                return

    async def _background(self, http: aiohttp.ClientSession, record: Record, chance: random.Random) -> None:
        while not record.run:
            replica = await self._anywhere(chance)
            try:
                async with http.post(
                    f"{replica.url}/v1/agents/{record.agent}/runs", headers=self._headers, timeout=SILENT,
                    json={"input": "Please.", "background": True},
                ) as response:  # fmt: skip
                    if not self._named(record, response):
                        await asyncio.sleep(0.3)
            except BROKEN as error:
                record.unacknowledged += not _not_sent(error)
                await asyncio.sleep(chance.uniform(0.05, 0.3))
        while record.ended != "finished":
            await asyncio.sleep(chance.uniform(0.3, 0.8))
            replica = await self._anywhere(chance)
            try:
                async with http.get(f"{replica.url}/v1/runs/{record.run}", headers=self._headers,
                                    timeout=SILENT) as response:  # fmt: skip
                    response.raise_for_status()
                    result = await response.json()
            except BROKEN:
                continue
            if result["state"] == "finished":
                record.result, record.ended, record.text = result, "finished", result["text"]

    async def _chat(self, http: aiohttp.ClientSession, record: Record, chance: random.Random) -> None:
        """A streamed chat completion: it cannot come back, so that a break is its end."""
        body = {"model": record.agent, "stream": True, "messages": [{"role": "user", "content": "Please."}]}
        done, reason = False, None
        while not record.run and not record.ended:
            replica = await self._anywhere(chance)
            try:
                async with http.post(f"{replica.url}/v1/chat/completions", json=body, headers=self._headers,
                                     timeout=SILENT) as response:  # fmt: skip
                    if not self._named(record, response):
                        await asyncio.sleep(0.3)
                        continue
                    async for _, _, chunk in _chunks(response):
                        done = done or chunk is None
                        if chunk is None:
                            continue
                        if "error" in chunk:
                            record.ended = "error"
                        for choice in chunk.get("choices", ()):
                            record.text += (choice.get("delta") or {}).get("content") or ""
                            reason = choice.get("finish_reason") or reason
                    record.ended = record.ended or ("finished" if done and reason == "stop" else "broken")
            except BROKEN as error:
                if not _not_sent(error):
                    record.unacknowledged += not record.run
                    record.ended = "broken"

    async def _wait(self, http: aiohttp.ClientSession, record: Record, chance: random.Random) -> None:
        """One request that waits for the whole run."""
        while not record.ended:
            replica = await self._anywhere(chance)
            try:
                async with http.post(
                    f"{replica.url}/v1/agents/{record.agent}/runs", headers=self._headers, timeout=WHOLE,
                    json={"input": "Please."},
                ) as response:  # fmt: skip
                    if not self._named(record, response):
                        await asyncio.sleep(0.3)
                        continue
                    record.result = await response.json()
                    record.ended, record.text = "finished", record.result["text"]
            except BROKEN as error:
                if not _not_sent(error):
                    record.unacknowledged += 1
                    record.ended = "broken"
                await asyncio.sleep(0.1)


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str, Any]]:
    """As `frames_of`, with None for `[DONE]`."""
    async for raw in response.content:
        line = raw.decode().strip()
        if line == "data: [DONE]":
            yield "", "", None
        elif line.startswith("data: "):
            yield "", "", json.loads(line[6:])


def _not_sent(error: BaseException) -> bool:
    """Whether nobody can have heard the request."""
    return isinstance(error, aiohttp.ClientConnectorError)
