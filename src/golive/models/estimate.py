"""Upper bounds on tokens from bytes, for what a provider did not report.

A bound and no guess: a byte-level tokenizer makes no token of less than one byte, and one with a vocabulary of
characters falls back to bytes, so tokens never exceed UTF-8 bytes. English text has about four bytes a token, so the
bound is about four times what is billed. It stands only where a provider reported nothing (a cut stream, a cancelled
call), where too low would mean spending past a limit.
"""

from golive.core.messages import ImagePart, Message
from golive.models.call import ModelRequest

MESSAGE_TOKENS = 16
"""What a provider's chat template may add around one message or tool."""
IMAGE_TOKENS = 4_096
"""Bound for one picture, whose bytes are no measure: vendors scale large ones down before they count."""


def text_bytes(text: str) -> int:
    """UTF-8 length."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def input_bound(request: ModelRequest) -> int:
    """The most input tokens the request can be billed at; never 0."""
    total = MESSAGE_TOKENS
    for message in request.messages:
        total += _message(message)
    for tool in request.tools:
        total += MESSAGE_TOKENS + text_bytes(tool.name) + text_bytes(tool.description) + len(bytes(tool.parameters))
    if request.output_schema is not None:
        total += len(bytes(request.output_schema))
    return total + sum(len(bytes(value)) for value in request.extra.values())


def _message(message: Message) -> int:
    total = MESSAGE_TOKENS + text_bytes(message.name or "") + text_bytes(message.tool_call_id or "")
    if isinstance(message.content, str):
        total += text_bytes(message.content)
    else:
        for part in message.content:
            total += IMAGE_TOKENS if isinstance(part, ImagePart) else text_bytes(part.text)
    for call in message.tool_calls:
        total += MESSAGE_TOKENS + text_bytes(call.id) + text_bytes(call.name) + text_bytes(call.arguments)
        total += 0 if call.state is None else len(bytes(call.state.data))
    return total + sum(len(bytes(state.data)) for state in message.state)
