"""What is known of a model that can be named in a request: price, sizes, what it can do. For lists that people read."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, structs

from golive.models.capabilities import ModelCapabilities
from golive.models.rates import SCALE, Price, Rate

CAPABILITIES = tuple(name for name in ModelCapabilities.__struct_fields__ if not name.endswith(("_window", "_tokens")))
"""What a model can or cannot, in the order of the settings."""


WITHOUT_EMBEDDINGS = "anthropic"
"""The dialect that has none."""

Whose = Literal["tenant", "installation", "none"]


class ListedPrice(Struct, frozen=True, kw_only=True):
    """US dollars a million tokens, of the smallest size of context; a part without a price of its own is left out.

    `own`: set in golive.toml, not taken from the list.
    """

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | UnsetType = UNSET
    cache_write_usd_per_mtok: float | UnsetType = UNSET
    reasoning_usd_per_mtok: float | UnsetType = UNSET
    request_usd: float | UnsetType = UNSET
    own: bool = False


class ModelInfo(Struct, frozen=True, kw_only=True):
    """A model that is configured: listed by its provider, or in the chain of an agent.

    `credential`: with whose the tenant's calls go to it; "none": nobody's, and they are refused.
    """

    id: str
    provider: str
    dialect: str
    capabilities: tuple[str, ...]
    context_window: int | None = None
    max_output_tokens: int | None = None
    price: ListedPrice | None = None
    credential: Whose = "installation"


def describe(
    ref: str, dialect: str, price: Price | None, can: ModelCapabilities, credential: Whose = "installation"
) -> ModelInfo:
    """What is known of the target `provider/model`. The context's size is that of the settings, else the list's."""
    return ModelInfo(
        id=ref,
        provider=ref.partition("/")[0],
        dialect=dialect,
        capabilities=tuple(
            name
            for name in CAPABILITIES
            if getattr(can, name) and not (name == "embeddings" and dialect == WITHOUT_EMBEDDINGS)
        ),
        context_window=can.context_window or (price.context_window if price is not None else None),
        max_output_tokens=can.max_output_tokens,
        price=_listed(price) if price is not None and price.is_known else None,
        credential=credential,
    )


def _listed(price: Price) -> ListedPrice:
    parts = {"cached_input": price.cached_input, "cache_write": price.cache_write, "reasoning": price.reasoning}
    known = {f"{name}_usd_per_mtok": _usd(rate) for name, rate in parts.items() if rate is not None}
    listed = ListedPrice(
        input_usd_per_mtok=_usd(price.input), output_usd_per_mtok=_usd(price.output), own=price.own, **known
    )
    return structs.replace(listed, request_usd=price.request / SCALE / 10**6) if price.request else listed


def _usd(rate: Rate) -> float:
    return rate.base / SCALE
