"""What a call costs: the operator's prices, the list's, and none."""

from decimal import Decimal

import pytest
from genai_prices import data_snapshot
from genai_prices import types as listing

from golive.config.schema import PriceConfig, ProviderConfig
from golive.core.clock import SystemClock
from golive.core.messages import Usage
from golive.models.prices import Prices
from golive.models.rates import Price, Rate


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


def test_every_part_of_a_usage_has_its_own_price() -> None:
    """Cached, written, audio and picture tokens count once each, at their own rate; the rest as plain tokens."""
    price = Price(
        input=Rate(10**9), output=Rate(10 * 10**9), cached_input=Rate(10**8), cache_write=Rate(2 * 10**9),
        reasoning=Rate(20 * 10**9), input_audio=Rate(5 * 10**9), input_image=Rate(3 * 10**9),
        output_audio=Rate(40 * 10**9), output_image=Rate(60 * 10**9), request=7 * 10**9, own=True,
    )  # fmt: skip
    usage = Usage(1_000, 400, 100, 30, 200, 50, 20, 10, 5)
    assert price.cost_microusd(usage) == (
        330 + 400 // 10 + 200 * 2 + 50 * 5 + 20 * 3 + 55 * 10 + 30 * 20 + 10 * 40 + 5 * 60 + 7
    )
    assert price.cost_microusd(Usage()) == 7


def test_parts_that_overlap_are_never_counted_below_what_is_billed() -> None:
    """Audio read from the cache is told twice; each telling is counted, and plain input never below 0."""
    price = Price(input=Rate(10**9), output=Rate(0), cached_input=Rate(10**8), input_audio=Rate(5 * 10**9), own=True)
    assert price.cost_microusd(Usage(100, 80, 0, input_audio_tokens=90)) == 8 + 450


def test_own_prices_know_writes_reasoning_requests_and_batches() -> None:
    """Each key of [prices."PATTERN"] counts; the discount holds for tokens, only where calls are billed as a batch."""
    config = PriceConfig(
        input_usd_per_mtok=2, output_usd_per_mtok=8, cache_write_usd_per_mtok=2.5, reasoning_usd_per_mtok=10,
        request_usd=0.00002, batch_discount=0.5,
    )  # fmt: skip
    batch = ProviderConfig(base_url="http://127.0.0.1:1/v1", billing="batch")
    book = prices({"*": config}, slow=batch, fast=provider())
    usage = Usage(1_000, 0, 100, 40, 600)
    assert book.cost_microusd("fast", "m", usage) == 400 * 2 + 600 * 2.5 + 60 * 8 + 40 * 10 + 20
    assert book.cost_microusd("slow", "m", usage) == (400 * 2 + 600 * 2.5 + 60 * 8 + 40 * 10) / 2 + 20


def test_writes_to_a_cache_cost_what_the_list_says() -> None:
    """Anthropic bills writes for five minutes at a quarter above input, and reads at a tenth; priced so, and a batch at
    half of all."""
    direct = ProviderConfig(base_url="https://api.anthropic.com")
    batch = ProviderConfig(base_url="https://api.anthropic.com", billing="batch")
    book = prices({}, direct=direct, batch=batch)
    usage = Usage(100_000, 50_000, 1_000, 0, 40_000)
    expected = (10_000 * 300 + 50_000 * 30 + 40_000 * 375 + 1_000 * 1_500) // 100
    assert book.cost_microusd("direct", "claude-sonnet-4-5", usage) == expected
    assert book.cost_microusd("batch", "claude-sonnet-4-5", usage) == expected // 2


def test_a_caches_saving_is_against_plain_input() -> None:
    """Reading saves, writing costs first; without either nothing is saved."""
    price = Price(
        input=Rate(10**9), output=Rate(10**9), cached_input=Rate(10**8), cache_write=Rate(5 * 10**9 // 4), own=True
    )
    assert price.saved_microusd(Usage(1_000, 800, 10)) == 720
    assert price.saved_microusd(Usage(1_000, 0, 10, 0, 800)) == -200
    assert price.saved_microusd(Usage(1_000, 0, 10)) == 0


def test_a_bound_takes_the_dearest_reading() -> None:
    """Unreported input may all have been written to the cache, unseen output be reasoning; told input is certain."""
    price = Price(
        input=Rate(10**9), output=Rate(2 * 10**9), cached_input=Rate(10**8), cache_write=Rate(2 * 10**9),
        reasoning=Rate(3 * 10**9), own=True,
    )  # fmt: skip
    assert price.bound_microusd(Usage(100, 0, 10), input_reported=False) == 100 * 2 + 10 * 3
    assert price.bound_microusd(Usage(100, 40, 10, 0, 50), input_reported=True) == 10 + 4 + 50 * 2 + 10 * 3


def test_a_newer_list_is_taken_at_once() -> None:
    """Rates are kept for one version of the list: after an update the next call is priced by the new one."""
    book = prices({}, acme=provider())

    def listed(usd: int) -> data_snapshot.DataSnapshot:
        model = listing.ModelInfo(
            id="one", match=listing.ClauseEquals("one"),
            prices=listing.ModelPrice(input_mtok=Decimal(usd), output_mtok=Decimal(usd)),
        )  # fmt: skip
        acme = listing.Provider(id="acme", name="Acme", api_pattern="https://acme", models=[model])
        return data_snapshot.DataSnapshot(providers=[acme], from_auto_update=False)

    try:
        for usd in (1, 3):
            data_snapshot.set_custom_snapshot(listed(usd))
            assert [book.cost_microusd("acme", "one", Usage(5, 0, 5)) for _ in range(2)] == [10 * usd] * 2
            assert book.price("acme", "one") is book.price("acme", "one")
    finally:
        data_snapshot.set_custom_snapshot(None)


def test_the_tier_that_was_served_is_what_is_billed() -> None:
    """A provider that says it answered with priority bills it so; an unknown tier changes nothing."""
    flex = ProviderConfig(base_url="https://api.openai.com/v1", billing="flex")
    book = prices({}, usual=ProviderConfig(base_url="https://api.openai.com/v1"), flex=flex)

    def rates(provider: str, tier: str = "") -> tuple[int, int]:
        price = book.price(provider, "gpt-5", tier)
        assert price is not None
        return price.input.base, price.output.base

    usual, half, double = (125 * 10**7, 10**10), (625 * 10**6, 5 * 10**9), (25 * 10**8, 2 * 10**10)
    assert [rates("usual", tier) for tier in ("", "default", "auto", "x" * 99, "flex", "priority")] == [
        usual, usual, usual, usual, half, double,
    ]  # fmt: skip
    assert [rates("flex", tier) for tier in ("", "auto", "default", "priority")] == [half, half, usual, double]
