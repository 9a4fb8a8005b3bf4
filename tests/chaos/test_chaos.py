"""Chaos over real processes, in small: `make chaos` plays the large rounds, and says how a seed is played again."""

import sys
from pathlib import Path

import pytest

from tests.chaos.rounds import Outcome, Plan, Results, play, split
from tests.chaos.wheel import installed


def _is_well(outcome: Outcome, kills: int) -> None:
    told = [f"{rule}: {run} {what}" for rule, run, what in outcome.findings]
    assert not told, "\n".join(told)
    assert not outcome.error
    assert outcome.kills == kills
    assert outcome.figures["runs_taken_up_again"], "no kill met an open run, so that nothing was shown"


async def test_three_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Runs that pay, mail, write and fax are killed in the middle: each ends, and each effect happened once."""
    outcome = await play(Plan(seed=7, runs=18, kills=3, clients=18), tmp_path / "stage", Path(sys.executable))
    _is_well(outcome, 3)
    assert outcome.figures["effects"]["pay"] > 0


@pytest.mark.long
@pytest.mark.parametrize(("store", "runs", "kills"), [("sqlite", 150, 20), ("postgres", 80, 10)])
async def test_the_wheel_survives_chaos(tmp_path: Path, store: str, runs: int, kills: int) -> None:
    """The wheel that would be shipped: kills, freezes, full disks, and networks that break, late or silent."""
    plan = Plan(seed=3, runs=runs, kills=kills, store="sqlite" if store == "sqlite" else "postgres")
    _is_well(await play(plan, tmp_path / "stage", installed()), kills)


@pytest.mark.long
async def test_effects_that_are_repeated_are_found(tmp_path: Path) -> None:
    """An agent that calls its mails and faxes idempotent, which they are not, sends some twice; payments have a key.

    A fax that was begun anew without being sent twice, which no other declaration would have allowed, is `again`.
    """
    plan = Plan(seed=4, runs=120, kills=15, falsely=True)
    outcome = await play(plan, tmp_path / "stage", Path(sys.executable))
    twice = {what.split()[0] for rule, _, what in outcome.findings if rule == "twice"}
    assert twice
    assert twice <= {"mail", "fax"}
    assert {rule for rule, _, _ in outcome.findings} <= {"twice", "again"}
    assert all("tool.started" in what for rule, _, what in outcome.findings if rule == "again")


def test_rounds_share_runs_and_kills() -> None:
    """Every run and kill is in one round, and each round has a seed of its own."""
    rounds = split(Plan(seed=5, runs=1_000, kills=120, store="postgres"), 50)
    assert [(one.seed, one.runs, one.kills) for one in rounds] == [(5, 333, 40), (6, 333, 40), (7, 334, 40)]
    assert {one.store for one in rounds} == {"postgres"}


def test_results_are_kept_and_read_again(tmp_path: Path) -> None:
    """A round that stands in the file needs not be played again."""
    results = Results(tmp_path / "kept" / "file.jsonl")
    assert results.read() == []
    outcome = Outcome(1, "sqlite", 2, 3.5, "tmpfs", {"server killed": 2}, {"runs": 3}, {"takeover": [1.5]}, [])
    results.add(outcome)
    results.add(outcome)
    assert results.read() == [outcome, outcome]
