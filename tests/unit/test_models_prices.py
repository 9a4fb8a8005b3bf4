"""What a call costs: the operator's prices, the list's, and none."""

from decimal import Decimal

import pytest
from genai_prices import Usage as ListUsage
from genai_prices import data_snapshot
from genai_prices import types as listing

from golive.config.schema import PriceConfig, ProviderConfig
from golive.core.clock import SystemClock
from golive.core.messages import Usage
from golive.models.prices import Price, Prices, Rate


def own(*, input_usd: float, output_usd: float, cached_usd: float | None = None) -> PriceConfig:
    return PriceConfig(
        input_usd_per_mtok=input_usd, output_usd_per_mtok=output_usd, cached_input_usd_per_mtok=cached_usd
    )


def prices(own_prices: dict[str, PriceConfig], **providers: ProviderConfig) -> Prices:
    return Prices(own_prices, providers, SystemClock())


def provider(url: str = "http://127.0.0.1:1/v1", price_as: str | None = None) -> ProviderConfig:
    return ProviderConfig(base_url=url, price_as=price_as)


def test_own_prices_are_exact_and_rounded_up() -> None:
    """A tenth of a cent of a cent is not lost, and a started micro-dollar counts."""
    book = prices({"a/*": own(input_usd=0.1, output_usd=0.4, cached_usd=0.025)})
    assert book.cost_microusd("a", "m", Usage(1_000_000, 0, 1_000_000)) == 500_000
    assert book.cost_microusd("a", "m", Usage(1, 0, 0)) == 1
    assert book.cost_microusd("a", "m", Usage(10, 10, 0)) == 1
    assert book.cost_microusd("a", "m", Usage(100, 40, 0)) == 7
    assert book.cost_microusd("a", "m", Usage()) == 0


def test_cached_tokens_cost_the_input_price_unless_told_otherwise() -> None:
    """Without a price for cached input, nothing is cheaper."""
    assert prices({"a/*": own(input_usd=2, output_usd=0)}).cost_microusd("a", "m", Usage(10, 10, 0)) == 20


def test_an_own_price_of_0_is_a_decision() -> None:
    """Local servers are free because the operator says so."""
    assert prices({"local/*": own(input_usd=0, output_usd=0)}).cost_microusd("local", "m", Usage(9, 0, 9)) == 0


def test_the_most_specific_pattern_wins() -> None:
    """Whatever the order in the file."""
    book = prices({
        "*": own(input_usd=1, output_usd=0), "a/gpt-*": own(input_usd=3, output_usd=0),
        "a/*": own(input_usd=2, output_usd=0), "a/gpt-x": own(input_usd=4, output_usd=0),
    })  # fmt: skip
    targets = (("b", "m"), ("a", "m"), ("a", "gpt-1"), ("a", "gpt-x"))
    costs = [book.cost_microusd(*target, Usage(1, 0, 0)) for target in targets]
    assert costs == [1, 2, 3, 4]


def test_an_unknown_model_has_no_price() -> None:
    """None, never 0: the caller raises an alarm."""
    book = prices({}, sim=provider(), openai=provider("https://api.openai.com/v1"))
    assert book.cost_microusd("sim", "sim-text", Usage(1, 0, 1)) is None
    assert book.cost_microusd("openai", "gpt-there-is-none", Usage(1, 0, 1)) is None
    assert book.cost_microusd("sim", "sim-text", Usage()) == 0


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("mine", provider("https://api.openai.com/v1")),
        ("openai", provider()),
        ("gateway", provider(price_as="openai")),
    ],
)
def test_the_list_is_found_by_address_name_or_price_as(name: str, config: ProviderConfig) -> None:
    """gpt-4o-mini costs what the list says, whichever way leads there."""
    book = prices({}, **{name: config})
    price = book.price(name, "gpt-4o-mini")
    assert price is not None
    assert price.context_window == 128_000
    assert book.cost_microusd(name, "gpt-4o-mini", Usage(1_000_000, 0, 1_000_000)) == 750_000


def test_our_arithmetic_agrees_with_the_lists_own() -> None:
    """For every current OpenAI and Google text model, tiers included, to the micro-dollar."""
    book = prices({}, openai=provider("https://api.openai.com/v1"), google=provider(price_as="google"))
    compared = 0
    for listed in data_snapshot.get_snapshot().providers:
        if listed.id not in ("openai", "google"):
            continue
        for model in listed.models:
            price = book.price(listed.id, model.id)
            if price is None or not price.is_known or price.request_microusd:
                continue
            for size in (1_000, 150_000, 250_000, 1_000_000):
                usage = Usage(size, size // 3, 777)
                theirs = model.calc_price(
                    ListUsage(input_tokens=size, cache_read_tokens=size // 3, output_tokens=777), listed
                )
                expected = theirs.total_price * 1_000_000
                assert 0 <= price.cost_microusd(usage) - expected < 1, model.id
                compared += 1
    assert compared > 100


def test_a_listed_price_of_0_is_not_taken_for_certain() -> None:
    """A gap or a trial in the list is no price: the alarm must ring."""
    free = listing.ModelInfo(
        id="trial", match=listing.ClauseEquals("trial"),
        prices=listing.ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0)),
    )  # fmt: skip
    acme = listing.Provider(id="acme", name="Acme", api_pattern="https://acme", models=[free])
    data_snapshot.set_custom_snapshot(data_snapshot.DataSnapshot(providers=[acme], from_auto_update=False))
    try:
        assert prices({}, acme=provider()).cost_microusd("acme", "trial", Usage(1, 0, 1)) is None
        assert prices({"acme/*": own(input_usd=0, output_usd=0)}).cost_microusd("acme", "trial", Usage(1, 0, 1)) == 0
    finally:
        data_snapshot.set_custom_snapshot(None)


def test_tiers_hold_for_all_tokens_of_a_call() -> None:
    """Past a threshold the whole call costs the higher rate."""
    price = Price(input=Rate(10**9, ((200_000, 2 * 10**9),)), output=Rate(10**9, ((200_000, 3 * 10**9),)))
    assert price.cost_microusd(Usage(200_000, 0, 10)) == 200_010
    assert price.cost_microusd(Usage(200_001, 0, 10)) == 400_032


def test_reasoning_with_a_price_of_its_own() -> None:
    """Reasoning tokens are part of the output, and are not billed twice."""
    price = Price(input=Rate(0), output=Rate(2 * 10**9), reasoning=Rate(5 * 10**9), own=True)
    assert price.cost_microusd(Usage(0, 0, 10, 4)) == 6 * 2 + 4 * 5


def test_own_prices_need_no_list() -> None:
    """So that a server whose targets all have own prices never loads it."""
    book = prices({"sim/*": own(input_usd=1, output_usd=1)})
    assert not book.needs_list("sim", "m")
    assert book.needs_list("other", "m")


def test_prices_of_floats_are_what_was_written() -> None:
    """0.1 is a tenth, whatever its binary form."""
    price = prices({"a/*": own(input_usd=0.1, output_usd=0.3)}).price("a", "m")
    assert price is not None
    assert Decimal(price.input.base) == Decimal("0.1") * 10**9
    assert Decimal(price.output.base) == Decimal("0.3") * 10**9
