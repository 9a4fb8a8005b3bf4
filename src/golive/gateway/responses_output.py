"""What stands in a Responses answer: its output items as they grow, and the response object around them.

Texts are kept as the JSON they are sent as, so that each is encoded once however often the dialect repeats it.

Source: https://platform.openai.com/docs/api-reference/responses/object (November 2026).
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import GoliveError
from golive.core.messages import Usage
from golive.gateway.openai_errors import error_of, openai_status

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode


class Text:
    """A text in pieces, each the inside of a JSON string."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def add(self, text_json: bytes) -> None:
        """Appends a text, given as its JSON string."""
        self._pieces.append(text_json[1:-1])

    def json(self) -> bytes:
        """The whole as a JSON string."""
        return b'"' + b"".join(self._pieces) + b'"'


class Part:
    """A part of a message: what it says, with notes such as where it is quoted from, or its refusal."""

    __slots__ = ("annotations", "index", "logprobs", "refuses", "text")

    def __init__(self, index: int, *, refuses: bool) -> None:
        self.index = index
        self.refuses = refuses
        self.text = Text()
        self.logprobs: list[Any] = []
        self.annotations: list[Any] = []

    def json(self) -> bytes:
        if self.refuses:
            return b'{"type":"refusal","refusal":%b}' % self.text.json()
        return b'{"type":"output_text","annotations":%b,"logprobs":%b,"text":%b}' % (
            _encode(self.annotations), _encode(self.logprobs), self.text.json(),
        )  # fmt: skip


class _Placed:
    """What every output item has: its id, and `index`, its place in the output."""

    __slots__ = ("id", "index")

    def __init__(self, item_id: str, index: int) -> None:
        self.id = item_id
        self.index = index


class MessageItem(_Placed):
    """What the assistant says."""

    __slots__ = ("parts",)

    def __init__(self, item_id: str, index: int) -> None:
        super().__init__(item_id, index)
        self.parts: list[Part] = []

    def json(self, status: Status) -> bytes:
        parts = b",".join([part.json() for part in self.parts])
        return b'{"id":"%b","type":"message","status":"%b","role":"assistant","content":[%b]}' % (
            self.id.encode(), status.encode(), parts,
        )  # fmt: skip


class ReasoningItem(_Placed):
    """What the model says of its reasoning, and the provider's state, sealed."""

    __slots__ = ("sealed", "summary")

    def __init__(self, item_id: str, index: int) -> None:
        super().__init__(item_id, index)
        self.summary: Text | None = None
        self.sealed: str | None = None

    def json(self, status: Status) -> bytes:
        summary = b"" if self.summary is None else self.summary_part()
        sealed = b"" if self.sealed is None else b',"encrypted_content":' + _encode(self.sealed)
        return b'{"id":"%b","type":"reasoning","summary":[%b]%b}' % (self.id.encode(), summary, sealed)

    def summary_part(self) -> bytes:
        """The summary's one part."""
        text = b'""' if self.summary is None else self.summary.json()
        return b'{"type":"summary_text","text":%b}' % text


class CallItem(_Placed):
    """A call to one of the client's functions."""

    __slots__ = ("arguments", "call_id", "name")

    def __init__(self, item_id: str, index: int, call_id: str, name: str) -> None:
        super().__init__(item_id, index)
        self.call_id = call_id
        self.name = name
        self.arguments = Text()

    def json(self, status: Status) -> bytes:
        return b'{"id":"%b","type":"function_call","status":"%b","arguments":%b,"call_id":%b,"name":%b}' % (
            self.id.encode(), status.encode(), self.arguments.json(), _encode(self.call_id), _encode(self.name),
        )  # fmt: skip


class ProviderItem(_Placed):
    """What a tool of the provider's own did, as the provider of the same dialect said it."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes, index: int) -> None:
        super().__init__("", index)
        self._raw = raw

    def json(self, status: Status) -> bytes:
        return self._raw


Item = MessageItem | ReasoningItem | CallItem | ProviderItem


# ---- the response object --------------------------------------------------------------------------------------------

DEFAULTS: dict[str, Raw] = {
    name: Raw(value)
    for name, value in {
        "instructions": b"null", "max_output_tokens": b"null", "max_tool_calls": b"null", "metadata": b"{}",
        "parallel_tool_calls": b"true", "previous_response_id": b"null", "reasoning": b'{"effort":null,"summary":null}',
        "store": b"false", "temperature": b"null", "text": b'{"format":{"type":"text"}}', "tool_choice": b'"auto"',
        "tools": b"[]", "top_logprobs": b"0", "top_p": b"null", "truncation": b'"disabled"', "user": b"null",
        "background": b"false",
    }.items()
}  # fmt: skip
"""What a response says of a setting that the client left open."""
_ECHOED = frozenset({*DEFAULTS, "prompt", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"})


_OURS = frozenset({
    "id", "object", "created_at", "model", "status", "error", "incomplete_details", "output", "usage",
})  # fmt: skip


class Failure(Struct, frozen=True):
    """`error` of a response that failed. `code` is one of OpenAI's; `type` is the vendor's own code, or golive's."""

    code: str
    message: str
    type: str | None
    param: str | None = None


def failure_of(error: GoliveError) -> Failure:
    """How a failed response names an error."""
    body = error_of(error)["error"]
    return failure(openai_status(error), body.message, body.code, body.param)


def failure(status: int, message: str, code: str | None, param: str | None = None) -> Failure:
    """The failure for which an answer with an HTTP status would have stood."""
    kind = "rate_limit_exceeded" if status == 429 else "invalid_prompt" if status < 500 else "server_error"
    return Failure(kind, message, code, param)


class ResponseObject:
    """Writes one response in each of its states."""

    __slots__ = ("_head", "_tail", "id")

    def __init__(self, response_id: str, created: int, model: str, settings: dict[str, Raw]) -> None:
        """`settings` stands above `DEFAULTS`; `created` is in seconds since the epoch."""
        self.id = response_id
        self._head = b'{"id":%b,"object":"response","created_at":%d,"model":%b,"status":"' % (
            _encode(response_id), created, _encode(model),
        )  # fmt: skip
        self._tail = b"," + _encode(DEFAULTS | settings)[1:]

    def json(
        self,
        status: Status,
        output: Sequence[bytes] = (),
        *,
        usage: Usage | None = None,
        reason: str | None = None,
        failure: Failure | None = None,
    ) -> bytes:
        """The object.

        Args:
            output: the items' JSON.
            reason: why the answer is incomplete.
        """
        return b'%b%b","error":%b,"incomplete_details":%b,"output":[%b],"usage":%b%b' % (
            self._head,
            status.encode(),
            b"null" if failure is None else _encode(failure),
            b"null" if reason is None else b'{"reason":"%b"}' % reason.encode(),
            b",".join(output),
            b"null" if usage is None else usage_json(usage),
            self._tail,
        )


def echo(fields: dict[str, Raw]) -> dict[str, Raw]:
    """Of the client's own fields those that a response repeats."""
    return {name: raw for name, raw in fields.items() if name in _ECHOED and bytes(raw) != b"null"}


def more(extra: Raw | None) -> dict[str, Raw]:
    """Further members of the vendor's answer that do not stand in the way of ours."""
    return {} if extra is None else {name: raw for name, raw in _members(extra).items() if name not in _OURS}


def usage_json(usage: Usage) -> bytes:
    """The dialect's `usage` object."""
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},"output_tokens":%d,'
        b'"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
    ) % (
        usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens, usage.output_tokens,
        usage.reasoning_tokens, usage.input_tokens + usage.output_tokens,
    )  # fmt: skip
