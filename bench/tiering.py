"""What a cheap tier saves, and what it costs in quality: the same questions under each policy of `[routing]`.

    python bench/tiering.py [--questions 40] [--seed 1] [--local] [--only questions|conversations]

A whole runtime (`app.Server`, tools inline) against the simulator, on the workload of `tiering_workload.py`. Money and
waits are as golive counts them, under the prices below. Quality is the share of answers that hold the expected fact.
What the models say is scripted: the strong tier is right, the cheap one right on simple questions and wrong on hard
ones, supervisor and judge as wrong as each line says. So these lines show what follows from a model's mistakes, and NOT
how many it makes.

`--local` shows that of one real model: SmolLM2-135M on this machine is the cheap tier (answers, decisions, verdicts and
summaries are its own), beside the simulated strong one.
"""

import argparse
import asyncio
import os
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import msgspec
from tiering_local import MODEL, bound_model
from tiering_workload import PROMPT, QUESTIONS, SMALL_TALK, TOLD, WRONG, Question, mixed, right

from golive.app import DEFAULT_TENANT, Server
from golive.config.load import load
from golive.core.clock import SystemClock
from golive.core.events import Event
from golive.core.messages import Message
from golive.runtime.api import RunRequest
from golive.sim.script import Script
from golive.sim.server import Simulator
from golive.tenants.authorize import Principal

PRICES = {"mock/large": (2.50, 10.00), "mock/large-cached": (2.50, 10.00), "*/small": (0.15, 0.60)}
"""US dollars for a million input and output tokens: assumed, in the ratio that vendors' large and small models have."""
CACHED_USD = 0.25
"""The same for input that the provider had in its cache, of `large-cached`; `large` gives no discount."""
PROMPT_WORDS = 600
"""Length of the scripted agents' prompt, which every call but the supervisor's carries."""
ANSWER_WORDS = {False: 40, True: 280}
"""Of the strong tier's answer to a simple and to a hard question; the cheap tier's are of the first kind."""
FIRST_TOKEN_MS = {"large": 400.0, "large-cached": 400.0, "small": 200.0}
TURNS = 30
"""Of the long conversation."""
AGENT = """
name = "{name}"
version = "1.0.0"
[models.default]
chain = ["{strong}"]
temperature = 0.0
max_output_tokens = {most}
[models.cheap]
chain = ["{cheap}"]
temperature = 0.0
max_output_tokens = 120
{routing}
"""
ROUTED = '[routing]\nsupervisor = "cheap"'
POLICIES = {
    "strong": "",
    "routed": ROUTED,
    "judged": f"{ROUTED}\njudge = true",
    "long": ROUTED,
    "long-cached": ROUTED,
    "brief8": f"{ROUTED}\nsummarise_over = 8_000",
    "brief8-cached": f"{ROUTED}\nsummarise_over = 8_000",
    "brief16": f"{ROUTED}\nsummarise_over = 16_000",
    "brief16-cached": f"{ROUTED}\nsummarise_over = 16_000",
}
PRINCIPAL = Principal(DEFAULT_TENANT, "bench", "user")


class Mistakes(NamedTuple):
    """Every n-th of a kind goes wrong; 0: none. `missed`: hard questions that the supervisor takes for simple;
    `let_through`: wrong answers that the judge accepts; `refused`: right ones that it does not."""

    missed: int = 0
    let_through: int = 0
    refused: int = 0


class Outcome(NamedTuple):
    """One question's run."""

    question: Question
    text: str
    microusd: int
    first_word_s: float
    route: str
    """Where the supervisor sent it, and why; "" without one."""
    verdict: str
    """`accepted`, or why not; "" where nobody judged."""
    draft: str
    cheap: bool
    """Whether the answer shown is the cheap tier's."""


class Stage:
    """A runtime with one agent a policy, the simulator behind it, and perhaps a real small model."""

    def __init__(self, server: Server, simulator: Simulator, *, local: bool) -> None:
        self.server, self.simulator, self.local = server, simulator, local

    def script(self, model: str, text: str, words: int = 0, times: int | None = None) -> None:
        """What the model says next: `text`, filled up to so many words."""
        filled = " ".join([text, *["indeed"] * max(0, words - len(text.split()))])
        self.simulator.scripts.install(model, Script(text=filled, first_token_ms=FIRST_TOKEN_MS[model]), times)

    async def run(self, agent: str, text: str, conversation: str | None = None) -> tuple[float, list[Event], int]:
        """Seconds to the first word, the journal, and the cost."""
        request = RunRequest(
            agent=agent, input=(Message("user", text),), principal=PRINCIPAL, conversation=conversation
        )
        begun, first = time.perf_counter(), 0.0
        run = await self.server.runtime.start(request)
        subscription = await self.server.runtime.subscribe(DEFAULT_TENANT, run)
        while (frames := await subscription.next(60.0)) is not None:
            if not first and any(frame.event == "text.delta" for frame in frames):
                first = time.perf_counter() - begun
        subscription.close()
        result = await self.server.runtime.result(DEFAULT_TENANT, run)
        assert result.outcome == "completed" or self.local, result.reason
        return first, await self.server.runtime.events(DEFAULT_TENANT, run, 0, 1_000), result.cost_microusd


@asynccontextmanager
async def stage(seed: int, local_url: str = "") -> AsyncIterator[Stage]:
    """Sets it up and takes it away."""
    simulator = Simulator(seed=seed, clock=SystemClock())
    base_url = await simulator.start()
    with tempfile.TemporaryDirectory(prefix="golive-bench-") as folder:
        server = Server(load(_project(Path(folder), base_url, local_url), {}), os.environ, inline=True)
        await server.start()
        try:
            yield Stage(server, simulator, local=bool(local_url))
        finally:
            await server.close()
            await simulator.stop()


def _project(folder: Path, base_url: str, local_url: str) -> Path:
    prices = "\n".join(
        f'[prices."{pattern}"]\ninput_usd_per_mtok = {put}\noutput_usd_per_mtok = {got}'
        + (f"\ncached_input_usd_per_mtok = {CACHED_USD}" if "cached" in pattern else "")
        for pattern, (put, got) in {**PRICES, f"local/{MODEL}": PRICES["*/small"]}.items()
    )
    # On a busy machine the model is slow, which is not what is measured.
    patience = "first_token_s = 250\nbetween_tokens_s = 250\ncall_s = 280\n"
    local = f'[providers.local]\nbase_url = "{local_url}"\n{patience}' if local_url else ""
    (folder / "golive.toml").write_text(
        f'[log]\nlevel = "error"\n[providers.mock]\nbase_url = "{base_url}"\n{local}{prices}\n'
    )
    cheap = f"local/{MODEL}" if local_url else "mock/small"
    for name, routing in {**POLICIES, **({"cheap": ""} if local_url else {})}.items():
        strong = "mock/large-cached" if "cached" in name else cheap if name == "cheap" else "mock/large"
        agent = folder / "agents" / name
        agent.mkdir(parents=True)
        most = 120 if name == "cheap" else 2_000
        # A last step that would be judged is the strong tier's: where only summaries count, nobody is asked to route.
        alone = "\njudge = true\n[limits]\nmax_steps = 1" if local_url and name.startswith(("long", "brief")) else ""
        settings = AGENT.format(name=name, strong=strong, cheap=cheap, routing=routing + alone, most=most)
        (agent / "agent.toml").write_text(settings)
        filler = "" if local_url else "Be friendly to every customer. " * ((PROMPT_WORDS - len(PROMPT.split())) // 5)
        (agent / "prompt.md").write_text(f"{name}: {PROMPT}{filler}\n")  # of its own in the provider's cache
    return folder


async def ask(on: Stage, agent: str, question: Question, says: tuple[str, str, str]) -> Outcome:
    """One question; `says`: the cheap tier's decision, answer and verdict, where they are scripted."""
    on.simulator.scripts.clear()
    if not on.local:
        decision, answer, verdict = says
        words = (0, ANSWER_WORDS[False], 0)
        for text, length in zip((decision, answer, verdict), words, strict=True):
            on.script("small", text, length, times=1)
    on.script("large", question.answer, ANSWER_WORDS[question.hard])
    first, events, cost = await on.run(agent, question.text)
    bodies = [(event.kind, msgspec.json.decode(event.body)) for event in events]
    routed = next((body for kind, body in bodies if kind == "step.routed"), None)
    judged = next((body for kind, body in bodies if kind == "step.judged"), None)
    text = "".join(body["text"] for kind, body in bodies if kind == "text.block" and body["channel"] == "answer")
    return Outcome(
        question, text, cost, first,
        "" if routed is None else routed["route"] if routed["route"] != "strong" else routed["reason"],
        "" if judged is None else "accepted" if judged["accepted"] else judged["reason"],
        next((body["text"] for kind, body in bodies if kind == "text.held"), ""),
        [body["target"] for kind, body in bodies if kind == "model.finished"][-1:] != ["mock/large"],
    )  # fmt: skip


def scripted(questions: list[Question], mistakes: Mistakes) -> list[tuple[str, str, str]]:
    """What the cheap tier says to each question: decision, answer, verdict."""
    says: list[tuple[str, str, str]] = []
    seen: Counter[str] = Counter()

    def every(kind: str, nth: int) -> bool:
        seen[kind] += 1
        return nth > 0 and seen[kind] % nth == 0

    for question in questions:
        simple = not question.hard or every("missed", mistakes.missed)
        if question.hard:
            good = simple and every("let_through", mistakes.let_through)
        else:
            good = not every("refused", mistakes.refused)
        route = msgspec.json.encode({"route": "direct" if simple else "strong", "sure": True}).decode()
        verdict = msgspec.json.encode({"complete": True, "backed": good, "sure": True}).decode()
        says.append((route, WRONG if question.hard else question.answer, verdict))
    return says


def share(outcomes: list[Outcome]) -> str:
    return f"{sum(right(one.question, one.text) for one in outcomes) / len(outcomes):.0%}" if outcomes else "-"


def line(title: str, outcomes: list[Outcome], whole: int) -> str:
    """A row: money, quality of simple and hard questions, the wait for the first word."""
    cost = sum(one.microusd for one in outcomes)
    wait = sum(one.first_word_s for one in outcomes) / len(outcomes)
    simple = [one for one in outcomes if not one.question.hard]
    hard = [one for one in outcomes if one.question.hard]
    return (
        f"| {title} | {cost / 1e6:.4f} | {cost / whole - 1:+.1%} | {share(outcomes)} | {share(simple)} | {share(hard)} "
        f"| {sum(one.cheap for one in outcomes)} | {wait:.2f} s |"
    )


HEAD = (
    "| policy | USD | change | right | simple ones | hard ones | by the cheap tier | first word |\n"
    "|---|---|---|---|---|---|---|---|"
)
LINES = (
    ("strong tier alone", "strong", Mistakes()),
    ("routing, supervisor right", "routed", Mistakes()),
    ("routing, 1 hard question in 4 taken for simple", "routed", Mistakes(missed=4)),
    ("… and a judge who is right", "judged", Mistakes(missed=4)),
    ("… who accepts 1 wrong answer in 2, refuses 1 right one in 8", "judged", Mistakes(4, 2, 8)),
)


async def questions_scripted(on: Stage, count: int, seed: int) -> None:
    """Prints a table for each mix."""
    for simple in (0.8, 0.5, 0.2):
        asks = mixed(count, simple, random.Random(seed))
        print(f"\n{simple:.0%} of {count} questions are simple:\n\n{HEAD}")
        whole = 0
        for title, agent, mistakes in LINES:
            says = scripted(asks, mistakes)
            outcomes = [await ask(on, agent, one, say) for one, say in zip(asks, says, strict=True)]
            whole = whole or sum(one.microusd for one in outcomes)
            print(line(title, outcomes, whole), flush=True)


async def questions_local(on: Stage) -> None:
    """Prints the same with the real model, and what it decided."""
    print(f"\n{MODEL} as the cheap tier, each of {len(QUESTIONS)} questions once:\n\n{HEAD}")
    whole, seen = 0, {}
    titles = {
        "strong": "strong tier alone",
        "cheap": "cheap tier alone",
        "routed": "routing",
        "judged": "… and its judge",
    }
    for agent, title in titles.items():
        seen[agent] = [await ask(on, agent, one, ("", "", "")) for one in QUESTIONS]
        whole = whole or sum(one.microusd for one in seen[agent])
        print(line(title, seen[agent], whole), flush=True)
    print("\nIts decisions (labelled, decided: how often):", dict(Counter(
        ("hard" if one.question.hard else "simple", one.route) for one in seen["routed"]
    )))  # fmt: skip
    print("Its verdicts (answer, verdict: how often):", dict(Counter(
        ("right" if right(one.question, one.draft) else "wrong", one.verdict) for one in seen["judged"] if one.verdict
    )))  # fmt: skip


async def conversation(on: Stage, agent: str, forgets: int) -> str:
    """A row: a long conversation; `forgets`: of what was told, every n-th is not in the scripted summary."""
    on.simulator.scripts.clear()
    kept = [said for n, (said, _) in enumerate(TOLD, 1) if not forgets or n % forgets]
    model = "large-cached" if agent.endswith("-cached") else "large"
    cost, summaries, failed = 0, 0, 0
    for number in range(TURNS):
        on.simulator.scripts.clear()
        if not on.local:
            on.script("small", '{"route":"strong","sure":true}', times=1)
            on.script("small", " ".join(kept))
        on.script(model, "I see, and I have written that down for you.", 150)
        said = TOLD[number][0] if number < len(TOLD) else f"{SMALL_TALK}is it number {number}?"
        _, events, spent = await on.run(agent, said, f"long-{agent}-{forgets}")
        cost += spent
        made = [msgspec.json.decode(event.body) for event in events if event.kind == "history.summarised"]
        summaries += sum(not body.get("reason") for body in made)
        failed += sum(bool(body.get("reason")) for body in made)
    given = [entry for entry in on.simulator.requests.entries() if b'"model":"large' in bytes(entry.body)]
    last = bytes(given[-1].body).decode()
    known = sum(re.search(pattern, last) is not None for _, pattern in TOLD)
    return f"{cost / 1e6:.4f} | {summaries} | {failed} | {known} of {len(TOLD)} | {len(last):,} |"


async def conversations(on: Stage) -> None:
    """Prints the table of long conversations."""
    print(f"\nA conversation of {TURNS} turns, all for the strong tier; what it was told in the first {len(TOLD)}:\n")
    print("| history | USD | condensed | failed | known at the end | last request, bytes |\n|---|---|---|---|---|---|")
    rows = [("whole", "long", 0), ("over 8,000 characters condensed", "brief8", 0)]
    if not on.local:
        rows += [
            ("over 16,000 characters condensed", "brief16", 0),
            ("over 8,000, by a model that forgets every other fact", "brief8", 2),
            ("whole, cached input at a tenth", "long-cached", 0),
            ("over 8,000, cached input at a tenth", "brief8-cached", 0),
            ("over 16,000, cached input at a tenth", "brief16-cached", 0),
        ]
    for title, agent, forgets in rows:
        print(f"| {title} | {await conversation(on, agent, forgets)}", flush=True)


async def main(count: int, seed: int, only: str, *, local: bool) -> None:
    """Prints the tables."""
    print(f"seed {seed}; USD per million tokens (in, out): {PRICES}")
    async with bound_model() if local else nullcontext("") as url, stage(seed, url) as on:
        if only != "conversations":
            await (questions_local(on) if local else questions_scripted(on, count, seed))
        if only != "questions":
            await conversations(on)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--questions", type=int, default=40)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--local", action="store_true")
    arguments.add_argument("--only", choices=("questions", "conversations"), default="")
    chosen = arguments.parse_args()
    asyncio.run(main(chosen.questions, chosen.seed, chosen.only, local=chosen.local))
