"""What a tool returned, as the text a model is given."""

import inspect
from typing import Any

import msgspec
from pydantic_core import to_json

from golive.core.errors import ToolResultInvalid

MAX_REASON_CHARS = 65_536
"""Of what a serialiser raised, as it reaches the server, which cuts it for the model."""


def result_text(value: Any, tool: str, max_bytes: int) -> str:
    """A str as it is, None as `null`, everything else as JSON (NaN and infinities become null).

    Raises:
        ToolResultInvalid: JSON cannot hold it (the error names the type), or it is longer than `max_bytes` in UTF-8.
    """
    if isinstance(value, str):
        size = len(value) if value.isascii() else _utf8_size(value, tool)
        return _bounded(str(value), size, tool, max_bytes)
    data = _json(value, tool)
    return _bounded(data, len(data), tool, max_bytes)


def _bounded(data: str | bytes, size: int, tool: str, max_bytes: int) -> str:
    if size > max_bytes:
        raise ToolResultInvalid(
            f"The result of {tool} is {size:,} bytes, and the limit is {max_bytes:,}.",
            remedy="Ask for less (a narrower query, fewer rows), or raise limits.max_tool_result_bytes.",
            tool=tool, size=size, limit=max_bytes,
        )  # fmt: skip
    return data if isinstance(data, str) else data.decode()


def _utf8_size(value: str, tool: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise ToolResultInvalid(
            f"The result of {tool} is text that UTF-8 cannot hold ({error.reason} at position {error.start}).",
            remedy="Decode the bytes it was made from with the right encoding.",
            tool=tool,
        ) from None


def _json(value: Any, tool: str) -> bytes:
    strange: list[str] = []

    def other(part: Any) -> Any:
        """Called for what pydantic does not know; its errors lose their type on the way out, so it is noted here."""
        if isinstance(part, msgspec.Struct):
            return msgspec.to_builtins(part)
        if inspect.iscoroutine(part):
            part.close()  # it will never be awaited
        strange.append(f"{type(part).__module__}.{type(part).__qualname__}".removeprefix("builtins."))
        raise TypeError(strange[0])

    try:
        return to_json(value, inf_nan_mode="null", fallback=other)
    except Exception as error:  # serialisers that users wrote may raise anything
        reason = f"it holds a {strange[0]}" if strange else str(error).removeprefix("Error serializing to JSON: ")
        raise ToolResultInvalid(
            f"The result of {tool} ({type(value).__name__}) cannot be written as JSON: {reason[:MAX_REASON_CHARS]}.",
            remedy="Return text, numbers, lists, dicts, dataclasses or pydantic models.",
            tool=tool,
        ) from None
