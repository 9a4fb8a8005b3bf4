"""What will happen in a world, drawn from its seed before it begins: cases, clients and faults.

A case is a run as the world means it: what is asked, which effects are to be done, what is said in the end.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal, TypeVar

from msgspec import Struct

from golive.core.chance import Chance, SeededChance
from golive.sim.script import Script, ToolUse
from tests.sim.providers import DIALECTS
from tests.sim.whose import tenant_of

T = TypeVar("T")
LEAST_CASES, MOST_CASES = 22, 30
LEAST_FAULTS, MOST_FAULTS = 6, 14
CASES_S = 30.0
"""Within which all cases begin, and most faults."""
ATTEMPTS = 40
"""How often a client begins its case anew where it does not know whether there is a run."""

Manner = Literal["steady", "leaves", "stalls", "waits", "background", "cancels"]
FaultKind = Literal[
    "kill",
    "freeze",
    "partition",
    "late",
    "unheard",
    "twice",
    "deaf",
    "full",
    "clock",
    "provider",
    "outage",
    "tools",
    "hooks",
    "restart",
    "deploy",
]


class Turn(Struct, frozen=True):
    """One answer of the model: words, and the effects it asks for as (tool, ref)."""

    text: str
    calls: tuple[tuple[str, str], ...]


class Case(Struct, frozen=True):
    """One run that is asked for, at `at` seconds, of replica `replica` at first."""

    number: int
    at: float
    replica: int
    manner: Manner
    conversation: str | None
    turns: int
    words: int
    tools: tuple[tuple[str, ...], ...]
    """The tools that each turn but the last asks for."""
    agent: str
    deadline_s: float
    leaves_at: float
    away_s: float
    on_disconnect: Literal["continue", "cancel"]
    undo: bool
    """Whoever cancels wants taken back what was done."""

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return tenant_of(self.number)

    def name(self, attempt: int) -> str:
        """What the prompt calls it."""
        return f"case-{self.number}/{attempt}"

    def answers(self, attempt: int) -> tuple[Turn, ...]:
        """What the model is to say and to ask for."""
        name = self.name(attempt)
        asked = [
            Turn(
                f"{name} step {step}." if (self.number + step) % 2 else "",
                tuple((tool, f"{name}:{step}.{place}") for place, tool in enumerate(tools)),
            )
            for step, tools in enumerate(self.tools)
        ]
        words = " ".join(f"w{place}" for place in range(self.words))
        return (*asked, Turn(f"{name} ends: {words} done.", ()))

    def script(self, attempt: int) -> Script:
        """The same, as the simulator follows it."""
        turns = []
        for turn in self.answers(attempt):
            calls = tuple(ToolUse(tool, {"ref": ref}) for tool, ref in turn.calls)
            turns.append(Script(text=turn.text or None, tool_calls=calls, tokens=0, pace_ms=12.0, first_token_ms=30.0))
        return Script(turns=tuple(turns))


class Fault(Struct, frozen=True):
    """One thing that goes wrong at `at` for `for_s` seconds; `steps`: of a process, after so many of its steps."""

    at: float
    kind: FaultKind
    for_s: float
    replica: int
    steps: int
    share: float
    provider: str
    what: int


class Plan(Struct, frozen=True):
    """A schedule."""

    seed: int
    replicas: int
    named: bool
    """Replicas have stable names: a process that is started again supersedes the one before at once."""
    cases: tuple[Case, ...]
    faults: tuple[Fault, ...]

    def script(self, name: str) -> Script:
        """What the model says in the case of that name."""
        number, _, attempt = name.removeprefix("case-").partition("/")
        return next(case for case in self.cases if case.number == int(number)).script(int(attempt))


def drawn(seed: int, name: str) -> SeededChance:
    """Chance of its own for each part of a world, so that one that draws more does not move the others."""
    return SeededChance(int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big"))


def plan(seed: int, without: frozenset[str] = frozenset()) -> Plan:
    """The schedule of this seed; `without` leaves kinds of faults out, to look behind one that is known."""
    chance = drawn(seed, "plan")
    replicas = 2 + _below(chance, 2)
    cases = [_case(number, chance, replicas) for number in range(_between(chance, LEAST_CASES, MOST_CASES))]
    faults = [_fault(chance, replicas) for _ in range(_between(chance, LEAST_FAULTS, MOST_FAULTS))]
    meant = sorted((one for one in faults if one.kind not in without), key=lambda one: one.at)
    named = chance.uniform(0, 1) < 0.5
    return Plan(seed, replicas, named, tuple(sorted(cases, key=lambda case: case.at)), tuple(meant))


_TOOLS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (),
    (),
    (("pay",),),
    (("mail",),),
    (("note",),),
    (("pay",), ("mail",)),
    (("pay", "mail"),),
    (("note",), ("pay", "note")),
)
_MANNERS: tuple[Manner, ...] = (
    "steady", "steady", "steady", "leaves", "leaves", "leaves", "stalls", "waits", "background",
    "cancels", "cancels", "cancels",
)  # fmt: skip
_FAULTS: tuple[FaultKind, ...] = (
    "kill", "kill", "kill", "freeze", "freeze", "partition", "late", "unheard", "twice", "deaf", "full", "clock",
    "provider", "provider", "outage", "tools", "tools", "hooks", "restart", "restart", "deploy",
)  # fmt: skip


def _case(number: int, chance: Chance, replicas: int) -> Case:
    tools, agent = _one_of(chance, _TOOLS), _one_of(chance, AGENTS)
    return Case(
        number=number,
        at=round(chance.uniform(0.0, CASES_S), 3),
        replica=_below(chance, replicas),
        manner=_one_of(chance, _MANNERS),
        conversation=f"{agent}-{_below(chance, 2)}" if chance.uniform(0, 1) < 0.25 else None,
        turns=len(tools) + 1,
        words=_between(chance, 3, 30),
        tools=tools,
        agent=agent,
        deadline_s=60.0 if chance.uniform(0, 1) < 0.85 else round(chance.uniform(1.0, 8.0), 2),
        leaves_at=round(chance.uniform(0.01, 3.0), 3),
        away_s=round(chance.uniform(0.05, 12.0), 3),
        on_disconnect="cancel" if chance.uniform(0, 1) < 0.2 else "continue",
        undo=chance.uniform(0, 1) < 0.75,
    )


def _fault(chance: Chance, replicas: int) -> Fault:
    return Fault(
        at=round(chance.uniform(0.5, CASES_S + 5.0), 3),
        kind=_one_of(chance, _FAULTS),
        for_s=round(chance.uniform(0.3, 15.0), 3),
        replica=_below(chance, replicas),
        steps=_below(chance, 400),
        share=round(chance.uniform(0.05, 0.6), 3),
        provider=_one_of(chance, tuple(DIALECTS)),
        what=_below(chance, 1_000),
    )


AGENTS = ("helper", "relay", "stern")
"""Agents of this world, by what they do where an answer breaks off: continue, begin anew, end there."""


def _below(chance: Chance, most: int) -> int:
    return min(int(chance.uniform(0, most)), most - 1)


def _between(chance: Chance, least: int, most: int) -> int:
    return least + _below(chance, most - least + 1)


def _one_of(chance: Chance, choices: Sequence[T]) -> T:
    return choices[_below(chance, len(choices))]
