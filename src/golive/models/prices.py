"""What tokens cost: the maintained list of genai-prices, and the operator's own prices before it.

A price is resolved once per target and kept as integers, so that pricing a call is a few multiplications and sums never
drift. Loading the list takes most of a second and some 25 MB: `load` does it, off the event loop if the caller likes; a
target with a price of its own never needs it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from golive.config.schema import PriceConfig, ProviderConfig
from golive.core.clock import Clock
from golive.core.messages import Usage
from golive.models.patterns import ByPattern

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo as ListedModel

SCALE = 10**9
"""Rates are whole billionths of a micro-dollar a token (a dollar a million tokens is 10**9), finer than any list."""
RECHECK_S = 60.0
"""A price that depends on date or time of day is looked up again this often."""
MAX_PRICES = 10_000
"""Targets whose price is remembered; more are looked up each time."""


class Rate(Struct, frozen=True):
    """A price a token, by the size of the context: the last tier that starts below the input tokens holds for all."""

    base: int
    tiers: tuple[tuple[int, int], ...] = ()

    def at(self, input_tokens: int) -> int:
        rate = self.base
        for start, tier in self.tiers:
            if input_tokens > start:
                rate = tier
        return rate

    @property
    def is_zero(self) -> bool:
        return self.base == 0 and all(rate == 0 for _, rate in self.tiers)


class Price(Struct, frozen=True, kw_only=True):
    """The price of one target. `own` when the operator set it, whose 0 is a decision and not a gap."""

    input: Rate
    output: Rate
    cached_input: Rate | None = None
    reasoning: Rate | None = None
    request_microusd: int = 0
    own: bool = False
    context_window: int | None = None

    @property
    def is_known(self) -> bool:
        """A listed price of nothing at all is a gap in the list, or a trial: nobody should take it for certain."""
        return self.own or not (self.input.is_zero and self.output.is_zero and self.request_microusd == 0)

    def cost_microusd(self, usage: Usage) -> int:
        """Micro-dollars for one call, rounded up."""
        size = usage.input_tokens
        cached = usage.cached_input_tokens
        total = usage.output_tokens * self.output.at(size)
        rate = self.input.at(size)
        if cached and self.cached_input is not None:
            total += (size - cached) * rate + cached * self.cached_input.at(size)
        else:
            total += size * rate
        if self.reasoning is not None and usage.reasoning_tokens:
            total += usage.reasoning_tokens * (self.reasoning.at(size) - self.output.at(size))
        return -(-total // SCALE) + self.request_microusd


class Prices:
    """Finds the price of a target."""

    def __init__(self, own: Mapping[str, PriceConfig], providers: Mapping[str, ProviderConfig], clock: Clock) -> None:
        self._own = ByPattern(own)
        self._providers = providers
        self._clock = clock
        self._known: dict[str, tuple[Price | None, float]] = {}

    def price(self, provider: str, model: str) -> Price | None:
        """The price now, or None where neither the operator nor the list has one."""
        target = f"{provider}/{model}"
        known = self._known.get(target)
        if known is not None and (known[1] == float("inf") or self._clock.monotonic() < known[1]):
            return known[0]
        price, lasts_s = self._find(target, provider, model)
        if target in self._known or len(self._known) < MAX_PRICES:
            self._known[target] = (price, self._clock.monotonic() + lasts_s)
        return price

    def cost_microusd(self, provider: str, model: str, usage: Usage) -> int | None:
        """Micro-dollars for one call; None where the price is unknown (or a listed 0) and tokens were used."""
        price = self.price(provider, model)
        if price is None or not price.is_known:
            return None if usage.input_tokens or usage.output_tokens else 0
        return price.cost_microusd(usage)

    def needs_list(self, provider: str, model: str) -> bool:
        """Whether this target's price must be looked for in the list, so that it is worth loading early."""
        return self._own.first_of(f"{provider}/{model}") is None

    @staticmethod
    def load() -> None:
        """Reads the list, once; blocks for most of a second, so run it before serving or in a thread."""
        _snapshot()

    def _find(self, target: str, provider: str, model: str) -> tuple[Price | None, float]:
        own = self._own.first_of(target)
        if own is not None:
            return _from_config(own), float("inf")
        listed = self._listed(provider, model)
        if listed is None:
            return None, float("inf")
        changes = isinstance(listed.prices, list)
        return _from_list(listed, self._clock.now()), RECHECK_S if changes else float("inf")

    def _listed(self, provider: str, model: str) -> "ListedModel | None":
        """The list's entry: by `price_as`, else by the provider's address, else by its name."""
        config = self._providers.get(provider)
        if config is not None and config.price_as is not None:
            ways: list[tuple[str | None, str | None]] = [(config.price_as, None)]
        elif config is not None:
            ways = [(None, config.base_url), (provider, None)]
        else:
            ways = [(provider, None)]
        snapshot = _snapshot()
        for provider_id, address in ways:
            try:
                listed: ListedModel = snapshot.find_provider_model(model, None, provider_id, address)[1]
            except LookupError:
                continue
            return listed
        return None


def _snapshot() -> Any:
    from genai_prices import data_snapshot

    return data_snapshot.get_snapshot()


def _from_config(config: PriceConfig) -> Price:
    cached = config.cached_input_usd_per_mtok
    return Price(
        input=_rate(Decimal(repr(config.input_usd_per_mtok))),
        output=_rate(Decimal(repr(config.output_usd_per_mtok))),
        cached_input=None if cached is None else _rate(Decimal(repr(cached))),
        own=True,
    )


def _from_list(listed: "ListedModel", now: float) -> Price | None:
    """None when the list has no price for text tokens (speech, embeddings of pictures)."""
    prices = listed.get_prices(datetime.fromtimestamp(now, UTC)).__dict__
    if prices.get("input_mtok") is None and prices.get("output_mtok") is None:
        return None
    cached, reasoning = prices.get("cache_read_mtok"), prices.get("output_reasoning_mtok")
    per_thousand = prices.get("requests_kcount")
    return Price(
        input=_rate(prices.get("input_mtok") or Decimal(0)),
        output=_rate(prices.get("output_mtok") or Decimal(0)),
        cached_input=None if cached is None else _rate(cached),
        reasoning=None if reasoning is None else _rate(reasoning),
        request_microusd=0 if per_thousand is None else _whole(Decimal(per_thousand) * 1_000),
        context_window=listed.context_window,
    )


def _rate(usd_per_mtok: Any) -> Rate:
    """From dollars a million tokens, or the list's tiers of them."""
    if isinstance(usd_per_mtok, Decimal):
        return Rate(_whole(usd_per_mtok * SCALE))
    tiers = tuple((tier.start, _whole(tier.price * SCALE)) for tier in usd_per_mtok.tiers)
    return Rate(_whole(usd_per_mtok.base * SCALE), tiers)


def _whole(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_CEILING))
