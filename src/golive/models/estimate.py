"""Upper bounds on tokens from bytes, for what a provider did not report.

A bound and no guess: a byte-level tokenizer makes no token of less than one byte, and one with a vocabulary of
characters falls back to bytes, so tokens never exceed UTF-8 bytes. English text has about four bytes a token, so the
bound is about four times what is billed. It stands only where a provider reported nothing (a cut stream, a cancelled
call), where too low would mean spending past a limit.

Bytes bound what was seen. Of what was not seen (an answer that is not streamed, reasoning that a model keeps to itself)
only a limit on its length is a bound: the request's, else the target's. See `output_bound` for where there is neither.
"""

import msgspec

from golive.core.messages import ImagePart, Message
from golive.models.call import ModelRequest

MESSAGE_TOKENS = 16
"""What a provider's chat template may add around one message or tool."""
IMAGE_TOKENS = 4_096
"""Bound for one picture, whose bytes are no measure: vendors scale large ones down before they count."""
UNSEEN_TOKENS = 16_384
"""Stands for an unseen answer whose length nothing limits: few models write more in one answer unless asked to. Not
their largest possible one, or a client that gives up now and then would be held to have spent a fortune."""
TOOLS_TOKENS = 640
"""What a provider's own instructions on the use of tools may add: Anthropic's take up to 530 tokens."""
_REPEATED = {
    "anthropic": frozenset({"messages", "system", "tools"}),
    "openai-responses": frozenset({"input", "instructions", "tools"}),
}
"""What of a request that is handed on whole stands in our vocabulary as well."""
_THINKS = ("reasoning_effort", "reasoning", "thinking")
"""Parameters, of any dialect, that make a model reason."""


def text_bytes(text: str) -> int:
    """UTF-8 length."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def input_bound(request: ModelRequest) -> int:
    """The most input tokens the request can be billed at; never 0."""
    total = MESSAGE_TOKENS
    for message in request.messages:
        total += _message(message)
    total += TOOLS_TOKENS if request.tools else 0
    for tool in request.tools:
        total += MESSAGE_TOKENS + text_bytes(tool.name) + text_bytes(tool.description) + len(bytes(tool.parameters))
    if request.output_schema is not None:
        total += len(bytes(request.output_schema))
    repeated = frozenset() if request.only_there else _REPEATED.get(request.dialect, frozenset())
    return total + sum(len(bytes(value)) for name, value in request.extra.items() if name not in repeated)


def output_bound(request: ModelRequest, limit: int | None, *, reasons: bool) -> int:
    """The most output tokens that may be billed of an answer beyond what was seen of it; 0: no more than that.

    Of a streamed answer nothing is hidden but reasoning, and that has no bound but `limit`: a target that reasons
    without being asked or saying so, or under no limit, may bill more than is counted here.

    Args:
        limit: most tokens of one answer, by the request or the target; None: none is known.
        reasons: whether the answer was seen to reason.
    """
    if not request.stream:
        return (limit or UNSEEN_TOKENS) * _choices(request)
    asked = request.reasoning_effort not in {None, "none"} or any(name in request.extra for name in _THINKS)
    return (limit or 0) * _choices(request) if reasons or asked else 0


def _choices(request: ModelRequest) -> int:
    """How many answers were asked for at once: OpenAI's `n`, up to the 128 that it allows."""
    try:
        return min(128, max(1, msgspec.json.decode(request.extra.get("n", b"1"), type=int)))
    except msgspec.DecodeError:
        return 1  # the provider refuses it


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
