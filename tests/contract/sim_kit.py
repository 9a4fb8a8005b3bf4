"""A client of the simulator that reads bytes, and what its tests ask again and again."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.sim.script import Script
from golive.sim.server import Simulator

HEAD_END = b"\r\n\r\n"


def payload(model: str = "sim-x", said: str = "hi", **fields: Any) -> bytes:
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": said}], **fields})


class Client:
    """One connection, bytes in and out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, sim: Simulator) -> "Client":
        address = urlsplit(sim.base_url)
        return cls(*await asyncio.open_connection(address.hostname, address.port))

    def send(self, method: str, path: str, body: bytes = b"", script: Script | None = None, **headers: str) -> None:
        if script is not None:
            headers["x-sim-script"] = msgspec.json.encode(script).decode()
        lines = [f"{method} {path} HTTP/1.1", "host: sim", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + HEAD_END + body)

    async def rest(self) -> bytes:
        """All bytes until the other side ends; raises what the socket raises."""
        return await self.reader.read(-1)

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(HEAD_END)).decode().split("\r\n")
        return int(lines[0].split(" ")[1]), dict(line.split(": ", 1) for line in lines[1:] if line)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """A whole answer with content-length or chunks, leaving the connection open."""
        status, headers = await self.head()
        if "content-length" in headers:
            return status, headers, await self.reader.readexactly(int(headers["content-length"]))
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        assert await self.reader.readexactly(2) == b"\r\n"
        return status, headers, body


async def chat(sim: Simulator, script: Script | None = None, **fields: Any) -> tuple[int, dict[str, str], bytes]:
    client = await Client.to(sim)
    client.send("POST", "/v1/chat/completions", payload(**fields), script)
    answer = await client.answer()
    client.writer.close()
    return answer


async def control(sim: Simulator, method: str, path: str, body: Any = None) -> Any:
    client = await Client.to(sim)
    client.send(method, path, b"" if body is None else msgspec.json.encode(body))
    status, _, answer = await client.answer()
    client.writer.close()
    return status, msgspec.json.decode(answer)


async def until(condition: Callable[[], Any]) -> None:
    async with Deadline.after(SystemClock(), 5.0, "until").enforced(SystemClock()):
        while not condition():
            await asyncio.sleep(0.002)


def events(body: bytes) -> list[bytes]:
    return [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event]


def words(body: bytes) -> str:
    parsed = [msgspec.json.decode(event) for event in events(body) if event != b"[DONE]"]
    return "".join(choice["delta"].get("content") or "" for event in parsed for choice in event["choices"])
