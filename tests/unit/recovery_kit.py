"""What the tests of broken answers are built from: answers in pieces, and chains that recover."""

from typing import Any

from golive.core.deadline import Deadline
from golive.core.errors import GoliveError, ModelCut
from golive.models.call import (
    CallContext,
    Finished,
    ModelEvent,
    ModelRequest,
    Opened,
    Retracted,
    TextDelta,
    ToolCallDelta,
)
from golive.models.recovery import Recovering, Ways
from tests.unit.chain_kit import ASKED, Provider, World

WHOLE = "The shop is open from nine to five, and on Saturdays from ten to two. Please call before you come."
HALF = WHOLE[:57]
REST = WHOLE[57:]
CUT = ModelCut("gone")


def says(text: str, then: GoliveError | str = "stop", size: int = 7) -> list[Any]:
    """An answer in pieces, and how it ends."""
    pieces: list[Any] = [[TextDelta(text[at : at + size])] for at in range(0, len(text), size)]
    return [[Opened()], *pieces, then if isinstance(then, GoliveError) else [Finished(then)]]  # type: ignore[arg-type]


def recovering(
    world: World, *providers: Provider, on_break: Any = "continue", prefill: tuple[int, ...] = (),
    instructed: bool = False,
) -> Recovering:  # fmt: skip
    """A chain of the providers, named a, b, c …; `prefill`: which of them go on where an assistant's message stops."""
    targets = [world.target(f"{'abc'[at]}/m", provider, prefill=at in prefill) for at, provider in enumerate(providers)]
    able = tuple(target for target in targets if target.can.prefill)
    chain = world.chain(*targets)
    prefilled = world.chain(*able) if able else None
    return Recovering(chain, Ways(on_break, prefilled, instructed))


def retracted(events: list[ModelEvent]) -> list[int]:
    return [event.stands for event in events if isinstance(event, Retracted)]


def calls(name: str, arguments: str, then: Any) -> list[Any]:
    return [[ToolCallDelta(0, "c1", name, arguments)], then]


async def told(world: World, call: Recovering, request: ModelRequest = ASKED, **ctx: Any) -> tuple[list[Any], Any]:
    """What came, and the failure that ended it."""
    events: list[Any] = []
    try:
        async for batch in call(request, CallContext(Deadline.after(world.time, 300.0, "test"), **ctx)):
            events += batch
    except GoliveError as error:
        return events, error
    return events, None
