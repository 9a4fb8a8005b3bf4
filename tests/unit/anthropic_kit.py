"""Requests in Anthropic's words, made and read back."""

from typing import Any

import msgspec
from msgspec import Raw

from golive.core.messages import Message, Opaque, ToolSpec
from golive.models.anthropic import Anthropic
from golive.models.call import ModelRequest
from golive.models.dialect import Target

NEW, BETWEEN, OLD = "claude-opus-5-5", "claude-opus-4-6", "claude-sonnet-4-5"
URL = "https://api.anthropic.com/v1"
HELLO = (Message("user", "Hello"),)
MARK = {"type": "ephemeral"}
FIND = ToolSpec("find", "Finds.", Raw(b'{"type":"object","properties":{"q":{"type":"string"}}}'))


def thought(text: str = "hm", provider: str = "p", before: int = 0) -> Opaque:
    data = msgspec.json.encode({"type": "thinking", "thinking": text, "signature": "s=="})
    return Opaque(provider, Raw(data), before)


def encode(model: str = NEW, *, prompt_cache: bool = False, **fields: Any) -> dict[str, Any]:
    request = ModelRequest(**({"messages": HELLO, "stream": False, "prompt_cache": prompt_cache} | fields))
    wire: dict[str, Any] = msgspec.json.decode(Anthropic().encode(request, Target("p", model, URL)))
    return wire


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
