"""`make world`: many schedules, one after the other; what failed can be replayed from its seed alone.

make world SEEDS=1-1000             those seeds; goes on where an earlier call over the same code stopped
make world SEEDS=1-1000 RECORD=1    and keeps what they came to, as a line of RANGES.jsonl
make world SEED=17 TRACE=1          one seed, and everything that happened in it
make world SEEDS=1-1000 WITHOUT=unheard,twice
"""

import argparse
import gc
import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from golive.store.schema import ddl
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
    cpu_s: float = 0.0


class Line(Struct):
    """A range that was carried out, as RANGES.jsonl keeps it."""

    seeds: str
    without: list[str]
    schedules: int
    failures: int
    failed: list[int]
    runs: int
    faults: int
    per_cpu_s: float
    """Schedules a second of CPU."""
    code: str
    """See `code`."""
    commit: str
    """What was checked out; with a "+" where files were changed since."""
    date: str


def carry_out(first: int, last: int, without: frozenset[str]) -> Chunk:
    """Runs the schedules of these seeds, each whatever became of the one before."""
    done = Chunk((first, last), 0, 0, {}, {})
    kinds: Counter[str] = Counter()
    began = time.process_time()
    gc.collect()
    gc.freeze()  # golive itself is not looked through again
    gc.disable()  # what is left of a few worlds has room
    for seed in range(first, last + 1):
        try:
            outcome = World(plan(seed, without)).run()
        except Exception as error:
            done.failed[seed] = f"world: it could not be carried out: {error!r}"
            continue
        done.runs += outcome.runs
        done.faults += outcome.faults
        kinds.update(outcome.kinds)
        if outcome.violations:
            violation = outcome.violations[0]
            done.failed[seed] = f"{violation.checker}: {violation}"
    gc.enable()
    done.kinds = dict(kinds)
    done.cpu_s = time.process_time() - began
    return done


def code() -> str:
    """Names the code that is tried: of golive and the world what a schedule is made of, and no more."""
    digest = hashlib.sha256(ddl("sqlite").encode())
    for name, module in sorted(sys.modules.items()):
        if name.startswith(("golive", "tests.sim")) and name not in _BESIDE and (path := module.__file__):
            digest.update(name.encode() + b"\0" + Path(path).read_bytes())
    return digest.hexdigest()[:16]


_BESIDE = ("tests.sim.run", "tests.sim.mutants", "tests.sim.test_world")
"""What no schedule depends on."""


class Notebook:
    """Keeps what the chunks of one code came to, a line each, so that a range can be gone on with."""

    def __init__(self, without: frozenset[str]) -> None:
        self.code = code()
        self._path = ROOT / ".bench" / "world" / f"{self.code}{'-'.join(['', *sorted(without)])}.jsonl"
        self.chunks: list[Chunk] = []
        if self._path.exists():
            whole, _, _ = self._path.read_bytes().rpartition(b"\n")  # a line that broke off is tried again
            self.chunks = msgspec.json.Decoder(Chunk).decode_lines(whole)

    def add(self, done: Chunk) -> None:
        """Writes down what a chunk came to."""
        self.chunks.append(done)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(done) + b"\n")

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The chunks of a range that have not been tried."""
        tried = {seed for chunk in self.chunks for seed in range(chunk.seeds[0], chunk.seeds[1] + 1)}
        for begin in range(first, last + 1, CHUNK):
            end = min(begin + CHUNK - 1, last)
            if not tried.issuperset(range(begin, end + 1)):
                yield begin, end

    def range(self, first: int, last: int) -> Chunk:
        """What a range came to, in this call and in earlier ones."""
        total = Chunk((first, last), 0, 0, {}, {})
        kinds: Counter[str] = Counter()
        for chunk in self.chunks:
            if first <= chunk.seeds[1] and chunk.seeds[0] <= last:
                total.runs += chunk.runs
                total.faults += chunk.faults
                total.cpu_s += chunk.cpu_s
                kinds.update(chunk.kinds)
                total.failed |= {seed: text for seed, text in chunk.failed.items() if first <= seed <= last}
        total.kinds = dict(kinds)
        total.failed = dict(sorted(total.failed.items()))
        return total


def seeds(first: int, last: int, without: frozenset[str], jobs: int, failures: int, record: bool) -> int:
    """Carries a range out; how many of its seeds fail. `failures`: stops after so many (0: never)."""
    notebook = Notebook(without)
    began = told = time.monotonic()
    schedules = failed = 0
    todo = notebook.missing(first, last)
    with ProcessPoolExecutor(jobs) as pool:
        open_: dict[Future[Chunk], None] = {}
        while True:
            while len(open_) < 2 * jobs and not 0 < failures <= failed and (chunk := next(todo, None)) is not None:
                open_[pool.submit(carry_out, *chunk, without)] = None
            if not open_:
                break
            for future in wait(open_, return_when=FIRST_COMPLETED).done:
                del open_[future]
                done = future.result()
                notebook.add(done)
                schedules += done.seeds[1] - done.seeds[0] + 1
                failed += len(done.failed)
                for seed, text in done.failed.items():
                    print(f"seed {seed}: {text}", flush=True)
            if time.monotonic() - told >= TOLD_S:
                told = time.monotonic()
                print(f"{schedules} schedules, {schedules / (told - began):.1f} a second", flush=True)
    if schedules:
        print(f"{schedules} schedules now, {schedules / (time.monotonic() - began):.1f} a second")
    whole = next(notebook.missing(first, last), None) is None
    total = notebook.range(first, last)
    _sum_up(total, without, whole)
    if record and whole:
        keep(line(total, without, notebook.code))
    return len(total.failed)


def _sum_up(total: Chunk, without: frozenset[str], whole: bool) -> None:
    """Says what a range came to, and how each seed that fails is seen again."""
    (first, last), count = total.seeds, len(total.failed)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(total.kinds.items()))
    print(f"{total.runs} runs, {total.faults} faults ({kinds})")
    print(
        f"seeds {first}-{last}: " + (f"{last - first + 1 - count} hold, {count} fail" if whole else f"{count} failed")
    )
    for text, times in Counter(text.split(":")[0] for text in total.failed.values()).most_common():
        print(f"  {text}: {times}")
    for seed, text in total.failed.items():
        print(f"seed {seed}: {text}\n  replay: {replay(seed, without)}")


def line(total: Chunk, without: frozenset[str], code_: str) -> Line:
    """A finished range in a line."""
    first, last = total.seeds
    return Line(
        seeds=f"{first}-{last}", without=sorted(without), schedules=last - first + 1, failures=len(total.failed),
        failed=list(total.failed), runs=total.runs, faults=total.faults,
        per_cpu_s=round((last - first + 1) / max(total.cpu_s, 0.001), 2), code=code_, commit=_commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
    )  # fmt: skip


def keep(made: Line) -> None:
    """Puts the line into RANGES.jsonl; one of the same range over the same code makes room for it."""
    path = ROOT / "tests" / "sim" / "RANGES.jsonl"
    lines: Iterable[Line] = msgspec.json.Decoder(Line).decode_lines(path.read_bytes()) if path.exists() else ()
    kept = [one for one in lines if (one.seeds, one.without, one.code) != (made.seeds, made.without, made.code)]
    path.write_bytes(msgspec.json.Encoder().encode_lines([*kept, made]))
    print(f"recorded in {path.relative_to(ROOT)}")


def _commit() -> str:
    """The commit that is checked out; "" where there is no repository."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src/golive", "tests/sim/*.py")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


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
    parser.add_argument("--failures", type=int, default=0, help="stop after so many (0: go on)")
    parser.add_argument("--record", action="store_true", help="keep what a whole range came to in RANGES.jsonl")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    given = parser.parse_args(arguments)
    without = frozenset(filter(None, given.without.split(",")))
    if os.environ.get("PYTHONHASHSEED") != "0":
        print("PYTHONHASHSEED is not 0: traces may differ from those of `make world`.", file=sys.stderr)
    if given.seed is not None:
        return min(1, one(given.seed, without, given.trace))
    first, _, last = given.seeds.partition("-")
    return min(1, seeds(int(first), int(last or first), without, given.jobs, given.failures, given.record))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
