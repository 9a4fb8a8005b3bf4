"""Tries targets in order until one begins to answer.

Moves on only while the caller has been handed nothing of an answer: after its first token an attempt's failure goes up,
for two answers must never be spliced unseen. Knows nothing of prices, retries or waiting.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec

from golive.core.clock import Clock
from golive.core.errors import ContextTooLong, DeadlineExceeded, GoliveError, ModelBadRequest
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Metered,
    ModelCall,
    ModelEvent,
    ModelRequest,
    Opened,
    UsageReported,
)

MAX_TARGETS = 8
"""Most targets of one chain."""


class Chain:
    """A `ModelCall` over several: `AttemptStarted` before each, `AttemptFailed` when it moves on."""

    def __init__(self, targets: Sequence[tuple[str, ModelCall]], clock: Clock) -> None:
        if not 1 <= len(targets) <= MAX_TARGETS:
            raise ValueError(f"a chain has 1 to {MAX_TARGETS} targets, not {len(targets)}")
        self._targets = tuple(targets)
        self._clock = clock

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        """Raises the last target's error, its field `attempts` listing every failure in order."""
        failed: list[dict[str, Any]] = []
        for attempt, (target, call) in enumerate(self._targets, start=1):
            started = self._clock.monotonic()
            yield [AttemptStarted(attempt, target)]
            stream = call(request, _for_attempt(ctx, attempt))
            held: list[ModelEvent] = []
            delivered = False
            try:
                async for events in stream:
                    if attempt > 1 and isinstance(events[-1], Metered):
                        events[-1] = msgspec.structs.replace(events[-1], attempt=attempt)
                    if delivered:
                        yield events
                        continue
                    # Opened and usage of an attempt that may yet be given up are kept back.
                    held += events
                    if _has_content(events):
                        delivered = True
                        yield held
            except GoliveError as error:
                if not delivered and (metered := [event for event in held if isinstance(event, Metered)]):
                    yield [*metered]
                failed.append({"target": target, "code": error.code, "message": error.message})
                if delivered or attempt == len(self._targets) or not _may_move_on(error):
                    error.fields["attempts"] = failed
                    raise
                yield [AttemptFailed(attempt, target, error, (self._clock.monotonic() - started) * 1000)]
            else:
                if held and not delivered:
                    yield held
                return
            finally:
                await stream.aclose()


def _may_move_on(error: GoliveError) -> bool:
    """Another target may do better, unless the request itself is wrong or the time is up."""
    if isinstance(error, DeadlineExceeded):
        return False
    return isinstance(error, ContextTooLong) or not isinstance(error, ModelBadRequest)


_NOT_CONTENT = (Opened, UsageReported, Metered)


def _has_content(events: list[ModelEvent]) -> bool:
    return type(events[-1]) not in _NOT_CONTENT or any(type(event) not in _NOT_CONTENT for event in events)


def _for_attempt(ctx: CallContext, attempt: int) -> CallContext:
    """The context in which an abandoned attempt is reported under its own number."""
    report = ctx.on_abandoned
    if attempt == 1 or report is None:
        return ctx
    return msgspec.structs.replace(
        ctx, on_abandoned=lambda metered: report(msgspec.structs.replace(metered, attempt=attempt))
    )
