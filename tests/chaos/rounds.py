"""A round: one stage, one seed, so many runs and kills. And many rounds, each kept once it is done."""

import asyncio
import dataclasses
import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.checkers import judge
from tests.chaos.clients import Clients
from tests.chaos.evidence import Evidence, gather
from tests.chaos.figures import figures, times
from tests.chaos.monkey import Monkey
from tests.chaos.person import Person
from tests.chaos.project import SCRIPTS
from tests.chaos.stage import Stage, StoreKind

OTHERS = 0.6
"""Chance of another fault beside each kill."""
STALLED_S = 45.0
"""The monkey does not wait longer than this for runs to begin: whatever hangs is found by the clients."""


@dataclass(frozen=True)
class Plan:
    """What a round is."""

    seed: int
    runs: int
    kills: int
    store: StoreKind = "sqlite"
    clients: int = 40
    """Runs open at once."""
    falsely: bool = False
    """The agent declares what is not true of its tools, so that effects are repeated: something must be found."""


@dataclass
class Outcome:
    """What became of a round; as JSON a line of the results' file."""

    seed: int
    store: str
    kills: int
    seconds: float
    disk: str
    faults: dict[str, int]
    figures: dict[str, Any]
    times: dict[str, list[float]]
    findings: list[tuple[str, str, str]]
    error: str = ""
    """Why the round could not be carried through: a server that does not start any more, for one."""


async def play(plan: Plan, root: Path, python: Path, *, keep: bool = False) -> Outcome:
    """Plays one round and judges it. The stage's folder stays where something was found."""
    began = time.monotonic()
    stage = Stage(root, plan.store, python, plan.seed)
    monkey = Monkey(stage, plan.seed)
    found, error = Evidence(plan.store), ""
    try:
        await stage.build(falsely=plan.falsely)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as http:
            try:
                found = await _act(plan, stage, monkey, http)
            except (RuntimeError, aiohttp.ClientError, TimeoutError) as broken:
                error = f"{type(broken).__name__}: {broken}"
        findings = judge(found)
    except BaseException:
        await stage.close(keep=True)
        raise
    keep = keep or bool(findings or error)
    if keep:
        (root / "evidence.json").write_text(json.dumps(dataclasses.asdict(found)))
    await stage.close(keep=keep)
    return Outcome(
        seed=plan.seed, store=plan.store, kills=monkey.counts["server killed"],
        seconds=round(time.monotonic() - began, 1), disk=stage.disk, faults=dict(monkey.counts),
        figures=figures(found), times=times(found),
        findings=[(one.rule, one.run, one.what) for one in findings], error=error,
    )  # fmt: skip


async def _act(plan: Plan, stage: Stage, monkey: Monkey, http: aiohttp.ClientSession) -> Evidence:
    """Clients, the monkey and the person, until all runs have ended and all kills are done; then evidence."""
    for model, script in SCRIPTS.items():
        async with http.post(f"{stage.provider_url}/sim/scripts", json={"model": model, "script": script}) as response:
            response.raise_for_status()
    acknowledged: list[str] = []
    clients = Clients(stage, plan.seed, acknowledged.append)
    person = Person(stage, plan.seed)
    gate = _Gate(plan)
    numbers = iter(range(plan.runs))

    async def client() -> None:
        for number in numbers:
            await gate.passed(number)
            await clients.one(http, number)

    deciding = asyncio.ensure_future(person.decide(http))
    working = [asyncio.ensure_future(client()) for _ in range(plan.clients)]
    try:
        while monkey.counts["server killed"] < plan.kills:
            done = monkey.counts["server killed"]
            gate.open_for(done + 1)
            await _begun(clients, plan.runs * done // plan.kills)
            await monkey.pause()
            if monkey.flips(OTHERS):
                await monkey.other()
                await monkey.pause()
            await monkey.kill()
        gate.open_for(plan.kills)
        await monkey.settle()
        stage.well()
        await asyncio.gather(*working)
        found = await gather(stage, http, clients.records)
    finally:
        for task in (deciding, *working):
            task.cancel()
        await asyncio.gather(deciding, *working, return_exceptions=True)
        await monkey.abandon()
    found.decided, found.refusals = person.made, person.refused
    return found


class _Gate:
    """Spreads the runs over the kills: those of a kill begin before it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._open = 0
        self._changed = asyncio.Event()

    def open_for(self, kills: int) -> None:
        """Lets in what belongs to the first `kills`."""
        self._open = -(-self._plan.runs * kills // max(1, self._plan.kills))
        self._changed.set()
        self._changed = asyncio.Event()

    async def passed(self, number: int) -> None:
        """Waits until run `number` may begin."""
        while number >= self._open:
            await self._changed.wait()


async def _begun(clients: Clients, number: int) -> None:
    """Waits until so many clients have begun: kills meet open runs up to the last."""
    end = time.monotonic() + STALLED_S
    while len(clients.records) < number and time.monotonic() < end:
        await asyncio.sleep(0.02)


def split(plan: Plan, size: int) -> list[Plan]:
    """Rounds of at most `size` kills, each with a seed of its own, from `plan.seed` on."""
    rounds = max(1, -(-plan.kills // size))
    shares = [(plan.kills * n // rounds, plan.runs * n // rounds) for n in range(rounds + 1)]
    return [
        Plan(plan.seed + n, shares[n + 1][1] - shares[n][1], shares[n + 1][0] - shares[n][0], plan.store, plan.clients)
        for n in range(rounds)
    ]


class Results:
    """A file of outcomes, one a line: rounds that stand there are not played again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> list[Outcome]:
        """Everything so far."""
        if not self.path.exists():
            return []
        return [Outcome(**json.loads(line)) for line in self.path.read_text().splitlines()]

    def add(self, outcome: Outcome) -> None:
        """Appends one."""
        with self.path.open("a") as file:
            file.write(json.dumps(outcome.__dict__) + "\n")


def tidy(root: Path) -> None:
    """Removes a stage that nobody needs."""
    shutil.rmtree(root, ignore_errors=True)


def total(outcomes: list[Outcome], name: str) -> Counter[str]:
    """The sum of a figure that is a table of counts."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.figures.get(name, {}))
    return counts
