"""What tokens cost: the operator's own prices, and the maintained list of genai-prices behind them.

A price is resolved once per target and version of the list, and kept as integers, so that pricing a call is a few
multiplications and sums never drift. Loading the list takes most of a second and some 25 MB: `load` does it, off the
event loop if the caller likes; a target with a price of its own never needs it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from golive.config.schema import PriceConfig, ProviderConfig
from golive.core.clock import Clock
from golive.core.messages import Usage
from golive.models.patterns import ByPattern
from golive.models.rates import Price, from_config, from_list

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo as ListedModel

RECHECK_S = 60.0
"""A price that depends on date or time of day is looked up again this often."""
MAX_PRICES = 10_000
"""Targets whose price is remembered; more are looked up each time."""

_CONTEXTS: dict[str, dict[str, str]] = {
    "standard": {}, "batch": {"processing": "batch"}, "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}  # fmt: skip
"""The list's words for each value of `billing`."""
_TIERS = frozenset({"default", "fast", "flex", "priority"})
"""Service tiers that the list knows; any other is billed as `billing` says."""


class _Known(NamedTuple):
    """A price, and for how long it holds: until a time, and for one version of the list (None: it is your own)."""

    price: Price | None
    until: float
    of: "DataSnapshot | None"


class Prices:
    """Finds the price of a target."""

    def __init__(self, own: Mapping[str, PriceConfig], providers: Mapping[str, ProviderConfig], clock: Clock) -> None:
        self._own = ByPattern(own)
        self._providers = providers
        self._clock = clock
        self._known: dict[tuple[str, str, str], _Known] = {}
        self._list: ModuleType | None = None

    def price(self, provider: str, model: str, tier: str = "") -> Price | None:
        """The price now, or None where neither the operator nor the list has one.

        Args:
            tier: the service tier, in the provider's words, that a call was served in; as `billing` says by default.
        """
        if tier not in _TIERS:
            tier = ""
        known = self._known.get((provider, model, tier))
        if known is not None and self._holds(known):
            return known.price
        found = self._find(provider, model, tier)
        if known is not None or len(self._known) < MAX_PRICES:
            self._known[provider, model, tier] = found
        return found.price

    def cost_microusd(self, provider: str, model: str, usage: Usage) -> int | None:
        """Micro-dollars for one call; None where the price is unknown (or a listed 0) and tokens were used."""
        price = self.price(provider, model)
        if price is None or not price.is_known:
            return None if usage.input_tokens or usage.output_tokens else 0
        return price.cost_microusd(usage)

    def needs_list(self, provider: str, model: str) -> bool:
        """Whether this target's price must be looked for in the list, so that it is worth loading early."""
        return self._own.first_of(f"{provider}/{model}") is None

    def load(self) -> None:
        """Reads the list, once; blocks for most of a second, so run it before serving or in a thread."""
        self._snapshot()

    def _holds(self, known: _Known) -> bool:
        if known.of is not None and known.of is not self._snapshot():
            return False
        return known.until == float("inf") or self._clock.monotonic() < known.until

    def _find(self, provider: str, model: str, tier: str) -> _Known:
        own = self._own.first_of(f"{provider}/{model}")
        billing = self._providers[provider].billing if provider in self._providers else "standard"
        if own is not None:
            return _Known(from_config(own, batch=billing == "batch"), float("inf"), None)
        snapshot = self._snapshot()
        found = self._listed(snapshot, provider, model)
        if found is None:
            return _Known(None, float("inf"), snapshot)
        listed, sold_by_provider = found
        # What a provider sells of another's models has the usual prices alone, as in the list's own arithmetic.
        context = _CONTEXTS[billing] | ({"service_tier": tier} if tier else {}) if sold_by_provider else {}
        now = self._clock.now()
        price = from_list(listed.get_prices(datetime.fromtimestamp(now, UTC), context), listed.context_window)
        until = self._clock.monotonic() + RECHECK_S if _changes(listed) else float("inf")
        return _Known(price, until, snapshot)

    def _listed(self, snapshot: "DataSnapshot", provider: str, model: str) -> "tuple[ListedModel, bool] | None":
        """The list's entry: by `price_as`, else by the provider's address, else by its name."""
        config = self._providers.get(provider)
        if config is not None and config.price_as is not None:
            ways: list[tuple[str | None, str | None]] = [(config.price_as, None)]
        elif config is not None:
            ways = [(None, config.base_url), (provider, None)]
        else:
            ways = [(provider, None)]
        for provider_id, address in ways:
            try:
                seller, listed = snapshot.find_provider_model(model, None, provider_id, address)
            except LookupError:
                continue
            return listed, any(listed is one for one in seller.models)
        return None

    def _snapshot(self) -> "DataSnapshot":
        """The list as it stands; another object once it has been updated."""
        if self._list is None:
            from genai_prices import data_snapshot

            self._list = data_snapshot
        snapshot: DataSnapshot = self._list.get_snapshot()
        return snapshot


def _changes(listed: "ListedModel") -> bool:
    """Whether its price depends on the time."""
    return isinstance(listed.prices, list) or any(one.constraint for one in listed.price_variants or ())
