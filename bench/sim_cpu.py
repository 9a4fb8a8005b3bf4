"""What the simulator itself costs: CPU per streamed chunk and per whole answer, to know it is not the bottleneck.

    python bench/sim_cpu.py

The simulator runs in a process of its own; its CPU time comes from /proc/PID/stat, without the work of the client.
"""

import asyncio
import os
import time
from pathlib import Path

import msgspec

from golive.core.clock import SystemClock
from golive.core.tasks import Tasks
from golive.sim.process import SimulatorProcess

STREAMS = 100
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Discard(asyncio.Protocol):
    """Sends requests one after the other and counts answers; parses nothing but the end of each."""

    def __init__(self, request: bytes, times: int, end: bytes) -> None:
        self.request, self.left, self.end = request, times, end
        self.tail = b""
        self.read = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.read += len(data)
        self.tail = (self.tail + data)[-len(self.end) :]
        if self.tail == self.end:
            self.tail = b""
            self.left -= 1
            if self.left:
                self.transport.write(self.request)  # type: ignore[attr-defined]
            else:
                self.transport.close()
                self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the simulator ended the connection"))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


async def measure(name: str, model: str, *, stream: bool, chunks: int, times: int, pid: int, port: int) -> None:
    said = "Where is my parcel, please? I ordered a kettle and two lanterns a week ago."
    body = msgspec.json.encode({"model": model, "stream": stream, "messages": [{"role": "user", "content": said}]})
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    end = b"0\r\n\r\n" if stream else b"}}}"
    loop = asyncio.get_running_loop()

    async def one() -> None:
        _, protocol = await loop.create_connection(lambda: Discard(request, times, end), "127.0.0.1", port)
        await protocol.done

    before, began = cpu_s(pid), time.monotonic()
    async with Tasks("bench") as tasks:
        for number in range(STREAMS):
            tasks.start(one(), str(number))
    used, took = cpu_s(pid) - before, time.monotonic() - began
    answers = STREAMS * times
    per_chunk = f"{used / (answers * chunks) * 1e6:8.2f}" if stream else "       -"
    print(f"| {name:<38} | {per_chunk} | {used / answers * 1e6:9.0f} | {answers:6d} | {took:5.1f} |")


async def main() -> None:
    async with SimulatorProcess(SystemClock()) as simulator:
        at = {"pid": simulator.pid, "port": int(simulator.base_url.removesuffix("/v1").rpartition(":")[2])}
        print(f"{STREAMS} connections; us of the simulator's CPU\n")
        print("| what                                   | us/chunk | us/answer | answers |  s   |")
        print("|---|---|---|---|---|")
        await measure("warm-up", "sim-text?tokens=20&burst=0", stream=True, chunks=20, times=5, **at)
        await measure(
            "bursts of 20, 200 tokens", "sim-text?tokens=200&burst=20", stream=True, chunks=200, times=30, **at
        )
        await measure("all at once, 200 tokens", "sim-text?tokens=200&burst=0", stream=True, chunks=200, times=30, **at)
        await measure("a write per token, no pace", "sim-text?tokens=200", stream=True, chunks=200, times=10, **at)
        await measure(
            "paced 10 ms, 200 tokens", "sim-text?tokens=200&pace_ms=10", stream=True, chunks=200, times=2, **at
        )
        await measure(
            "paced 200 ms (5/s), 25 tokens", "sim-text?tokens=25&pace_ms=200", stream=True, chunks=25, times=1, **at
        )
        await measure("not streamed, 20 tokens", "sim-text?tokens=20", stream=False, chunks=20, times=200, **at)


if __name__ == "__main__":
    asyncio.run(main())
