"""The one door for side effects: intent journalled, done under a stable key, outcome journalled.

A key is run/branch/ordinal: the same on every retry, resume and replay. What the journal knows decides: a known outcome
is returned, an intent without outcome is resolved by `recover`, an ordinal that now asks for something else is told.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from golive.core.events import ToolFinished, ToolStarted
from golive.runtime.state import EffectRecord


class Effect(Struct, frozen=True):
    """A side effect about to be performed: the `ordinal`-th of its run and branch."""

    run: str
    branch: str
    ordinal: int
    step: int
    call_id: str
    name: str
    arguments: str

    @property
    def key(self) -> str:
        """The idempotency key."""
        return f"{self.run}/{self.branch}/{self.ordinal}"

    def intent(self) -> str:
        """What tells this effect from another at the same ordinal: 16 hex digits over name and arguments."""
        return hashlib.sha256(f"{self.name}\0{self.arguments}".encode()).hexdigest()[:16]


class Done(Struct, frozen=True):
    """The effect's outcome, now or from the journal."""

    outcome: ToolFinished


class Unknown(Struct, frozen=True):
    """Begun, and nobody can tell whether it was done; it was not begun again."""

    key: str


class Diverged(Struct, frozen=True):
    """The journal holds another intent under this key; nothing was done."""

    key: str
    journalled: str
    asked: str


class EffectJournal(Protocol):
    """What `perform` needs of a run's journal."""

    def effect(self, key: str) -> EffectRecord | None:
        """What is known of the key."""
        ...

    async def intend(self, started: ToolStarted) -> None:
        """Durable on return."""
        ...

    async def conclude(self, finished: ToolFinished) -> None:
        """Durable on return."""
        ...


Call = Callable[[Effect], Awaitable[ToolFinished | None]]


async def perform(ctx: EffectJournal, effect: Effect, call: Call, recover: Call) -> Done | Unknown | Diverged:
    """Performs the effect once, whatever happened before.

    Args:
        call: does it; its ToolFinished says how it went, None that nobody knows. Called only after the intent is
            durable.
        recover: for an intent without outcome: the outcome (repeated under the same key, or asked for), or None.
    """
    known = ctx.effect(effect.key)
    if known is None:
        await ctx.intend(
            ToolStarted(
                step=effect.step,
                ordinal=effect.ordinal,
                key=effect.key,
                call_id=effect.call_id,
                name=effect.name,
                arguments=effect.arguments,
                intent=effect.intent(),
            )
        )
        outcome = await call(effect)
    elif known.started.intent != effect.intent():
        return Diverged(effect.key, known.started.intent, effect.intent())
    elif known.finished is not None:
        return Done(known.finished)
    else:
        outcome = await recover(effect)
    if outcome is None:
        return Unknown(effect.key)
    await ctx.conclude(outcome)
    return Done(outcome)
