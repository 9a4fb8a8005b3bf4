"""A model that answers by script, for what stands around model calls."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.messages import Message, Usage
from golive.models.call import (
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    ModelRequest,
    Opened,
    TextDelta,
    UsageReported,
)

ANSWER: list[list[ModelEvent]] = [
    [AttemptStarted(1, "a/m")],
    [Opened("resp_1"), TextDelta("Good ")],
    [TextDelta("day."), Finished("stop")],
    [UsageReported(Usage(10, 0, 4))],
]
"""The batches of a whole answer, one a second."""
COST = Metered(1, "a/m", Usage(10, 0, 4), 50, True, False, 1.0, 3.0)


class Model:
    """Answers each call with the batches of `answer`, a second before each; counts calls, and those given up."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answer: list[list[ModelEvent]] = ANSWER
        self.error: Callable[[], Exception] | None = None
        self.calls = 0
        self.given_up = 0
        self.running = 0
        self.closing_s = 0.0
        """How long it takes to give a call up."""

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        self.calls += 1
        self.running += 1
        try:
            for batch in self.answer:
                await asyncio.sleep(1.0)
                yield list(batch)
            if self.error is not None:
                yield [COST]
                raise self.error()
        except (GeneratorExit, asyncio.CancelledError):
            self.given_up += 1
            if ctx.on_abandoned is not None:
                ctx.on_abandoned(COST)
            await asyncio.sleep(self.closing_s)
            raise
        finally:
            self.running -= 1
        yield [COST]


def request(text: str = "Hi", **fields: object) -> ModelRequest:
    return ModelRequest(messages=(Message("user", text),), **fields)  # type: ignore[arg-type]


def context(
    clock: Clock, tenant: str = "acme", version: str = "v1", seconds: float = 300.0,
    told: Callable[[Metered], None] | None = None,
) -> CallContext:  # fmt: skip
    return CallContext(Deadline.after(clock, seconds, "test"), "run", tenant, told, version)


async def batches(stream: AsyncGenerator[list[ModelEvent], None], most: int | None = None) -> list[list[ModelEvent]]:
    """What comes of a stream; with `most` its reader leaves after so many batches."""
    got: list[list[ModelEvent]] = []
    async with aclosing(stream):
        async for batch in stream:
            got.append(batch)
            if len(got) == most:
                break
    return got
