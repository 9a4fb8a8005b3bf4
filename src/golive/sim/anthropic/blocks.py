"""The blocks of a message's content: which there are, what each must have, what it costs."""

from typing import Any

import msgspec
from msgspec import Struct

from golive.sim import tokens
from golive.sim.request import TOKENS_AN_IMAGE, Rejected

_USER = ("text", "image", "document", "tool_result", "search_result")
_ASSISTANT = ("text", "tool_use", "thinking", "redacted_thinking")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


class Block(Struct, frozen=True):
    """One block. `id` is a tool call's own, or the one a result answers; `raw` is the block without its cache mark."""

    kind: str
    text: str
    tokens: int
    raw: Any
    mark: Any
    id: str = ""
    signature: Any = None


def invalid(message: str) -> Rejected:
    """The vendor's error for a request that is not as it should be."""
    return Rejected(400, message)


def text_of(blocks: list[Block]) -> str:
    """The text blocks, joined by newlines."""
    return "\n".join(block.text for block in blocks if block.kind == "text")


def read_block(block: Any, at: str, role: str) -> Block:
    """One block.

    Raises:
        Rejected: as the vendor refuses it.
    """
    kind = block.get("type") if isinstance(block, dict) else None
    allowed = _ASSISTANT if role == "assistant" else _USER
    if not isinstance(kind, str) or kind not in allowed:
        tags = ", ".join(f"'{name}'" for name in allowed)
        raise invalid(f"{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    bare = {key: value for key, value in block.items() if key != "cache_control"}
    text, cost, ident = "", 0, ""
    if kind == "text":
        text = _string(block, "text", at)
        if not text.strip():
            raise invalid("messages: text content blocks must contain non-whitespace text")
        cost = tokens.count(text)
    elif kind in ("image", "document"):
        _check_source(block.get("source"), at, kind)
        cost = TOKENS_AN_IMAGE
    elif kind == "tool_use":
        ident, name = _string(block, "id", at), _string(block, "name", at)
        if not isinstance(block.get("input"), dict):
            raise invalid(f"{at}.tool_use.input: Input should be a valid dictionary")
        cost = tokens.count(name) + tokens.count(msgspec.json.encode(block["input"]).decode())
    elif kind == "tool_result":
        ident = _string(block, "tool_use_id", at)
        text, cost = _result(block.get("content"), at)
    elif kind == "thinking":
        text = _string(block, "thinking", at)
        _string(block, "signature", at)
        cost = tokens.count(text)
    return Block(kind, text, cost, bare, block.get("cache_control"), ident, block.get("signature"))


def _string(block: dict[str, Any], name: str, at: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        wrong = "Field required" if value is None else "Input should be a valid string"
        raise invalid(f"{at}.{block['type']}.{name}: {wrong}")
    return value


def _check_source(source: Any, at: str, kind: str) -> None:
    form = source.get("type") if isinstance(source, dict) else None
    if form == "url":
        if not isinstance(source.get("url"), str) or not source["url"].startswith("https://"):
            raise invalid(f"{at}.{kind}.source.url: Only HTTPS URLs are supported.")
    elif form == "base64":
        if kind == "image" and source.get("media_type") not in _IMAGES:
            names = ", ".join(f"'{name}'" for name in _IMAGES)
            raise invalid(f"{at}.image.source.base64.media_type: Input should be {names}")
        if not isinstance(source.get("data"), str) or not source["data"]:
            raise invalid(f"{at}.{kind}.source.base64.data: Field required")
    elif form not in ("file", "text", "content"):
        raise invalid(f"{at}.{kind}.source: Input should be 'base64', 'url' or 'file'")


def _result(content: Any, at: str) -> tuple[str, int]:
    if content is None or isinstance(content, str):
        return content or "", tokens.count(content or "")
    if not isinstance(content, list):
        raise invalid(f"{at}.tool_result.content: Input should be a valid list")
    blocks = [read_block(block, f"{at}.tool_result.content.{index}", "user") for index, block in enumerate(content)]
    return text_of(blocks), sum(block.tokens for block in blocks)
