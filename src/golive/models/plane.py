"""The model plane, put together: from names in the configuration to calls.

Owns which wrapper goes around which, and what is remembered per provider (health) and per target. Built by `app.py`
alone.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial

from msgspec import Struct

from golive.config.schema import GoliveConfig, ProviderConfig
from golive.core.clock import Clock
from golive.core.errors import GoliveError, NotFound
from golive.core.health import Dependency
from golive.core.tasks import Tasks
from golive.models.anthropic import Anthropic
from golive.models.call import ModelCall
from golive.models.capabilities import Capabilities
from golive.models.chain import Chain
from golive.models.dialect import Dialect
from golive.models.gemini import Gemini
from golive.models.health import ProviderHealth
from golive.models.meter import MeteredCall
from golive.models.openai_chat import OpenAIChat
from golive.models.openai_responses import OpenAIResponses
from golive.models.prices import Prices
from golive.models.provider import Limits, ProviderCall
from golive.models.rates import SCALE
from golive.models.transport import Transport

MAX_TARGETS_KEPT = 1_000
"""Targets kept ready; callers name models freely, so that more of them are made anew for each call."""

_DIALECTS: dict[str, Dialect] = {
    "anthropic": Anthropic(),
    "gemini": Gemini(),
    "openai-chat": OpenAIChat(),
    "openai-responses": OpenAIResponses(),
}


class ModelInfo(Struct, frozen=True, omit_defaults=True):
    """A model that can be named in a request. Prices are US dollars a million tokens, of the smallest context tier."""

    id: str
    provider: str
    context_window: int | None = None
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None


class ModelPlane:
    """Every provider of the configuration, ready to be called.

    Args:
        secrets: resolves a reference (`env:NAME`, `file:PATH`) to its value; asked at every call, so that a rotated
            credential is used at once. Its SecretMissing goes to the caller.
    """

    def __init__(self, config: GoliveConfig, secrets: Callable[[str], str], transport: Transport, clock: Clock) -> None:
        self._providers = config.providers
        self._secrets = secrets
        self._transport = transport
        self._clock = clock
        self._targets: dict[str, ModelCall] = {}
        self._health = {name: ProviderHealth(name, clock) for name in config.providers}
        self.prices = Prices(config.prices, config.providers, clock)
        self.capabilities = Capabilities(config.capabilities)

    def target(self, ref: str) -> ModelCall:
        """The metered call to `provider/model`.

        Raises:
            NotFound: the reference is not of that form, or there is no such provider.
        """
        call = self._targets.get(ref)
        if call is None:
            call = self._make(ref)
            if len(self._targets) < MAX_TARGETS_KEPT:
                self._targets[ref] = call
        return call

    def chain(self, refs: Sequence[str]) -> ModelCall:
        """A call that tries the targets in order.

        Raises:
            NotFound: as `target`.
        """
        return Chain([(ref, self.target(ref)) for ref in refs], self._clock)

    def needs_price_list(self) -> bool:
        """Whether some provider's models have no price of your own, so that the list is worth loading early."""
        return any(self.prices.needs_list(name, "any other model") for name in self._providers)

    def models(self) -> list[ModelInfo]:
        """The models that the configuration lists, with what is known of them. May load the price list."""
        return [self._info(name, model) for name, config in self._providers.items() for model in config.models]

    async def health(self) -> list[Dependency]:
        """The state of every provider, in the order of the configuration; takes at most the time of one probe."""
        checks = []
        async with Tasks("provider health") as tasks:
            for name, config in self._providers.items():
                checks.append(tasks.start(self._check(name, config), name))
        return [check.result() for check in checks]

    async def close(self) -> None:
        """Closes every connection."""
        await self._transport.close()

    def _make(self, ref: str) -> ModelCall:
        provider, _, model = ref.partition("/")
        config = self._providers.get(provider)
        if not model or config is None:
            raise self._unknown(ref, provider, well_formed=bool(provider and model))
        call = ProviderCall(
            provider=provider,
            model=model,
            base_url=config.base_url,
            limits=Limits(config.connect_s, config.first_token_s, config.between_tokens_s, config.call_s),
            dialect=_DIALECTS[config.dialect],
            transport=self._transport,
            credential=partial(self._credential, config.api_key),
            clock=self._clock,
            observe=self._health[provider].observe,
        )
        price = partial(self.prices.price, provider, model)
        most = self.capabilities.of(provider, model).max_output_tokens
        return MeteredCall(call, target=ref, price=price, clock=self._clock, max_output_tokens=most)

    def _unknown(self, ref: str, provider: str, *, well_formed: bool) -> NotFound:
        if not well_formed:
            return NotFound(
                f"{ref[:100]!r} is not a model: it must be provider/model.",
                remedy=f"The providers are: {', '.join(self._providers) or 'none'}.", kind="model", name=ref[:100],
            )  # fmt: skip
        near = get_close_matches(provider, self._providers, 1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"The providers are: {', '.join(self._providers) or 'none'}."
        return NotFound(
            f"There is no provider {provider[:100]!r} (for the model {ref[:100]!r}).", remedy=remedy, kind="provider",
            name=provider[:100],
        )  # fmt: skip

    def _credential(self, reference: str | None) -> str | None:
        return None if reference is None else self._secrets(reference)

    async def _check(self, name: str, config: ProviderConfig) -> Dependency:
        dialect = _DIALECTS[config.dialect]
        try:
            secret = self._credential(config.api_key)
        except GoliveError as error:
            return Dependency(name, "provider", "down", None, error.message)
        headers = {"Accept": "application/json", **dialect.headers(config.base_url, secret)}
        url = config.base_url.rstrip("/") + dialect.models_path()
        return await self._health[name].check(self._transport, url, headers)

    def _info(self, provider: str, model: str) -> ModelInfo:
        price = self.prices.price(provider, model)
        if price is None:
            return ModelInfo(f"{provider}/{model}", provider)
        known = price.is_known
        return ModelInfo(
            id=f"{provider}/{model}",
            provider=provider,
            context_window=price.context_window,
            input_usd_per_mtok=price.input.base / SCALE if known else None,
            output_usd_per_mtok=price.output.base / SCALE if known else None,
        )
