"""How many appends a second the SQLite store takes, each awaited until it is durable, and what one costs.

An append here is what a step of a run writes: two events and the run's view. Run: `python bench/store_appends.py`.
With `--busy 0.0001` the loop is kept at its limit besides, in slices of that length: what counts then is that nobody
waits for seconds.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from golive.core.clock import SystemClock
from golive.core.events import Event
from golive.core.tasks import Tasks
from golive.store.ports import Lease, RunView, Store
from golive.store.sqlite import SqliteStore

BODY = b'{"item":"itm_01","channel":"answer","text":"' + b"x" * 300 + b'","pos":0}'


def view(run: str, steps: int) -> RunView:
    return RunView(
        tenant="default", run=run, branch="", version="d" * 64, epoch=1, agent="support", version_name="1.0.0",
        source="agent", conversation=f"conv_{run}", principal="key_1", state="running", created_at=1.0, steps=steps,
    )  # fmt: skip


async def worker(store: Store, run: str, appends: int, latencies: list[float]) -> None:
    lease = Lease("default", run, 1, "bench")
    for number in range(appends):
        seq = 2 * number
        events = [Event("default", run, seq + i, 1, "", "d" * 64, 1.0, "text.block", BODY) for i in (1, 2)]
        started = time.perf_counter()
        await store.append(lease, seq, events, views=(view(run, number),))
        latencies.append(time.perf_counter() - started)


async def burn(slice_s: float) -> None:
    """Keeps the loop at its limit: it polls after each slice, and never waits."""
    while True:
        end = time.perf_counter() + slice_s
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0)


async def measure(folder: Path, workers: int, total: int, busy: float) -> None:
    store = SqliteStore.open(folder / f"{workers}.db", clock=SystemClock())
    latencies: list[float] = []
    async with Tasks("background") as background:
        if busy:
            background.start(burn(busy), "burn")
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        async with Tasks("bench") as tasks:
            for number in range(workers):
                tasks.start(worker(store, f"run_{number:06d}", total // workers, latencies), "worker")
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF)
        await background.close()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    latencies.sort()
    print(
        f"{workers:5d} at once: {len(latencies) / seconds:8,.0f} appends/s   "
        f"{cpu / len(latencies) * 1e6:6.1f} us CPU each   "
        f"p50 {statistics.median(latencies) * 1e3:6.2f} ms   p99 {latencies[int(len(latencies) * 0.99)] * 1e3:6.2f} ms"
    )
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--appends", type=int, default=40_000)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 50, 500])
    parser.add_argument(
        "--busy", type=float, default=0.0, help="seconds the loop burns between two polls, such as 0.0001"
    )
    parser.add_argument("--folder", help="where the database goes (a temporary folder by default)")
    args = parser.parse_args()
    for workers in args.workers:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            total = args.appends if workers > 1 else args.appends // 10
            uvloop.run(measure(Path(folder), workers, total, args.busy))


if __name__ == "__main__":
    main()
