"""A call that the caller can do without: what takes too long is given up, and what took too long often is not asked.

The caller's limit is much shorter than a provider's own, so that a target's breaker (`gate.py`), which is shared with
callers of more patience, is not told of it. Owns a breaker of its own instead.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from golive.core.breaker import Breaker, BreakerPolicy
from golive.core.clock import Clock
from golive.core.errors import CircuitOpen, DeadlineExceeded, ModelTimeout
from golive.models.call import CallContext, ModelCall, ModelEvent, ModelRequest


class Bounded:
    """A `ModelCall` around another. The deadline that it is given is the caller's patience, not the end of its work."""

    def __init__(self, call: ModelCall, name: str, policy: BreakerPolicy, clock: Clock) -> None:
        """`name`: whom it asks, for errors."""
        self._call = call
        self._name = name
        self._breaker = Breaker(policy)
        self._clock = clock

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        """As the call that it bounds.

        Raises:
            ModelTimeout: the deadline has passed. CircuitOpen: that happened too often lately, and nobody was asked.
        """
        ticket = self._breaker.admit(self._clock.monotonic())
        if ticket is None:
            wait_s = round(self._breaker.wait_s(self._clock.monotonic()), 1)
            raise CircuitOpen(
                f"{self._name} took too long too often lately and is not asked; the next attempt is possible in "
                f"{wait_s:g} s.", retry_after_s=wait_s, sent=False,
            )  # fmt: skip
        try:
            async with aclosing(self._call(request, ctx)) as stream:
                async for events in stream:
                    yield events
            self._breaker.succeeded(ticket)
        except DeadlineExceeded as late:
            self._breaker.failed(ticket, self._clock.monotonic())
            limit, seconds = ctx.deadline.limit, round(ctx.deadline.seconds, 1)
            raise ModelTimeout(
                f"{self._name} did not answer within {seconds:g} s ({limit}).", limit=limit, seconds=seconds,
                remedy=f"Raise {limit} if that is too short.", sent=late.fields.get("sent", True),
            ) from late  # fmt: skip
        except BaseException:
            self._breaker.given_up(ticket)
            raise
