"""A price as integers, and what a usage costs at it.

Each part of a usage is counted at the rate of its own kind where there is one, and else at that of plain input or
output. What a usage does not tell is not counted: web searches, hours of audio, and writes to a provider's cache for an
hour, which count as those for five minutes.
"""

from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from golive.config.schema import PriceConfig
from golive.core.messages import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice as ListedPrice

SCALE = 10**9
"""Rates are whole billionths of a micro-dollar a token (a dollar a million tokens is 10**9), finer than all
but a few of a list's; those are rounded up."""


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
    """The price of one target. `own` when the operator set it, whose 0 is a decision and not a gap.

    `request` is what each call costs by itself, in billionths of a micro-dollar.
    """

    input: Rate
    output: Rate
    cached_input: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    input_audio: Rate | None = None
    input_image: Rate | None = None
    output_audio: Rate | None = None
    output_image: Rate | None = None
    request: int = 0
    own: bool = False
    context_window: int | None = None

    @property
    def is_known(self) -> bool:
        """A listed price of nothing at all is a gap in the list, or a trial: nobody should take it for certain."""
        return self.own or not (self.input.is_zero and self.output.is_zero and self.request == 0)

    def cost_microusd(self, usage: Usage) -> int:
        """Micro-dollars for one call, rounded up once, at the end."""
        size = usage.input_tokens
        return self._whole(usage, self.input.at(size), self.output.at(size))

    def bound_microusd(self, usage: Usage, *, input_reported: bool) -> int:
        """The most that a call can cost of whose usage the provider did not report all, rounded up.

        Args:
            input_reported: the provider told the input and what of it was read from and written to its cache, so that
                only the output is a bound. Else every token may have been written to the cache.
        """
        size = usage.input_tokens
        plain = self.input.at(size)
        if not input_reported and self.cache_write is not None:
            plain = max(plain, self.cache_write.at(size))
        output = self.output.at(size)
        if self.reasoning is not None:
            output = max(output, self.reasoning.at(size))
        return self._whole(usage, plain, output)

    def saved_microusd(self, usage: Usage) -> int:
        """What the provider's cache took off the cost of a call; below 0 where writing to it cost more."""
        if not usage.cached_input_tokens and not usage.cache_write_tokens:
            return 0
        without = structs.replace(usage, cached_input_tokens=0, cache_write_tokens=0)
        return self.cost_microusd(without) - self.cost_microusd(usage)

    def _whole(self, usage: Usage, plain: int, output: int) -> int:
        size = usage.input_tokens
        total = self.request
        rest = size
        for tokens, rate in (
            (usage.cached_input_tokens, self.cached_input), (usage.cache_write_tokens, self.cache_write),
            (usage.input_audio_tokens, self.input_audio), (usage.input_image_tokens, self.input_image),
        ):  # fmt: skip
            if tokens and rate is not None:
                total += tokens * rate.at(size)
                rest -= tokens
        if rest > 0:  # parts may overlap (audio out of the cache), and are then counted each: never less than billed
            total += rest * plain
        rest = usage.output_tokens
        for tokens, rate in (
            (usage.reasoning_tokens, self.reasoning), (usage.output_audio_tokens, self.output_audio),
            (usage.output_image_tokens, self.output_image),
        ):  # fmt: skip
            if tokens and rate is not None:
                total += tokens * rate.at(size)
                rest -= tokens
        if rest > 0:
            total += rest * output
        return -(-total // SCALE)


def from_config(config: PriceConfig, *, batch: bool) -> Price:
    """The operator's own price. With `batch` the prices of tokens are lower by `batch_discount`."""
    share = 1 - Decimal(repr(config.batch_discount)) if batch else Decimal(1)

    def rate(usd_per_mtok: float | None) -> Rate | None:
        return None if usd_per_mtok is None else Rate(_scaled(Decimal(repr(usd_per_mtok)) * share))

    return Price(
        input=rate(config.input_usd_per_mtok) or Rate(0),
        output=rate(config.output_usd_per_mtok) or Rate(0),
        cached_input=rate(config.cached_input_usd_per_mtok),
        cache_write=rate(config.cache_write_usd_per_mtok),
        reasoning=rate(config.reasoning_usd_per_mtok),
        request=_scaled(Decimal(repr(config.request_usd)) * 10**6),
        own=True,
    )


def from_list(listed: "ListedPrice", context_window: int | None) -> Price | None:
    """The list's price; None when it has none for text tokens (hours of speech, pages of documents)."""
    prices: dict[str, Any] = listed.__dict__
    if prices.get("input_mtok") is None and prices.get("output_mtok") is None:
        return None

    def rate(key: str) -> Rate | None:
        return _rate(prices.get(key))

    per_thousand = prices.get("requests_kcount")
    return Price(
        input=rate("input_mtok") or Rate(0),
        output=rate("output_mtok") or Rate(0),
        cached_input=rate("cache_read_mtok"),
        cache_write=rate("cache_write_mtok"),
        reasoning=rate("output_reasoning_mtok"),
        input_audio=rate("input_audio_mtok"),
        input_image=rate("input_image_mtok"),
        output_audio=rate("output_audio_mtok"),
        output_image=rate("output_image_mtok"),
        request=0 if per_thousand is None else _scaled(Decimal(per_thousand) * 1_000),
        context_window=context_window,
    )


def _rate(usd_per_mtok: Any) -> Rate | None:
    """From dollars a million tokens, or the list's tiers of them."""
    if usd_per_mtok is None:
        return None
    if isinstance(usd_per_mtok, Decimal):
        return Rate(_scaled(usd_per_mtok))
    return Rate(_scaled(usd_per_mtok.base), tuple((tier.start, _scaled(tier.price)) for tier in usd_per_mtok.tiers))


def _scaled(microusd: Decimal) -> int:
    return int((microusd * SCALE).to_integral_value(ROUND_CEILING))
