"""What the tests of chains are built from: a clock that passes while somebody sleeps, and providers that do as told."""

from collections.abc import AsyncGenerator
from typing import Any

from golive.core.backoff import BackoffPolicy, RetryBudget
from golive.core.breaker import BreakerPolicy
from golive.core.chance import SeededChance
from golive.core.deadline import Deadline
from golive.core.errors import GoliveError
from golive.core.messages import Message
from golive.models.call import (
    AttemptStarted,
    CallContext,
    Finished,
    ModelCall,
    ModelEvent,
    ModelRequest,
    Opened,
    Retracted,
    TextDelta,
)
from golive.models.capabilities import ModelCapabilities
from golive.models.chain import Chain
from golive.models.course import Chained, ChainTarget, Lane
from golive.models.gate import Gate

ASKED = ModelRequest(messages=(Message("user", "Hi"),))
GOOD: list[list[ModelEvent]] = [[Opened()], [TextDelta("hello")], [Finished("stop")]]


class Time:
    """A clock that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


class Provider:
    """Does with each call what `script` says next; with the last entry for good."""

    def __init__(self, *script: GoliveError | list[list[ModelEvent]]) -> None:
        self.script = list(script)
        self.asked = 0
        self.requests: list[ModelRequest] = []
        self.closed = 0

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        self.asked += 1
        self.requests.append(request)
        what = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        try:
            if isinstance(what, GoliveError):
                raise what
            for batch in what:
                if isinstance(batch, GoliveError):
                    raise batch
                yield list(batch)
        finally:
            self.closed += 1


class World:
    """Chains over scripted providers, sharing gates as a server's chains do."""

    def __init__(self, time: Time, *, retries: int = 3, reserve: float = 10.0, share: float = 0.2) -> None:
        self.time = time
        self.policy = BackoffPolicy(retries)
        self.budget = RetryBudget(share, reserve)
        self.gates: dict[str, Gate] = {}
        self.moves: list[tuple[str, str, str]] = []

    def target(self, ref: str, *lanes: Provider, **can: Any) -> ChainTarget:
        made = tuple(Lane(lane, self.gate(ref, number)) for number, lane in enumerate(lanes))
        return ChainTarget(ref, made, ModelCapabilities(**can))

    def gate(self, ref: str, number: int = 0) -> Gate:
        def moved(gate: Gate, before: str) -> None:
            self.moves.append((gate.target, before, gate.state.state))

        return self.gates.setdefault(f"{ref} {number}", Gate(ref, str(number), BreakerPolicy(), self.time, moved))

    def chain(self, *targets: ChainTarget, **reroutes: Any) -> Chain:
        chained = Chained(targets, **reroutes)
        return Chain(chained, policy=self.policy, budget=self.budget, chance=SeededChance(1), clock=self.time)

    async def ask(
        self, chain: ModelCall, request: ModelRequest = ASKED, deadline_s: float = 300.0, **ctx: Any
    ) -> list[ModelEvent]:
        deadline = Deadline.after(self.time, deadline_s, "test")
        return [event async for batch in chain(request, CallContext(deadline, **ctx)) for event in batch]


def started(events: list[ModelEvent]) -> list[str]:
    return [event.target for event in events if isinstance(event, AttemptStarted)]


def text(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def seen(events: list[ModelEvent]) -> str:
    """What stands of the text in the end, for a reader that takes back what it is told to."""
    text = ""
    for event in events:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, Retracted):
            text = text[: event.stands]
    return text
