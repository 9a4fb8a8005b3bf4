"""`python -m golive.sim`: a simulator alone, for other programs. Prints one line of JSON when it listens."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

import msgspec
import uvloop

from golive.core.clock import FastClock
from golive.core.fast_loop import FastLoop
from golive.core.open_files import raise_limit
from golive.sim.server import Simulator


def run(
    *,
    host: str,
    port: int,
    seed: int,
    api_keys: tuple[str, ...],
    ready: Callable[[Simulator], None],
    watch_stdin: bool = False,
    speed: float = 1.0,
) -> None:
    """Serves until SIGINT or SIGTERM, or the end of standard input if `watch_stdin`; time goes `speed` times as fast.

    Raises:
        OSError: the port cannot be used.
    """
    raise_limit()
    clock = FastClock(speed)
    clock.hurry()
    with asyncio.Runner(loop_factory=partial(FastLoop, clock) if speed > 1 else uvloop.new_event_loop) as runner:
        runner.run(_serve(Simulator(seed=seed, clock=clock, api_keys=api_keys), host, port, ready, watch_stdin))


async def _serve(
    simulator: Simulator, host: str, port: int, ready: Callable[[Simulator], None], watch_stdin: bool
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await simulator.start(host, port)
    if watch_stdin:

        def read() -> None:
            if not os.read(0, 4_096):
                loop.remove_reader(0)
                stop.set()

        loop.add_reader(0, read)
    ready(simulator)
    await simulator.serve_until(stop)


def _ready(simulator: Simulator) -> None:
    sys.stdout.write(msgspec.json.encode({"base_url": simulator.base_url}).decode() + "\n")
    sys.stdout.flush()


def main() -> int:
    """Parses the command line and serves; 1 if the port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m golive.sim", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keys-from-stdin", action="store_true", help="first line: a JSON array of the keys to accept")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the parent process")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast time goes, for drills")
    given = parser.parse_args()
    if not 1 <= given.speed <= 1_000:
        parser.error(f"--speed {given.speed} is not between 1 and 1000")
    if not 0 <= given.port <= 65_535:
        parser.error(f"--port {given.port} is not between 0 and 65535")
    keys: tuple[str, ...] = ()
    if given.keys_from_stdin:
        keys = msgspec.json.decode(sys.stdin.buffer.readline(), type=tuple[str, ...])
    try:
        run(host=given.host, port=given.port, seed=given.seed, api_keys=keys, ready=_ready,
            watch_stdin=given.until_stdin_closes, speed=given.speed)  # fmt: skip
    except OSError as error:
        sys.stderr.write(f"The simulator cannot listen on {given.host}:{given.port}: {error.strerror}. "
                         "Choose another --port; 0 picks a free one.\n")  # fmt: skip
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
