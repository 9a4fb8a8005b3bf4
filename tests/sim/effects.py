"""The outside that tools reach: accounts, mailboxes, files; and the tools of one replica, as a toolset.

The ledger of what was really done stands here, outside of golive: by the thing done (a `ref` that the plan gives every
effect it means) and by the idempotency key under which it was asked for.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw, Struct

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import ToolNotBegun, ToolTimeout, ToolUnknown, WorkerCrashed
from golive.core.messages import ToolSpec
from golive.tools.toolset import (
    CarriedOut,
    EffectRules,
    NotCarriedOut,
    NotKnown,
    StatusAnswer,
    ToolInvocation,
    ToolOutcome,
    undo_key,
)
from tests.sim.processes import Process, WorldLoop

CALL_S = 10.0
"""A tool's own time-out."""
UNANSWERED = 0.1
"""The share of undoings that are carried out and never answer, whatever the weather; of as many the worker crashes."""
RULES = {
    "pay": EffectRules(idempotent=True, undo=True, timeout_s=CALL_S),
    "mail": EffectRules(status=True, undo=True, timeout_s=CALL_S),
    "note": EffectRules(on_unknown="ask", timeout_s=CALL_S),
}
"""One tool of each way in which an unknown outcome is resolved."""


class Effect(Struct, frozen=True):
    """One thing that was really done."""

    at: float
    process: str
    run: str
    key: str
    tool: str
    ref: str


class ToolWeather(Struct):
    """Shares of all calls, 0 to 1."""

    fails: float = 0.0
    """Nothing was done, and the tool says so."""
    hangs: float = 0.0
    """Nothing was done, and nothing is said."""
    unanswered: float = 0.0
    """It was done, and nothing is said."""
    crashes: float = 0.0
    """It was done, and then the worker is gone."""
    slow: float = 0.0


class Outside:
    """Everything that tools can change."""

    def __init__(self) -> None:
        self.done: list[Effect] = []
        self.undone: list[Effect] = []
        self.weather = ToolWeather()
        self.on_effect: list[Callable[[Effect], None]] = []
        self.note: Callable[[str, str], None] = lambda who, what: None
        """Writes into the world's trace."""
        self._under: dict[tuple[str, str], str] = {}
        self.on_its_way: Counter[str] = Counter()
        """Keys of calls that were begun and may still take effect."""

    def has(self, tool: str, key: str) -> bool:
        """Whether something was done under the key."""
        return (tool, key) in self._under

    def did(self, tool: str, ref: str) -> bool:
        """Whether the thing itself was done, under whatever key."""
        return any(effect.tool == tool and effect.ref == ref for effect in self.done)

    def act(self, effect: Effect) -> None:
        """Does it; what is idempotent is done once under a key."""
        if RULES[effect.tool].idempotent and self.has(effect.tool, effect.key):
            return
        self._under[effect.tool, effect.key] = effect.ref
        self.done.append(effect)
        for listener in self.on_effect:
            listener(effect)

    def take_back(self, effect: Effect) -> None:
        """Undoes it; what is idempotent is undone once under a key."""
        if RULES[effect.tool].idempotent and any(other.key == effect.key for other in self.undone):
            return
        self.undone.append(effect)


class WorldTools:
    """See `golive.tools.toolset.Toolset`."""

    def __init__(self, process: Process, loop: WorldLoop, clock: Clock, beyond: Outside, chance: Chance) -> None:
        self.specs = tuple(ToolSpec(name, f"Does a {name}.", Raw(_SCHEMA)) for name in sorted(RULES))
        self.effects: Mapping[str, EffectRules] = RULES
        self._process = process
        self._loop = loop
        self._clock = clock
        self._beyond = beyond
        self._chance = chance

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def call(self, invocation: ToolInvocation, deadline: Deadline) -> ToolOutcome:
        """Asks the worker; a time-out and a crash are answers too, and nobody knows then whether it was done."""
        if invocation.name not in RULES:
            return ToolOutcome(False, f"There is no tool {invocation.name}.", ToolUnknown.code, begun=False)
        if self._clock.monotonic() >= invocation.begin_by:
            return ToolOutcome(False, "Not begun in time.", ToolNotBegun.code, begun=False)
        weather, drawn = self._beyond.weather, self._chance.uniform(0.0, 1.0)
        if drawn < weather.fails:
            return ToolOutcome(False, "It refused.", "tool.failed")
        acts = drawn >= weather.fails + weather.hangs
        unanswered = drawn > 1.0 - weather.unanswered
        crashes = not unanswered and drawn > 1.0 - weather.unanswered - weather.crashes
        answer: asyncio.Future[str] = self._loop.create_future()
        way = self._way()
        self._beyond.note(
            self._process.name, f"calls {invocation.name} under {invocation.key} acts {acts} in {way:.3f} s"
        )
        if acts:
            self._beyond.on_its_way[invocation.key] += 1
            self._loop.outside_later(way, self._act, invocation, answer, unanswered, crashes)
        return await self._answer(answer, deadline)

    async def _answer(self, answer: "asyncio.Future[str]", deadline: Deadline) -> ToolOutcome:
        await asyncio.wait([answer], timeout=min(CALL_S, deadline.remaining(self._clock)))
        if not answer.done():
            answer.cancel()
            return ToolOutcome(False, "It took too long.", ToolTimeout.code)
        if answer.result() == "":
            return ToolOutcome(False, "The worker crashed.", WorkerCrashed.code)
        return ToolOutcome(True, answer.result())

    def _act(self, invocation: ToolInvocation, answer: "asyncio.Future[str]", silent: bool, crashes: bool) -> None:
        self._beyond.on_its_way[invocation.key] -= 1
        self._beyond.act(self._effect(invocation, invocation.key))
        if not silent:
            self._loop.outside_later(self._way(), _tell, answer, "" if crashes else '{"done":true}')

    async def status(self, invocation: ToolInvocation, deadline: Deadline) -> StatusAnswer:
        """As `mail` declares it; what may still take effect is no "no"."""
        if not RULES[invocation.name].status:
            return NotKnown("There is no status function.", ToolUnknown.code)
        answer: asyncio.Future[str] = self._loop.create_future()
        drawn = self._chance.uniform(0.0, 1.0)
        if drawn < self._beyond.weather.hangs:
            return NotKnown("It took too long.", ToolTimeout.code)
        self._loop.outside_later(self._way(), self._look, invocation, answer)
        outcome = await self._answer(answer, deadline)
        if not outcome.ok:
            return NotKnown(outcome.content, outcome.error_code or "tool.failed")
        if outcome.content == "perhaps":
            return NotKnown("It may still be under way.", ToolTimeout.code)
        return CarriedOut(ToolOutcome(True, '{"done":true}')) if outcome.content == "yes" else NotCarriedOut()

    def _look(self, invocation: ToolInvocation, answer: "asyncio.Future[str]") -> None:
        self._beyond.note(self._process.name, f"asks for {invocation.name} under {invocation.key}")
        found = "perhaps" if self._beyond.on_its_way[invocation.key] > 0 else "no"
        if self._beyond.has(invocation.name, invocation.key):
            found = "yes"
        self._loop.outside_later(self._way(), _tell, answer, found)

    async def undo(self, invocation: ToolInvocation, result: str, deadline: Deadline) -> ToolOutcome:
        """As `pay` and `mail` declare it. It may be carried out and not answer, or take its worker along."""
        if not RULES[invocation.name].undo:
            return ToolOutcome(False, "There is no undo function.", ToolUnknown.code, begun=False)
        if self._clock.monotonic() >= invocation.begin_by:
            return ToolOutcome(False, "Not begun in time.", ToolNotBegun.code, begun=False)
        drawn = self._chance.uniform(0.0, 1.0)
        answer: asyncio.Future[str] = self._loop.create_future()
        self._beyond.note(self._process.name, f"takes {invocation.name} back under {invocation.key}")

        def act() -> None:
            self._beyond.take_back(self._effect(invocation, undo_key(invocation.key)))
            if drawn >= UNANSWERED:
                crashes = drawn < 2 * UNANSWERED
                self._loop.outside_later(self._way(), _tell, answer, "" if crashes else '{"undone":true}')

        self._loop.outside_later(self._way(), act)
        return await self._answer(answer, deadline)

    def _way(self) -> float:
        slow = self._chance.uniform(0.0, 1.0) < self._beyond.weather.slow
        return self._chance.uniform(0.001, 0.05) + (self._chance.uniform(0.5, 8.0) if slow else 0.0)

    def _effect(self, invocation: ToolInvocation, key: str) -> Effect:
        ref = msgspec.json.decode(invocation.arguments)["ref"]
        return Effect(self._loop.time(), self._process.name, invocation.run, key, invocation.name, ref)


def _tell(answer: "asyncio.Future[str]", value: str) -> None:
    if not answer.done():
        answer.set_result(value)


_SCHEMA = b'{"type":"object","properties":{"ref":{"type":"string"}},"required":["ref"]}'
