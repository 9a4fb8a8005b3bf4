"""`python -m tests.chaos`: rounds of chaos, judged, reported, resumed; see `make chaos`."""

import argparse
import asyncio
import dataclasses
import json
import platform
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from tests.chaos.figures import spread
from tests.chaos.rounds import Outcome, Plan, Results, play, split, total
from tests.chaos.wheel import ROOT, STATE, code_name, installed

SHOWN = 25
"""Findings that are printed; all stand in the file."""
GOALS = {"first_event_after_ready": 1.0, "first_event_after_exec": 2.5, "takeover_by_another": 10.0}


def main() -> int:
    """Parses the command line and plays; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=100, help="of servers; other faults come on top")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=40, help="runs open at once")
    parser.add_argument("--round", type=int, default=50, help="kills of a round; each begins with an empty store")
    parser.add_argument("--tree", action="store_true", help="the working tree's environment instead of a built wheel")
    parser.add_argument("--revision", default="", help="the wheel of this commit; the working tree's when absent")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all rounds")
    parser.add_argument("--afresh", action="store_true", help="play rounds again that have been played")
    given = parser.parse_args()
    python = Path(sys.executable) if given.tree else installed(given.revision)
    plan = Plan(given.seed, given.runs, given.kills, given.store, given.clients)
    code = "tree" if given.tree else code_name(given.revision)
    file = STATE / f"{given.store}-{given.runs}-{given.kills}-{given.clients}-seed{given.seed}-{code}.jsonl"
    if given.afresh:
        file.unlink(missing_ok=True)
    results = Results(file)
    done = {outcome.seed for outcome in results.read()}
    for one in split(plan, given.round):
        if one.seed in done:
            continue
        root = STATE / f"stage-{given.store}-{one.seed}"
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcome = runner.run(play(one, root, python, keep=given.keep))
        results.add(outcome)
        print(line(outcome, one), flush=True)
    outcomes = results.read()
    print(report(plan, outcomes, code))
    summary = file.with_suffix(".json")
    summary.write_text(json.dumps(as_json(plan, outcomes, code), indent=1))
    print(f"\n{summary.relative_to(ROOT)} has all of it.")
    return int(any(outcome.findings or outcome.error for outcome in outcomes))


def line(outcome: Outcome, plan: Plan) -> str:
    """A round in one line, with the command that plays it again where something was found."""
    told = (
        f"seed {outcome.seed}: {outcome.figures['runs']} runs, {outcome.kills} kills in {outcome.seconds:.0f} s, "
        f"{len(outcome.findings)} findings"
    )
    if not outcome.findings and not outcome.error:
        return told
    again = f"make chaos STORE={plan.store} SEED={plan.seed} RUNS={plan.runs} KILLS={plan.kills} CLIENTS={plan.clients}"
    shown = [f"  {rule}: {run} {what}" for rule, run, what in outcome.findings[:SHOWN]]
    error = [f"  ended early: {outcome.error}"] if outcome.error else []
    return "\n".join([told, *error, *shown, f"  its folder: .chaos/stage-{plan.store}-{plan.seed}; again: {again}"])


def as_json(plan: Plan, outcomes: list[Outcome], code: str) -> dict[str, Any]:
    """The report for programs."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                            check=False)  # fmt: skip
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": commit.stdout.strip(),
        "wheel": code,
        "machine": f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}",
        "plan": dataclasses.asdict(plan),
        "findings": Counter(rule for outcome in outcomes for rule, _, _ in outcome.findings),
        "times_s": {name: spread(values) for name, values in _times(outcomes).items()},
        "rounds": [dataclasses.asdict(outcome) for outcome in outcomes],
    }


def _times(outcomes: list[Outcome]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for outcome in outcomes:
        for name, values in outcome.times.items():
            found.setdefault(name, []).extend(values)
    return found


def report(plan: Plan, outcomes: list[Outcome], code: str) -> str:
    """The report for people."""
    faults: Counter[str] = Counter()
    for outcome in outcomes:
        faults.update(outcome.faults)
    runs = sum(outcome.figures["runs"] for outcome in outcomes)
    findings = Counter(rule for outcome in outcomes for rule, _, _ in outcome.findings)
    head = (
        f"{plan.store}: {runs:,} runs under {faults['server killed']:,} kills, {len(outcomes)} rounds, "
        f"{sum(outcome.seconds for outcome in outcomes):,.0f} s; code {code}; full disk by {outcomes[0].disk}"
    )
    lines = [
        "",
        head,
        "  faults: " + ", ".join(f"{name} {count}" for name, count in faults.most_common()),
        "  ends: " + _counts(total(outcomes, "ends")),
        "  clients: " + _counts(total(outcomes, "clients_ended")),
        "  asked of the outside world: " + _counts(total(outcomes, "attempts")),
        "  done by it: " + _counts(total(outcomes, "effects")),
        "  done, and told as failed: " + _counts(total(outcomes, "told_failed_but_done")),
        "  decided by the person: " + _counts(total(outcomes, "decided")),
        "  paid for nothing: " + _counts(total(outcomes, "paid_for_nothing")),
    ]
    for name in ("runs_taken_up_again", "unacknowledged", "refused", "resumes_of_clients", "resets_of_clients",
                 "failed_starts"):  # fmt: skip
        lines.append(f"  {name.replace('_', ' ')}: {sum(outcome.figures[name] for outcome in outcomes):,}")
    for name, values in _times(outcomes).items():
        goal = f" (goal: {GOALS[name]:g})" if name in GOALS else ""
        lines.append(f"  {name.replace('_', ' ')}, s: {_counts(Counter(spread(values)))}{goal}")
    lines.append("  findings: " + (_counts(findings) if findings else "none"))
    lines += [f"  ended early: seed {outcome.seed}: {outcome.error}" for outcome in outcomes if outcome.error]
    return "\n".join(lines)


def _counts(counts: "Counter[str]") -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


if __name__ == "__main__":
    sys.exit(main())
