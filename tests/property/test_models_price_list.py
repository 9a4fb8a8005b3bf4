"""Our arithmetic against the price list's own, for every model it has."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

import pytest
from genai_prices import Usage as ListUsage
from genai_prices import data_snapshot
from genai_prices.types import ModelInfo, Provider
from hypothesis import given
from hypothesis import strategies as st

from golive.core.messages import Usage
from golive.models.rates import SCALE, Price, from_list

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTEXTS = ({}, {"processing": "batch"}, {"service_tier": "flex"}, {"service_tier": "priority"})
MTOK = 1_000_000
SIZES = st.one_of(
    st.integers(0, 2 * MTOK), st.sampled_from([0, 1, 128_000, 128_001, 200_000, 200_001, 272_000, 272_001, MTOK])
)


@cache
def listed() -> list[tuple[Provider, ModelInfo, dict[str, str], Price]]:
    """Every model with a price for text, under every way of billing."""
    found = []
    for provider in data_snapshot.get_snapshot().providers:
        for model in provider.models:
            for context in CONTEXTS:
                price = from_list(model.get_prices(NOW, context), model.context_window)
                if price is not None:
                    found.append((provider, model, context, price))
    return found


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """A usage whose parts do not overlap and fit into the whole, as a truthful provider reports it."""
    size, output = draw(SIZES), draw(st.integers(0, 200_000))

    def parts(whole: int, count: int) -> list[int]:
        cuts = sorted(draw(st.lists(st.integers(0, whole), min_size=count, max_size=count)))
        return [high - low for low, high in zip([0, *cuts], cuts, strict=False)]

    cached, written, audio, image = parts(size, 4)
    reasoning, spoken, painted = parts(output, 3)
    return Usage(size, cached, output, reasoning, written, audio, image, spoken, painted)


def theirs(provider: Provider, model: ModelInfo, context: dict[str, str], usage: Usage) -> Decimal:
    """Micro-dollars by the list's own calculation."""
    usage_of_list = ListUsage(
        input_tokens=usage.input_tokens, cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens, input_audio_tokens=usage.input_audio_tokens,
        input_image_tokens=usage.input_image_tokens, output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens, output_audio_tokens=usage.output_audio_tokens,
        output_image_tokens=usage.output_image_tokens, cache_audio_read_tokens=0, cache_image_read_tokens=0,
        input_video_tokens=0, output_video_tokens=0,
    )  # fmt: skip
    price = model.calc_price(usage_of_list, provider, genai_request_timestamp=NOW, price_context=context)
    return price.total_price * MTOK


def agrees(price: Price, usage: Usage, exact: Decimal) -> bool:
    """Ours is the exact price rounded up to the next whole micro-dollar, once. Rates of more than nine decimals (the
    list has some twenty) are rounded up as well, which adds less than a billionth of a micro-dollar a token."""
    tokens = usage.input_tokens + usage.output_tokens
    return 0 <= price.cost_microusd(usage) - exact < 1 + Decimal(tokens) / SCALE


@pytest.mark.parametrize("part", range(4))
def test_every_listed_model_costs_what_the_list_says(part: int) -> None:
    """A call with some of everything, in two sizes of context: to the micro-dollar, for each of some 2,000 models."""
    compared = 0
    for provider, model, context, price in listed()[part::4]:
        for size in (10_000, 300_000):
            usage = Usage(size, size // 5, 900, 300, size // 7, size // 11, size // 13, 200, 100)
            assert agrees(price, usage, theirs(provider, model, context, usage)), (provider.id, model.id, context)
            compared += 1
    assert compared > 3_000


@given(index=st.integers(0, 10**6), usage=usages())
def test_any_usage_at_any_listed_price_agrees(index: int, usage: Usage) -> None:
    """Random usages at random models, at the borders of tiers among others."""
    provider, model, context, price = listed()[index % len(listed())]
    assert agrees(price, usage, theirs(provider, model, context, usage)), (provider.id, model.id, context)


@given(index=st.integers(0, 10**6), usage=usages())
def test_a_bound_is_never_below_what_is_billed(index: int, usage: Usage) -> None:
    """When all that is known is how many tokens of text there were at most, no split of them costs more."""
    _, _, _, price = listed()[index % len(listed())]
    seen = Usage(usage.input_tokens, 0, usage.output_tokens)
    billed = Usage(
        usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens,
        usage.cache_write_tokens,
    )  # fmt: skip
    dearer = price.cached_input is not None and price.cached_input.at(usage.input_tokens) > price.input.at(
        usage.input_tokens
    )
    if not dearer:  # one or two entries of the list have a cache that costs more than no cache
        assert price.bound_microusd(seen, input_reported=False) >= price.cost_microusd(billed)
