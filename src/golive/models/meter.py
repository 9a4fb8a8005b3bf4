"""Measures one target's calls: time to the first token, whole time, usage, cost. Says so in a `Metered` at the end.

Whatever way a call ends after a provider may have begun to work, there is exactly one `Metered`: as the last batch when
the answer came or failed, and through `CallContext.on_abandoned` when the reader went away (closed the iterator or was
cancelled), for then nobody can be handed a batch any more, but the provider bills all the same.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Protocol

import msgspec
from msgspec import Struct, structs

from golive.core.clock import Clock
from golive.core.errors import DeadlineExceeded, GoliveError, ModelError
from golive.core.messages import Usage
from golive.models.call import (
    CallContext,
    Finished,
    Metered,
    ModelCall,
    ModelEvent,
    ModelRequest,
    Opened,
    ReasoningDelta,
    Received,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from golive.models.estimate import input_bound, output_bound, text_bytes
from golive.models.rates import Price


class Pricer(Protocol):
    """The price of a target now, for the service tier that the provider says it served; None when there is none."""

    def __call__(self, tier: str = "") -> Price | None: ...


class _Served(Struct):
    """What of an answer's further fields tells its price."""

    service_tier: Any = None


_served = msgspec.json.Decoder(_Served).decode


class MeteredCall:
    """A `ModelCall` around a `ModelCall`.

    Args:
        max_output_tokens: the most the target writes: the bound of an answer of which nothing was seen, where the
            request sets no limit; None: not known.
    """

    def __init__(
        self, call: ModelCall, *, target: str, price: Pricer, clock: Clock, max_output_tokens: int | None = None
    ) -> None:
        self._call = call
        self._max_output_tokens = max_output_tokens
        self._target = target
        self._price = price
        self._clock = clock

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        reading = _Reading(request, self._clock.monotonic(), self._max_output_tokens)
        if not request.stream:
            ctx = structs.replace(ctx, received=reading.received)
        stream = self._call(request, ctx)
        try:
            async for events in stream:
                reading.take(events, self._clock)
                yield events
        except (GeneratorExit, asyncio.CancelledError):
            if ctx.on_abandoned is not None:
                ctx.on_abandoned(self._metered(reading, whole=False))
            raise
        except GoliveError as error:
            if reading.may_be_billed(error):
                yield [self._metered(reading, whole=False)]
            raise
        finally:
            # Left to the garbage collector, an inner stream's connection would live on.
            await stream.aclose()
        yield [self._metered(reading, whole=True)]

    def _metered(self, reading: "_Reading", *, whole: bool) -> Metered:
        usage, estimated = reading.settle(whole=whole)
        price = self._price(reading.tier)
        known = price is not None and price.is_known
        cost = saved = 0
        if price is not None and known:
            if estimated:
                cost = price.bound_microusd(usage, input_reported=reading.input_reported)
            else:
                cost = price.cost_microusd(usage)
            saved = price.saved_microusd(usage)
        return Metered(
            attempt=1,
            target=self._target,
            usage=usage,
            cost_microusd=cost,
            priced=known or not (usage.input_tokens or usage.output_tokens),
            estimated=estimated,
            first_token_ms=reading.first_token_ms,
            latency_ms=(self._clock.monotonic() - reading.started) * 1000,
            saved_microusd=saved,
        )


class _Reading:
    """What has been seen of one call."""

    __slots__ = ("finished", "first_token_ms", "max_output_tokens", "opened", "output_bytes", "reasons", "received",
                 "reported", "request", "started", "tier")  # fmt: skip

    def __init__(self, request: ModelRequest, started: float, max_output_tokens: int | None) -> None:
        self.request = request
        self.max_output_tokens = request.max_output_tokens or max_output_tokens
        self.received = Received()
        self.reasons = False
        self.started = started
        self.tier = ""
        self.opened = False
        self.finished = False
        self.first_token_ms: float | None = None
        self.output_bytes = 0
        self.reported: Usage | None = None

    def take(self, events: list[ModelEvent], clock: Clock) -> None:
        """Notes a batch, in one pass."""
        before = self.output_bytes
        total = before
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is ReasoningDelta or kind is RefusalDelta:
                text: str = event.text  # type: ignore[union-attr]  # told by `kind`, which costs a third of isinstance
                total += len(text) if text.isascii() else text_bytes(text)
                self.reasons = self.reasons or kind is ReasoningDelta
            elif isinstance(event, ToolCallDelta):
                total += text_bytes(event.arguments) + (text_bytes(event.name) if event.name else 0) + 1
            elif isinstance(event, UsageReported):
                self.reported = event.usage
            elif isinstance(event, Finished):
                self.finished = True
            elif isinstance(event, Opened):
                self.opened = True
                if event.extra is not None:
                    served = _served(event.extra).service_tier
                    self.tier = served if isinstance(served, str) else ""
        if total != before:
            self.output_bytes = total
            if self.first_token_ms is None:
                self.first_token_ms = (clock.monotonic() - self.started) * 1000

    @property
    def input_reported(self) -> bool:
        """Whether the provider told its input, and so what of it was read from and written to its cache."""
        return self.reported is not None and self.reported.input_tokens > 0

    def may_be_billed(self, error: GoliveError) -> bool:
        """Not when the provider answered with an error status, or was never sent the request."""
        if self.opened:
            return True
        if not isinstance(error, ModelError | DeadlineExceeded):
            return False
        return bool(error.fields.get("sent", error.fields.get("status") is None))

    def settle(self, *, whole: bool) -> tuple[Usage, bool]:
        """The usage to bill, and whether it is our bound instead of the provider's report.

        A report counts when the answer was finished and it does not deny text that we saw. What a broken or abandoned
        call reported so far is a floor under the bound.
        """
        reported = self.reported
        if (whole or self.finished) and reported is not None and reported.input_tokens:  # noqa: SIM102
            if reported.output_tokens or not self.output_bytes:
                return reported, False
        seen = reported or Usage()
        output = max(self.output_bytes, self.received.body_bytes if not whole else 0, seen.output_tokens)
        if not whole:
            reasons = self.reasons or seen.reasoning_tokens > 0
            output = max(output, output_bound(self.request, self.max_output_tokens, reasons=reasons))
        if self.input_reported:
            return structs.replace(seen, output_tokens=output), True
        return Usage(input_bound(self.request), 0, output, seen.reasoning_tokens), True
