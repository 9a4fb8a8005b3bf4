"""`make world`: many schedules, one after the other; what failed can be replayed from its seed alone.

make world SEEDS=1-1000             those seeds; goes on where an earlier call over the same code stopped
make world SEED=17 TRACE=1          one seed, and everything that happened in it
make world SEEDS=1-1000 WITHOUT=unheard,twice
"""

import argparse
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.sim.plan import plan
from tests.sim.world import World

ROOT = Path(__file__).parents[2]
CHUNK = 10
TOLD_S = 10.0


class Chunk(Struct):
    """What some seeds in a row came to."""

    seeds: tuple[int, int]
    runs: int
    faults: int
    kinds: dict[str, int]
    failed: dict[int, str]


class Record(Struct):
    """What is known of the present code: seeds that hold, and those that do not."""

    passed: list[tuple[int, int]] = []
    failed: dict[int, str] = {}


def carry_out(first: int, last: int, without: frozenset[str]) -> Chunk:
    """Runs the schedules of these seeds."""
    done = Chunk((first, last), 0, 0, {}, {})
    kinds: Counter[str] = Counter()
    for seed in range(first, last + 1):
        outcome = World(plan(seed, without)).run()
        done.runs += outcome.runs
        done.faults += outcome.faults
        kinds.update(outcome.kinds)
        if outcome.violations:
            violation = outcome.violations[0]
            done.failed[seed] = f"{violation.checker}: {violation}"
    done.kinds = dict(kinds)
    return done


def code() -> str:
    """Names the code that is tried: golive's and the world's."""
    digest = hashlib.sha256()
    for folder in ("src/golive", "tests/sim"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


class Notebook:
    """Keeps the record of one code, so that a range can be gone on with."""

    def __init__(self, without: frozenset[str]) -> None:
        name = f"{code()}{'-'.join(['', *sorted(without)])}.json"
        self._path = ROOT / ".bench" / "world" / name
        self.record = Record()
        if self._path.exists():
            self.record = msgspec.json.decode(self._path.read_bytes(), type=Record)

    def add(self, done: Chunk) -> None:
        """Writes down what a chunk came to."""
        self.record.passed.append(done.seeds)
        self.record.failed |= done.failed
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(msgspec.json.encode(self.record))

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The chunks of a range that have not been tried."""
        tried = {seed for begin, end in self.record.passed for seed in range(begin, end + 1)}
        for begin in range(first, last + 1, CHUNK):
            end = min(begin + CHUNK - 1, last)
            if not tried.issuperset(range(begin, end + 1)):
                yield begin, end


def seeds(first: int, last: int, without: frozenset[str], jobs: int, failures: int) -> int:
    """Carries a range out, or stops after so many failures; how many of its seeds fail."""
    notebook = Notebook(without)
    began = told = time.monotonic()
    total = Chunk((first, last), 0, 0, {}, {})
    kinds: Counter[str] = Counter()
    schedules = 0
    todo = notebook.missing(first, last)
    with ProcessPoolExecutor(jobs) as pool:
        open_: dict[Future[Chunk], None] = {}
        while True:
            while len(open_) < 2 * jobs and len(total.failed) < failures and (chunk := next(todo, None)) is not None:
                open_[pool.submit(carry_out, *chunk, without)] = None
            if not open_:
                break
            for future in wait(open_, return_when=FIRST_COMPLETED).done:
                del open_[future]
                done = future.result()
                notebook.add(done)
                schedules += done.seeds[1] - done.seeds[0] + 1
                total.runs += done.runs
                total.faults += done.faults
                kinds.update(done.kinds)
                total.failed |= done.failed
                for seed, text in done.failed.items():
                    print(f"seed {seed}: {text}\n  replay: {replay(seed, without)}", flush=True)
            if time.monotonic() - told >= TOLD_S:
                told = time.monotonic()
                print(f"{schedules} schedules, {schedules / (told - began):.1f} a second", flush=True)
    return _sum_up(notebook, total, schedules, time.monotonic() - began, kinds)


def _sum_up(notebook: Notebook, total: Chunk, schedules: int, seconds: float, kinds: Counter[str]) -> int:
    first, last = total.seeds
    failed = {seed: text for seed, text in notebook.record.failed.items() if first <= seed <= last}
    if schedules:
        print(
            f"{schedules} schedules in {seconds:.0f} s, {schedules / seconds:.1f} a second: {total.runs} runs, "
            f"{total.faults} faults ({', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))})"
        )
    print(f"seeds {first}-{last}: {last - first + 1 - len(failed)} hold, {len(failed)} fail")
    for text, count in Counter(text.split(":")[0] for text in failed.values()).most_common():
        print(f"  {text}: {count}, such as seed {next(seed for seed, one in failed.items() if one.startswith(text))}")
    return len(failed)


def replay(seed: int, without: frozenset[str]) -> str:
    """The command that shows a seed again."""
    return f"make world SEED={seed} TRACE=1" + (f" WITHOUT={','.join(sorted(without))}" if without else "")


def one(seed: int, without: frozenset[str], trace: bool) -> int:
    """Shows one schedule; how many promises it breaks."""
    outcome = World(plan(seed, without)).run()
    if trace:
        print("\n".join(outcome.trace))
    print(f"seed {seed}: {outcome.runs} runs, {outcome.faults} faults, {outcome.virtual_s:.0f} s of the world's time")
    for violation in outcome.violations:
        print(f"  {violation.checker}: {violation}")
    return len(outcome.violations)


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="make world")
    parser.add_argument("--seeds", default="1-100", help="such as 1-1000")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--trace", action="store_true", help="everything that happens in it")
    parser.add_argument("--without", default="", help="kinds of faults to leave out, such as unheard,twice")
    parser.add_argument("--failures", type=int, default=20, help="stop after so many")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    given = parser.parse_args(arguments)
    without = frozenset(filter(None, given.without.split(",")))
    if os.environ.get("PYTHONHASHSEED") != "0":
        print("PYTHONHASHSEED is not 0: traces may differ from those of `make world`.", file=sys.stderr)
    if given.seed is not None:
        return min(1, one(given.seed, without, given.trace))
    first, _, last = given.seeds.partition("-")
    return min(1, seeds(int(first), int(last or first), without, given.jobs, given.failures))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
