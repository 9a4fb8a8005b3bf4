"""Addresses of providers at which no call can arrive: dialects add the rest of the path, such as /chat/completions.

Sources for the hosts that serve without a version in the path: https://api-docs.deepseek.com and
https://docs.perplexity.ai, both November 2026.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from golive.config.contradictions import Origin, idle
from golive.config.problems import Problem
from golive.config.schema import GoliveConfig

_ENDPOINTS = (
    "/chat/completions", "/completions", "/responses", "/messages", "/messages/count_tokens", "/embeddings",
    ":generateContent", ":streamGenerateContent",
)  # fmt: skip
"""What calls are sent to, behind `base_url`."""
_VERSIONS = {"gemini": "/v1beta"}
_AT_THE_ROOT = ("api.deepseek.com", "api.perplexity.ai")


def endpoint_addresses(config: GoliveConfig, origin_of: Origin) -> Iterator[Problem]:
    """Addresses that are those of calls already: behind them nothing is served."""
    for name, provider in config.providers.items():
        address = provider.base_url.rstrip("/")
        ending = max((ending for ending in _ENDPOINTS if address.endswith(ending)), key=len, default=None)
        if ending is None:
            continue
        before = address.removesuffix(ending)
        if ending.startswith(":"):
            before = before.partition("/models/")[0]
        yield idle(
            ("providers", name, "base_url"), provider.base_url, origin_of,
            "which is where calls of one kind are sent: golive adds that itself, so that each would be sent to a path "
            "that there is not.", f"Set it to {before}.",
        )  # fmt: skip


def bare_addresses(config: GoliveConfig, origin_of: Origin) -> Iterator[Problem]:
    """Addresses of a host alone, where nearly every provider has its API behind a version."""
    for name, provider in config.providers.items():
        parts = urlsplit(provider.base_url)
        if parts.path.strip("/") or parts.hostname in _AT_THE_ROOT:
            continue
        whole = f"{parts.scheme}://{parts.netloc}{_VERSIONS.get(provider.dialect, '/v1')}"
        yield idle(
            ("providers", name, "base_url"), provider.base_url, origin_of,
            "a host without a path, where most servers of this dialect answer every call with 404.",
            f"Set it to {whole}, unless this server is another one.",
        )  # fmt: skip
