"""CPU of the model plane alone, against the simulator in another process: microseconds a whole call, a streamed chunk.

    python bench/model_plane_cpu.py [--calls 4000] [--streams 300] [--chunks 200] [--clients 50] [--profile call|chunk]

What is counted is the user and system time of this process, warm-up excluded, uvloop as in the server. The simulator's
share is not in it. "raw" is the transport alone (HTTP and the read loop): the difference is what golive adds. What
exists at the start is frozen (`gc.freeze`), as a server does once it is up: walking it again costs 20 us a call.
"""

import argparse
import cProfile
import gc
import pstats
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig, TierConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.messages import Message
from golive.core.tasks import Tasks
from golive.models.call import CallContext, ModelRequest
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport

SIMULATOR = """
import asyncio, uvloop
from golive.core.clock import SystemClock
from golive.sim.server import Simulator
async def main():
    print(await Simulator(clock=SystemClock()).start(), flush=True)
    await asyncio.Event().wait()
uvloop.run(main())
"""
CLOCK = SystemClock()


async def spread(clients: int, total: int, work: Callable[[], Awaitable[int]]) -> tuple[int, float, float]:
    """Does `work` `total` times, `clients` at once. Returns the sum of its results, CPU seconds and wall seconds."""
    done = 0
    left = total

    async def client() -> None:
        nonlocal done, left
        while left > 0:
            left -= 1
            done += await work()

    cpu, wall = time.process_time(), time.perf_counter()
    async with Tasks("bench") as tasks:
        for number in range(clients):
            tasks.start(client(), f"client {number}")
    return done, time.process_time() - cpu, time.perf_counter() - wall


def config(base_url: str) -> GoliveConfig:
    return GoliveConfig(
        providers={"sim": ProviderConfig(base_url=base_url)},
        prices={"sim/*": PriceConfig(input_usd_per_mtok=0.15, output_usd_per_mtok=0.6)},
    )


def request(stream: bool, tokens: int, burst: int) -> ModelRequest:
    script = f'{{"tokens":{tokens},"burst":{burst}}}'
    return ModelRequest(
        messages=(Message("system", "Answer in one sentence."), Message("user", "How long is the Nile?")),
        stream=stream, max_output_tokens=400, temperature=0.2, headers=(("x-sim-script", script),),
    )  # fmt: skip


async def measure(base_url: str, args: argparse.Namespace) -> None:
    transport = HttpTransport()
    plane = ModelPlane(config(base_url), lambda reference: reference, transport, CLOCK)
    chain = plane.chain(TierConfig(chain=("sim/sim-text",)))

    def metered(ask: ModelRequest) -> Callable[[], Awaitable[int]]:
        async def work() -> int:
            events = 0
            async for batch in chain(ask, CallContext(Deadline.after(CLOCK, 60, "bench"))):
                events += len(batch)
            return events

        return work

    def raw(ask: ModelRequest) -> Callable[[], Awaitable[int]]:
        from golive.models.openai_wire import encode_request

        body = encode_request(ask, "sim-text", "max_tokens")
        headers = {"Content-Type": "application/json", **dict(ask.headers)}

        async def work() -> int:
            response = await transport.send("POST", base_url + "/chat/completions", headers, body, connect_s=5)
            while await response.chunk():
                pass
            response.close()
            return 1

        return work

    whole, stream = request(False, 20, 1), request(True, args.chunks, args.burst)
    for name, ask, total, clients, per in (
        ("whole call", whole, args.calls, args.clients, 1), ("streamed chunk", stream, args.streams, 100, args.chunks),
    ):  # fmt: skip
        for kind, work in (("raw", raw(ask)), ("golive", metered(ask))):
            await spread(clients, max(clients, total // 10), work)
            gc.collect()
            gc.freeze()
            profile = cProfile.Profile() if args.profile and name.endswith(args.profile) and kind == "golive" else None
            if profile:
                profile.enable()
            _, cpu, wall = await spread(clients, total, work)
            if profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(35)
            share = cpu / (total * per) * 1e6
            print(f"{name:15} {kind:7} {share:8.2f} us CPU   {total / wall:9.0f} calls/s wall", flush=True)
    await plane.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4_000)
    parser.add_argument("--streams", type=int, default=300)
    parser.add_argument("--chunks", type=int, default=200)
    parser.add_argument("--burst", type=int, default=20, help="chunks in one write of the simulator; 0: all")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--profile", choices=("call", "chunk"))
    args = parser.parse_args()
    simulator = subprocess.Popen([sys.executable, "-c", SIMULATOR], stdout=subprocess.PIPE, text=True)
    try:
        assert simulator.stdout is not None
        uvloop.run(measure(simulator.stdout.readline().strip(), args))
    finally:
        simulator.kill()
        simulator.wait()


if __name__ == "__main__":
    main()
