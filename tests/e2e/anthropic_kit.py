"""The official anthropic SDK, and providers of every dialect, for the tests of the Anthropic face."""

from typing import Any

from anthropic import AsyncAnthropic

from golive.config.schema import ProviderConfig
from golive.sim.script import ToolUse
from tests.e2e.gateway_kit import Server

HI: list[Any] = [{"role": "user", "content": "Hello there"}]
TOOL: Any = {
    "name": "get_order", "description": "Look up an order.",
    "input_schema": {"type": "object", "properties": {"order_id": {"type": "string"}}},
}  # fmt: skip
OTHERS = {"claude": "anthropic", "gemini": "gemini", "responses": "openai-responses"}
"""Providers of the dialects beside OpenAI's chat, which `sim` speaks."""
CALLS = [ToolUse("get_order", {"order_id": "A-1"}), ToolUse("get_order", {"order_id": "é"})]


def others(base_url: str) -> dict[str, ProviderConfig]:
    """One provider for each further dialect, at the same simulator."""
    root = base_url.removesuffix("/v1")
    return {
        name: ProviderConfig.model_validate({
            "dialect": dialect, "base_url": f"{root}/v1beta" if dialect == "gemini" else base_url, "models": (),
        })
        for name, dialect in OTHERS.items()
    }  # fmt: skip


def sdk_of(server: Server, key: str | None = None, **options: Any) -> AsyncAnthropic:
    """The official SDK, pointed here; its key goes as x-api-key."""
    return AsyncAnthropic(api_key=key or server.admin, base_url=server.url, **{"max_retries": 0, **options})


def text_of(message: Any) -> str:
    """All text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")
