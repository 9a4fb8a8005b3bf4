"""What lists say of a model."""

import pytest

from golive.cli.models import _row
from golive.config.schema import ProviderConfig
from golive.core.clock import SystemClock
from golive.models.capabilities import ModelCapabilities
from golive.models.listing import ListedPrice, describe
from golive.models.prices import Prices
from golive.models.rates import Price, Rate

KNOWN = Price(
    input=Rate(10**9, ((200_000, 2 * 10**9),)), output=Rate(5 * 10**9), cache_write=Rate(125 * 10**7),
    request=20 * 10**9, context_window=1_000,
)  # fmt: skip


def test_a_price_is_told_part_by_part() -> None:
    """Dollars a million tokens; a part that has no price of its own is left out, and a fee for each call is told."""
    assert describe("a/m", "anthropic", KNOWN, ModelCapabilities()).price == ListedPrice(
        input_usd_per_mtok=1.0, output_usd_per_mtok=5.0, cache_write_usd_per_mtok=1.25, request_usd=0.00002
    )


@pytest.mark.parametrize("price", [None, Price(input=Rate(0), output=Rate(0))])
def test_an_unknown_price_is_none(price: Price | None) -> None:
    """Neither a model without a price nor a listed 0 is shown as free."""
    assert describe("a/m", "anthropic", price, ModelCapabilities()).price is None


def test_the_operators_context_stands_before_the_lists() -> None:
    """And without either it is not known."""
    assert describe("a/m", "x", KNOWN, ModelCapabilities(context_window=512)).context_window == 512
    assert describe("a/m", "x", KNOWN, ModelCapabilities()).context_window == 1_000
    assert describe("a/m", "x", None, ModelCapabilities()).context_window is None


def test_capabilities_are_those_that_are_there() -> None:
    """In the order of the settings."""
    can = ModelCapabilities(tools=False, prefill=True, reasoning=False, embeddings=False)
    assert describe("a/m", "x", None, can).capabilities == ("images", "structured_output", "prefill")


def test_the_lists_own_prices_are_told() -> None:
    """A model of the list with what it says of it."""
    book = Prices({}, {"openai": ProviderConfig(base_url="https://api.openai.com/v1")}, SystemClock())
    info = describe("openai/gpt-4o-mini", "openai-chat", book.price("openai", "gpt-4o-mini"), ModelCapabilities())
    assert (info.provider, info.context_window) == ("openai", 128_000)
    assert info.price == ListedPrice(
        input_usd_per_mtok=0.15, output_usd_per_mtok=0.6, cached_input_usd_per_mtok=0.075, own=False
    )


def test_a_row_of_the_table_never_rounds_a_price_away() -> None:
    """At least two decimals, and all that there are."""
    price = {"input_usd_per_mtok": 2.5, "cached_input_usd_per_mtok": 0.0375, "output_usd_per_mtok": 10.0}
    known = {"owned_by": "a", "dialect": "gemini", "capabilities": ["tools", "images"], "credential": "tenant"}
    entry = {"id": "a/m", **known, "price": price}
    assert _row(entry) == ("a/m", "a", "gemini", "-", "2.50", "0.0375", "10.00", "tenant", "tools, images")
    assert _row({"id": "bistro", "owned_by": "golive"}) == ("bistro", "golive", *"-------")
