"""What `broken_server.py` takes out of the crash resume: each function breaks one thing, by its name."""

from typing import Any


def amnesia() -> None:
    """A server takes over nothing that another one left behind."""
    from golive.runtime.holding import Holding

    async def look(self: Any) -> None:
        return None

    Holding.look = look  # type: ignore[method-assign]


def again() -> None:
    """A call whose outcome is not known is called again, whatever its tool declares."""
    from golive.runtime.effects import Effects

    async def settled(self: Any, effect: Any, *_: Any) -> Any:
        return await self._begin(effect)

    Effects._settled = settled  # type: ignore[method-assign]


def rekeyed() -> None:
    """A call that is repeated has forgotten its key."""
    from msgspec.structs import replace

    from golive.runtime.effects import Effects

    real = Effects.invocation

    def invocation(self: Any, *args: Any, **named: Any) -> Any:
        found = real(self, *args, **named)
        return replace(found, key=f"{found.key}/again") if self._state.epoch > 1 else found

    Effects.invocation = invocation  # type: ignore[method-assign]


def fabled() -> None:
    """A call whose outcome is not known is taken for one that was carried out."""
    from golive.runtime.effects import Effects
    from golive.tools.toolset import ToolOutcome

    async def settled(self: Any, effect: Any, *_: Any) -> Any:
        return ToolOutcome(True, "carried out")

    Effects._settled = settled  # type: ignore[method-assign]


def stutter() -> None:
    """A turn that is asked again has forgotten what it had said, and nobody takes that back."""
    from golive.runtime.state import RunState

    RunState.said = property(lambda self: "")  # type: ignore[method-assign,assignment]


def gappy() -> None:
    """Whoever comes back to a run is not told one of its events."""
    from golive.runtime.subscription import Subscription

    real = Subscription._missing

    def missing(self: Any, frames: Any) -> Any:
        found = real(self, frames)
        return found[:1] + found[2:] if self._cursor.pos else found

    Subscription._missing = missing  # type: ignore[method-assign]


def dropped() -> None:
    """A server that stops ends what is open, and hands nothing over."""
    from golive.runtime import carrier, loop
    from golive.runtime.interrupt import HANDED_OVER
    from golive.runtime.step import Finish

    real = loop.ended_by

    def ended_by(reason: str, state: Any) -> Any:
        return Finish("failed", "interrupted", "interrupted") if reason == HANDED_OVER else real(reason, state)

    loop.ended_by = carrier.ended_by = ended_by


def heedless() -> None:
    """A run goes on after a restored backup as if there had been none."""
    from golive.runtime.loop import RunLoop

    real = RunLoop._settle_the_past

    def settle(self: Any) -> bool:
        self._state.generation = self._place.generation
        return real(self)

    RunLoop._settle_the_past = settle  # type: ignore[method-assign]
