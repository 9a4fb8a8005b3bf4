"""What the meter says of calls that were cut, given up, or read from a provider's cache."""

from collections.abc import AsyncGenerator

import pytest
from msgspec import Raw

from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import ModelCut
from golive.core.messages import Message, Opaque, ToolCall, Usage
from golive.models.call import (
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    ModelRequest,
    Opened,
    TextDelta,
    UsageReported,
)
from golive.models.estimate import input_bound
from golive.models.meter import MeteredCall
from golive.models.rates import Price, Rate

CLOCK = SystemClock()
REQUEST = ModelRequest(messages=(Message("user", "x" * 84),))
BOUND = input_bound(REQUEST)
PRICE = Price(
    input=Rate(10**9), output=Rate(2 * 10**9), cached_input=Rate(10**8), cache_write=Rate(3 * 10**9), own=True
)


async def metered(
    events: list[ModelEvent], *, cut: bool, price: Price | None = PRICE, request: ModelRequest = REQUEST
) -> Metered:
    """What is metered of a call that brings these events, and ends or breaks off."""

    async def call(request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        yield events
        if cut:
            raise ModelCut("broke off")

    told: list[ModelEvent] = []
    meter = MeteredCall(call, target="a/m", price=lambda tier="": price, clock=CLOCK, max_output_tokens=500)
    try:
        async for batch in meter(request, CallContext(Deadline.after(CLOCK, 30.0, "test"))):
            told += batch
    except ModelCut:
        assert cut
    (last,) = [event for event in told if isinstance(event, Metered)]
    return last


async def test_a_cut_stream_whose_input_was_told_keeps_what_was_read_and_written() -> None:
    """A provider that reports its input first (Anthropic does) is billed for reads and writes as told; the output
    stands at its bound."""
    begun: list[ModelEvent] = [Opened(), UsageReported(Usage(1_000, 300, 1, 0, 500)), TextDelta("éé")]
    got = await metered(begun, cut=True)
    assert (got.usage, got.estimated) == (Usage(1_000, 300, 4, 0, 500), True)
    assert got.cost_microusd == 200 + 30 + 1_500 + 8
    assert got.saved_microusd == 300 - 30 - 1_000


async def test_a_cut_stream_that_told_nothing_may_have_written_all_of_its_input() -> None:
    """The bound on money takes the dearest rate that the input can have had."""
    got = await metered([Opened(), TextDelta("ab")], cut=True)
    assert (got.usage, got.estimated) == (Usage(BOUND, 0, 2), True)
    assert got.cost_microusd == BOUND * 3 + 4


async def test_a_call_of_which_nothing_was_seen_is_bounded_by_what_the_target_can_write() -> None:
    """An answer that is not streamed and broke off is counted at the request's limit, else at the target's own."""
    unseen = ModelRequest(messages=REQUEST.messages, stream=False)
    limited = ModelRequest(messages=REQUEST.messages, stream=False, max_output_tokens=20)
    assert (await metered([Opened()], cut=True, request=unseen)).usage.output_tokens == 500
    assert (await metered([Opened()], cut=True, request=limited)).usage.output_tokens == 20


async def test_a_whole_answer_is_priced_as_reported() -> None:
    """And says what the cache saved."""
    whole: list[ModelEvent] = [Opened(), TextDelta("a"), Finished("stop"), UsageReported(Usage(1_000, 900, 10))]
    got = await metered(whole, cut=False)
    assert (got.cost_microusd, got.saved_microusd, got.estimated) == (100 + 90 + 20, 810, False)
    assert not got.cached


@pytest.mark.parametrize("price", [None, Price(input=Rate(0), output=Rate(0))])
async def test_tokens_without_a_price_are_not_priced(price: Price | None) -> None:
    """An unknown model, and a listed 0, are both told, whole or cut."""
    whole: list[ModelEvent] = [Opened(), TextDelta("a"), Finished("stop"), UsageReported(Usage(9, 5, 1))]
    for cut in (False, True):
        got = await metered(whole, cut=cut, price=price)
        assert (got.cost_microusd, got.saved_microusd, got.priced) == (0, 0, False)


def test_the_bound_counts_everything_that_is_sent() -> None:
    """Parameters handed on verbatim (tools of a relayed call) and a provider's state are input as well."""
    plain = ModelRequest(messages=(Message("assistant", "", tool_calls=(ToolCall("c", "f", "{}"),)),))
    state = Opaque("a", Raw(b'{"signature":"' + b"s" * 600 + b'"}'))
    full = ModelRequest(
        messages=(Message("assistant", "", tool_calls=(ToolCall("c", "f", "{}", state),), state=(state,)),),
        extra={"tools": Raw(b"[" + b" " * 1_000 + b"]")},
    )
    assert input_bound(full) - input_bound(plain) == 2 * len(bytes(state.data)) + 1_002


@pytest.mark.parametrize(
    ("extra", "tier"),
    [
        (b'{"service_tier":"priority"}', "priority"), (b'{"system_fingerprint":"fp","service_tier":"flex"}', "flex"),
        (b'{"service_tier":null}', ""), (b'{"service_tier":7}', ""), (b"{}", ""), (None, ""),
    ],
)  # fmt: skip
async def test_the_price_is_that_of_the_tier_that_was_served(extra: bytes | None, tier: str) -> None:
    """As the provider says it at the beginning of its answer, so that a call that is cut is priced by it, too."""
    asked: list[str] = []

    def price(tier: str = "") -> Price:
        asked.append(tier)
        return PRICE

    async def call(request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        yield [Opened(extra=None if extra is None else Raw(extra)), TextDelta("a")]
        raise ModelCut("broke off")

    with pytest.raises(ModelCut):
        async for _ in MeteredCall(call, target="a/m", price=price, clock=CLOCK)(
            REQUEST, CallContext(Deadline.after(CLOCK, 30.0, "test"))
        ):
            pass
    assert asked == [tier]
