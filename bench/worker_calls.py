"""What a tool call costs: CPU of the server and of the worker, round trip, and how long a worker takes to start.

    python bench/worker_calls.py [--calls 20000] [--clients 16]

uvloop in the server, as in production. A trivial tool, so that what is measured is golive's own part.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from golive.config.schema import LimitsConfig, WorkerConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.tasks import Tasks
from golive.tools.toolset import ToolInvocation, Toolset
from golive.workers.inline import InlineToolset
from golive.workers.pool import WorkerToolset

TOOLS = '''
import os
async def add(a: int, b: int) -> int:
    """Adds."""
    return a + b
def add_sync(a: int, b: int) -> int:
    """Adds, in a thread."""
    return a + b
def pid() -> int:
    """Tells its process."""
    return os.getpid()
'''
CLOCK = SystemClock()
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STARTS = 8


def silent(event: str, /, **fields: object) -> None:
    """No log is measured."""


def cpu_of(pid: int) -> float:
    """Seconds of user and system time, to the kernel's tick."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


async def call(toolset: Toolset, name: str, arguments: str) -> str:
    """One call that must succeed."""
    invocation = ToolInvocation("default", "run_1", "run_1//1", name, arguments)
    outcome = await toolset.call(invocation, Deadline.after(CLOCK, 60.0, "limits.deadline_s"))
    assert outcome.ok, outcome
    return outcome.content


async def measure(toolset: Toolset, label: str, name: str, calls: int, clients: int) -> None:
    """Prints one line of the table."""
    worker = int(await call(toolset, "pid", "{}"))
    waits: list[float] = []

    async def client() -> None:
        for _ in range(calls // clients):
            begin = time.perf_counter()
            await call(toolset, name, '{"a": 1, "b": 2}')
            waits.append(time.perf_counter() - begin)

    server_cpu, worker_cpu = time.process_time(), cpu_of(worker)
    async with Tasks("clients") as tasks:
        for number in range(clients):
            tasks.start(client(), f"client {number}")
    server_us = (time.process_time() - server_cpu) / len(waits) * 1e6
    worker_us = 0.0 if worker == os.getpid() else (cpu_of(worker) - worker_cpu) / len(waits) * 1e6
    median_us = statistics.median(waits) * 1e6
    print(f"{label:<8} {name:<9} {clients:>7} {server_us:>10.1f} {worker_us:>10.1f} {median_us:>12.1f}")


async def main(calls: int, clients: int) -> None:
    """Runs all measurements."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tools.py").write_text(TOOLS)
        config, limits = WorkerConfig(), LimitsConfig()
        starts = []
        for _ in range(STARTS):
            begin = time.perf_counter()
            toolset = WorkerToolset(folder, config, {}, limits, clock=CLOCK, log=silent, environ=os.environ)
            await toolset.start()
            starts.append(time.perf_counter() - begin)
            await toolset.close()
        print(f"worker start, median of {STARTS}: {statistics.median(starts) * 1000:.0f} ms\n")
        print(f"{'mode':<8} {'tool':<9} {'clients':>7} {'server us':>10} {'worker us':>10} {'p50 trip us':>12}")
        worker = WorkerToolset(folder, config, {}, limits, clock=CLOCK, log=silent, environ=os.environ)
        inline = InlineToolset(folder, config, {}, limits, clock=CLOCK, log=silent)
        for label, made in (("worker", worker), ("inline", inline)):
            await made.start()
            for tool in ("add", "add_sync"):
                for at_once in (1, clients):
                    await measure(made, label, tool, calls, at_once)
            await made.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    uvloop.run(main(options.calls, options.clients))
