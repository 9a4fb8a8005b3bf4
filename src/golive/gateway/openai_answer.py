"""Whole chat completions: assembled from model events, or made from an agent's result."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from golive.core.messages import Usage
from golive.gateway.openai_chunks import top_level, usage_json
from golive.models.call import (
    Finished,
    Metered,
    ModelEvent,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from golive.runtime.api import RunResult

_encode = msgspec.json.Encoder().encode

FINISH_OF_OUTCOME = {"completed": "stop", "escalated": "stop", "partial": "length", "refused": "content_filter"}
"""How an agent's outcome reads on the OpenAI face; `failed` and `cancelled` are errors."""


class _Extra(Struct):
    """What of a vendor's further fields on a text has a place in a whole answer."""

    logprobs: Any = None


_extra = msgspec.json.Decoder(_Extra).decode


class _Call:
    """One tool call so far; its arguments in pieces, since there may be a million of them."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = self.name = ""
        self.arguments: list[str] = []


class _Choice:
    """One choice so far."""

    __slots__ = ("calls", "extras", "finish", "reasoning", "refusal", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[int, _Call] = {}
        self.extras: list[Raw] = []
        self.finish: str | None = None

    def call(self, event: ToolCallDelta) -> None:
        """Adds a fragment."""
        call = self.calls.get(event.index)
        if call is None:
            call = self.calls[event.index] = _Call()
        call.id = call.id or event.id or ""
        call.name = call.name or event.name or ""
        call.arguments.append(event.arguments)

    def message(self) -> bytes:
        """OpenAI's message object."""
        text = "".join(self.text)
        content = b"null" if not text and (self.calls or self.refusal) else _encode(text)
        out = b'{"role":"assistant","content":%s,"refusal":%s' % (
            content,
            _encode("".join(self.refusal)) if self.refusal else b"null",
        )
        if self.reasoning:
            out += b',"reasoning_content":' + _encode("".join(self.reasoning))
        if self.calls:
            calls = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for _, call in sorted(self.calls.items())
            ]
            out += b',"tool_calls":' + _encode(calls)
        return out + b"}"

    def logprobs(self) -> bytes:
        """The log probabilities of all pieces, joined."""
        joined: dict[str, list[Any]] = {}
        for extra in self.extras:
            found = _extra(extra).logprobs
            for name, values in found.items() if isinstance(found, dict) else ():
                joined.setdefault(name, []).extend(values if isinstance(values, list) else ())
        return _encode({name: values or None for name, values in joined.items()} or None)


class WholeAnswer:
    """Collects the events of one call; `body` is OpenAI's chat.completion."""

    __slots__ = ("_choices", "_opened", "_usage")

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._opened: Opened | None = None
        self._usage: Usage | None = None

    def add(self, events: list[ModelEvent]) -> None:
        """Takes in a batch."""
        for event in events:
            match event:
                case TextDelta():
                    choice = self._choice(event.choice)
                    choice.text.append(event.text)
                    if event.extra is not None:
                        choice.extras.append(event.extra)
                case Opened():
                    self._opened = self._opened or event
                case ReasoningDelta():
                    self._choice(event.choice).reasoning.append(event.text)
                case RefusalDelta():
                    self._choice(event.choice).refusal.append(event.text)
                case ToolCallDelta():
                    self._choice(event.choice).call(event)
                case Finished():
                    self._choice(event.choice).finish = event.reason
                case UsageReported():
                    self._usage = event.usage
                case Metered():
                    self._usage = self._usage or event.usage
                case _:
                    pass

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        return choice

    @property
    def whole(self) -> bool:
        """Whether every choice has ended."""
        return bool(self._choices) and all(choice.finish for choice in self._choices.values())

    def body(self, run: str, model: str, now: float) -> bytes:
        """The completion; what the vendor did not say comes from `run` (id), `model` and `now` (seconds)."""
        opened = self._opened or Opened()
        choices = [
            b'{"index":%d,"message":%s,"logprobs":%s,"finish_reason":"%s"}'
            % (index, choice.message(), choice.logprobs(), (choice.finish or "").encode())
            for index, choice in sorted(self._choices.items())
        ]
        return _completion(
            opened.response_id or f"chatcmpl-{run}",
            opened.created or int(now),
            opened.response_model or model,
            b",".join(choices),
            self._usage or Usage(),
            top_level(opened.extra),
        )


def agent_answer(result: RunResult) -> bytes:
    """The completion for a run that has an answer, whole or partial; its id is the run's."""
    message = b'{"role":"assistant","content":%s,"refusal":null}' % _encode(result.text or result.message)
    finish = FINISH_OF_OUTCOME[result.outcome or "partial"].encode()
    choice = b'{"index":0,"message":%s,"logprobs":null,"finish_reason":"%s"}' % (message, finish)
    return _completion(f"chatcmpl-{result.run}", int(result.created_at), result.agent, choice, result.usage, b"")


def _completion(answer_id: str, created: int, model: str, choices: bytes, usage: Usage, more: bytes) -> bytes:
    return b'{"id":%s,"object":"chat.completion","created":%d,"model":%s,"choices":[%s],"usage":%s%s}' % (
        _encode(answer_id),
        created,
        _encode(model),
        choices,
        usage_json(usage),
        more,
    )
