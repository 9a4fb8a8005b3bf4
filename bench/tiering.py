"""What a supervisor on a cheap tier saves, and what it costs: the same questions with and without `[routing]`.

    python bench/tiering.py [--questions 40] [--seed 1]

A whole runtime (`app.Server`, tools inline) against the simulator. Answers, decisions and first tokens are scripted, so
this measures money and added latency as golive counts them, under the prices below, and NOT how well a model answers or
routes. What quality depends on is shown as a count: hard questions that a cheap model answered, because the supervisor
was scripted to be wrong about so many of them.
"""

import argparse
import asyncio
import os
import random
import tempfile
from pathlib import Path
from typing import NamedTuple

from golive.app import DEFAULT_TENANT, Server
from golive.config.load import load
from golive.core.clock import SystemClock
from golive.core.messages import Message
from golive.runtime.api import RunRequest
from golive.sim.script import Script
from golive.sim.server import Simulator
from golive.tenants.authorize import Principal

PRICES = {"large": (2.50, 10.00), "small": (0.15, 0.60)}
"""US dollars for a million input and output tokens: assumed, in the ratio that vendors' large and small models have."""
PROMPT_WORDS = 600
"""Length of the agent's prompt, which every call but the supervisor's carries."""
ANSWER_TOKENS = {"simple": 60, "hard": 400}
FIRST_TOKEN_MS = {"large": 400.0, "small": 200.0}
SIMPLE = (
    "Hello!",
    "Thanks a lot.",
    "When do you open on Sunday?",
    "Where is my order A-1042?",
    "Do you ship to Malta?",
)
HARD = (
    "My desk came with a scratch, two screws are missing and I fly tomorrow. What are my options, and what do I pay?",
    "I was charged twice, once in euros. Work out what I am owed with the rate of that day and the fees.",
    "Compare the oak and the birch shelf for a damp cellar, 40 kg of books and a budget of 120 dollars.",
    "You refused my refund because of the date. Read your own terms again and tell me why that is wrong.",
)
AGENT = """
name = "{name}"
version = "1.0.0"
[models.default]
chain = ["mock/large"]
[models.cheap]
chain = ["mock/small"]
{routing}
"""
PRINCIPAL = Principal(DEFAULT_TENANT, "bench", "user")


class Ask(NamedTuple):
    """One question: `hard` as labelled, `taken_for_hard` as the supervisor is scripted to say."""

    text: str
    hard: bool
    taken_for_hard: bool


class Sum(NamedTuple):
    """What a workload took: money, the mean wait for the first word of hard questions, wrongly cheap answers."""

    microusd: int
    hard_first_word_s: float
    hard_by_cheap: int


def workload(count: int, simple: float, wrong: float, chance: random.Random) -> list[Ask]:
    """`simple` is the share of simple questions, `wrong` that of hard ones which the supervisor takes for simple."""
    easy = round(count * simple)
    missed = round((count - easy) * wrong)
    asks = [Ask(chance.choice(SIMPLE), hard=False, taken_for_hard=False) for _ in range(easy)]
    asks += [Ask(chance.choice(HARD), hard=True, taken_for_hard=n >= missed) for n in range(count - easy)]
    chance.shuffle(asks)
    return asks


def project(folder: Path, base_url: str) -> Path:
    """The same agent twice, with and without routing."""
    prices = "\n".join(
        f'[prices."mock/{model}"]\ninput_usd_per_mtok = {put}\noutput_usd_per_mtok = {got}'
        for model, (put, got) in PRICES.items()
    )
    (folder / "golive.toml").write_text(
        f'[log]\nlevel = "error"\n[providers.mock]\nbase_url = "{base_url}"\n{prices}\n'
    )
    for name, routing in (("one", ""), ("two", '[routing]\nsupervisor = "cheap"')):
        agent = folder / "agents" / name
        agent.mkdir(parents=True)
        (agent / "agent.toml").write_text(AGENT.format(name=name, routing=routing))
        (agent / "prompt.md").write_text("You help customers of a shop. " * (PROMPT_WORDS // 6) + "\n")
    return folder


async def carry_out(server: Server, simulator: Simulator, agent: str, asks: list[Ask]) -> Sum:
    """All questions, one after the other."""
    cost, waits, missed = 0, [], 0
    for ask in asks:
        simulator.scripts.clear()
        tokens = ANSWER_TOKENS["hard" if ask.hard else "simple"]
        if agent == "two":
            route = '{"route":"strong","sure":true}' if ask.taken_for_hard else '{"route":"direct","sure":true}'
            simulator.scripts.install("small", Script(text=route, first_token_ms=FIRST_TOKEN_MS["small"]), 1)
        for model, wait in FIRST_TOKEN_MS.items():
            simulator.scripts.install(model, Script(mode="text", tokens=tokens, first_token_ms=wait))
        request = RunRequest(agent=agent, input=(Message("user", ask.text),), principal=PRINCIPAL)
        run = await server.runtime.start(request)
        result = await server.runtime.wait(DEFAULT_TENANT, run)
        assert result.outcome == "completed", result.reason
        cost += result.cost_microusd
        events = await server.runtime.events(DEFAULT_TENANT, run, 0, 1_000)
        if ask.hard:
            accepted = next(event.at for event in events if event.kind == "run.accepted")
            finished = next(event.at for event in events if event.kind == "text.block")
            waits.append(finished - accepted)
            missed += agent == "two" and not ask.taken_for_hard
    return Sum(cost, sum(waits) / len(waits) if waits else 0.0, missed)


async def main(count: int, seed: int) -> None:
    """Prints the table."""
    simulator = Simulator(seed=seed, clock=SystemClock())
    base_url = await simulator.start()
    with tempfile.TemporaryDirectory(prefix="golive-bench-") as folder:
        server = Server(load(project(Path(folder), base_url), {}), os.environ, inline=True)
        await server.start()
        print(f"{count} questions, seed {seed}; USD per million tokens (in, out): {PRICES}")
        print("| simple | hard taken for simple | without, USD | with, USD | change | later, hard | hard by cheap |")
        print("|---|---|---|---|---|---|---|")
        for simple, wrong in ((0.9, 0.0), (0.6, 0.0), (0.6, 0.125), (0.3, 0.0), (0.0, 0.0)):
            asks = workload(count, simple, wrong, random.Random(seed))
            one = await carry_out(server, simulator, "one", asks)
            two = await carry_out(server, simulator, "two", asks)
            later = two.hard_first_word_s - one.hard_first_word_s
            print(
                f"| {simple:.0%} | {wrong:.1%} | {one.microusd / 1e6:.4f} | {two.microusd / 1e6:.4f} "
                f"| {two.microusd / one.microusd - 1:+.1%} | {later * 1e3:+.0f} ms | {two.hard_by_cheap} |"
            )
        await server.close()
    await simulator.stop()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--questions", type=int, default=40)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    asyncio.run(main(chosen.questions, chosen.seed))
