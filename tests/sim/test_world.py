"""The simulated world holds its promises on a few seeds, repeats itself byte for byte, and its checkers can object."""

import ast
import asyncio
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.mutants import MUTANTS, Mutant, hunt
from tests.sim.plan import LEAST_CASES, Plan, plan
from tests.sim.processes import OUTSIDE, Process, WorldLoop
from tests.sim.run import Chunk, Notebook, carry_out, keep, line, replay
from tests.sim.world import World

ROOT = Path(__file__).parents[2]
SEEDS = 40
AT_ONCE = 5
MENDING: frozenset[int] = frozenset()
"""Seeds that show a bug which is being mended."""
QUICK = (
    "an effect is begun twice",
    "an effect begins before its intent is durable",
    "an epoch that is over fences nobody",
    "a living server's runs are claimed",
    "a reader of all runs skips a row",
    "an outbox message is lost",
    "a model call is paid twice in the ledger",
    "events are shown before they are durable",
    "a live frame is lost",
    "connections to providers stay open",
)
"""Bugs that are caught within a schedule or a few; the others are tried in the long tests."""


@pytest.mark.parametrize("first", range(1, SEEDS + 1, AT_ONCE))
def test_every_promise_holds(first: int) -> None:
    """Whatever the plan of the seed does to it, golive keeps what it promises."""
    for seed in set(range(first, first + AT_ONCE)) - MENDING:
        outcome = World(plan(seed)).run()
        assert not outcome.violations, f"{outcome.violations[0].checker}: {outcome.violations[0]}: {replay(seed, _ALL)}"
        assert outcome.runs >= 20


def test_one_seed_is_one_trace_whatever_the_hashes() -> None:
    """The same seed gives the same trace, byte for byte, in two processes with different hashes of strings."""
    traces = []
    for hashes in ("0", "4711"):
        command = [sys.executable, "-m", "tests.sim.run", "--seed", "3", "--trace"]
        environ = os.environ | {"PYTHONHASHSEED": hashes}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=True)
        traces.append(done.stdout)
    assert len(traces[0]) > 50_000
    assert traces[0] == traces[1]


def test_every_schedule_has_work_and_trouble() -> None:
    """Each plan asks for at least 20 runs and holds at least 5 faults."""
    for seed in range(1, 500):
        made = plan(seed)
        assert len(made.cases) >= LEAST_CASES >= 20
        assert len(made.faults) >= 5


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.name in QUICK], ids=lambda one: one.name)
def test_a_known_bug_is_caught(mutant: Mutant) -> None:
    """A bug that is put back is caught, by the checker of the promise that it breaks."""
    verdict = hunt(mutant, most=15)
    assert verdict.checker in mutant.caught_by, verdict


@pytest.mark.long
@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.name not in QUICK], ids=lambda one: one.name)
def test_a_known_bug_is_caught_in_time(mutant: Mutant) -> None:
    """The same for bugs that need more schedules to show."""
    verdict = hunt(mutant)
    assert verdict.checker in mutant.caught_by, verdict


def test_the_mutants_are_many_and_each_promise_has_one() -> None:
    """Every checker but `told` and `journal`, which stand behind others, is the one that catches some known bug."""
    assert len(MUTANTS) >= 15
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert set(QUICK) <= {mutant.name for mutant in MUTANTS}


@pytest.mark.parametrize("part", ["Holding", "Outward", "Runtime", "RuntimeSettings", "ModelPlane"])
def test_a_replica_is_put_together_as_a_server_is(part: str) -> None:
    """Whatever `app.py` hands to a part, the world's replicas hand to it, too, but for what dev and commands have.

    Nor have they credentials that somebody could rotate or revoke: no provider of the world asks for one.
    """
    given = [_arguments(ROOT / path, part) for path in ("src/golive/app.py", "tests/sim/replica.py")]
    assert given[0] - {"moves_on", "unrecognised", "alone", "renew", "open_calls"} <= given[1]


def _arguments(path: Path, part: str) -> set[str]:
    """The names of the arguments with which a module calls `part`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    found = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == part]
    assert found, f"{path} makes no {part}"
    return {str(keyword.arg) for call in found for keyword in call.keywords}


# ---- processes -------------------------------------------------------------------------------------------------------


def test_a_killed_process_takes_no_step_more_not_even_to_clean_up() -> None:
    """What is killed between two steps neither goes on nor runs its `finally` blocks."""
    loop, steps = WorldLoop(), []
    process = Process("p")

    async def work() -> None:
        try:
            for step in range(10):
                steps.append(step)
                await asyncio.sleep(1.0)
        finally:
            steps.append(-1)

    def begin() -> None:
        process.start(loop, work(), "work")

    loop.outside_later(0.0, begin)
    loop.outside_later(3.5, process.kill)
    loop.run_until_complete(asyncio.sleep(20.0))
    assert steps == [0, 1, 2, 3]
    loop.bury()
    loop.close()


def test_a_frozen_process_goes_on_in_order_when_it_is_woken() -> None:
    """Timers that ran out while it was frozen run out at once, in their order; others run in their time."""
    loop, seen = WorldLoop(), []
    process = Process("p")

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((seconds, round(loop.time(), 3)))

    def begin() -> None:
        for seconds in (1.0, 2.0, 3.0, 9.0):
            process.start(loop, wait(seconds), "wait")

    loop.outside_later(0.0, begin)
    loop.outside_later(1.5, process.freeze)
    loop.outside_later(5.0, process.wake, loop)
    loop.run_until_complete(asyncio.sleep(20.0))
    assert seen == [(1.0, 1.0), (2.0, 5.0), (3.0, 5.0), (9.0, 9.0)]
    loop.close()


def test_a_process_can_be_killed_before_any_of_its_steps() -> None:
    """`after_steps` counts callbacks: the process has taken exactly so many when it dies."""
    for steps in range(4):
        loop = WorldLoop()
        process = Process("p")
        seen: list[int] = []

        async def work(seen: list[int] = seen) -> None:
            for step in range(10):
                seen.append(step)
                await asyncio.sleep(0)

        process.after_steps(steps, process.kill)
        OUTSIDE.run(process.start, loop, work(), "work")
        loop.run_until_complete(asyncio.sleep(5.0))
        assert seen == list(range(steps))
        assert not process.alive
        loop.bury()
        loop.close()


def test_a_range_is_gone_on_with_where_it_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tried over the same code is not tried again, also where the last line broke off."""
    monkeypatch.setattr("tests.sim.run.ROOT", tmp_path)
    notebook = Notebook(_ALL)
    for seeds in ((1, 10), (21, 25), (31, 32)):
        notebook.add(Chunk(seeds, 1, 1, {}, {}))
    (path,) = (tmp_path / ".bench" / "world").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    assert list(Notebook(_ALL).missing(1, 32)) == [(11, 20), (21, 30), (31, 32)]


def test_a_seed_that_fails_does_not_end_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does one whose world cannot be made: the others are tried all the same."""

    def broken(seed: int, without: frozenset[str]) -> Plan:
        if seed == 1:
            raise ValueError("no plan")
        return plan(seed, without)

    monkeypatch.setattr("tests.sim.run.plan", broken)
    done = carry_out(1, 2, _ALL)
    assert done.failed == {1: "world: it could not be carried out: ValueError('no plan')"}
    assert done.runs >= 20
    assert gc.isenabled()


def test_a_finished_range_is_a_line_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Totals of all its chunks; the same range over the same code stands there once."""
    monkeypatch.setattr("tests.sim.run.ROOT", tmp_path)
    (tmp_path / "tests" / "sim").mkdir(parents=True)
    notebook = Notebook(_ALL)
    notebook.add(Chunk((1, 10), 220, 70, {"kill": 3}, {7: "money: lost"}, 3.0))
    notebook.add(Chunk((11, 20), 230, 60, {"kill": 1}, {}, 2.0))
    for code in ("old", "new", "new"):
        keep(line(notebook.range(1, 20), _ALL, code))
    lines = [json.loads(one) for one in (tmp_path / "tests" / "sim" / "RANGES.jsonl").read_text().splitlines()]
    assert [one["code"] for one in lines] == ["old", "new"]
    assert (lines[0]["seeds"], lines[0]["schedules"], lines[0]["failures"]) == ("1-20", 20, 1)
    assert (lines[0]["failed"], lines[0]["runs"], lines[0]["per_cpu_s"]) == ([7], 450, 4.0)


_ALL: frozenset[str] = frozenset()
