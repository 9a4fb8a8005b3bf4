"""A call that the caller can do without: what takes too long is given up, and what took too long often is not asked.

The caller's limit is much shorter than a provider's own, so that a target's breaker (`gate.py`), which is shared with
callers of more patience, is not told of it. It has a gate of its own instead.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from golive.core.errors import CircuitOpen, DeadlineExceeded, ModelTimeout
from golive.models.call import CallContext, ModelCall, ModelEvent, ModelRequest
from golive.models.gate import Gate


class Bounded:
    """A `ModelCall` around another. The deadline that it is given is the caller's patience, not the end of its work."""

    def __init__(self, call: ModelCall, name: str, gate: Gate) -> None:
        """`name`: whom it asks, for errors. `gate`: nobody else's; told of what took too long, and of nothing else."""
        self._call = call
        self._name = name
        self.gate = gate

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        """As the call that it bounds.

        Raises:
            ModelTimeout: the deadline has passed. CircuitOpen: that happened too often lately, and nobody was asked.
        """
        ticket = self.gate.admit()
        if ticket is None:
            wait_s = round(self.gate.wait_s(), 1)
            raise CircuitOpen(
                f"{self._name} took too long too often lately and is not asked; the next attempt is possible in "
                f"{wait_s:g} s.", retry_after_s=wait_s, sent=False,
            )  # fmt: skip
        try:
            async with aclosing(self._call(request, ctx)) as stream:
                async for events in stream:
                    yield events
            self.gate.succeeded(ticket)
        except DeadlineExceeded as late:
            limit, seconds = ctx.deadline.limit, round(ctx.deadline.seconds, 1)
            error = ModelTimeout(
                f"{self._name} did not answer within {seconds:g} s ({limit}).", limit=limit, seconds=seconds,
                remedy=f"Raise {limit} if that is too short.", sent=late.fields.get("sent", True),
            )  # fmt: skip
            self.gate.failed(ticket, error)
            error.fields.pop("breaker", None)  # the run would say that of the target, which others go on asking
            raise error from late
        except BaseException:
            self.gate.given_up(ticket)
            raise
