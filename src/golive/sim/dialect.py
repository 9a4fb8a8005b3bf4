"""Writes OpenAI Chat Completions: chunks of a stream, whole answers, errors.

Bytes are put together from parts encoded once per answer, because a stream's cost is this code times its tokens.
Source: https://platform.openai.com/docs/api-reference/chat/streaming, as of 2026.
"""

from typing import Any

import msgspec

from golive.sim.compose import Answer
from golive.sim.request import Rejected
from golive.sim.script import Script, UsageFigures
from golive.sim.tokens import count

_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"


class Chunks:
    """The events of one stream, in order, and how many tokens have been produced after each.

    Attributes:
        events: each one `data: …` event of the stream, without [DONE].
        produced: for each event, the tokens billed up to and including it.
        steps: for each event, the deltas up to and including it that carry content (what scripts count as tokens).
    """

    def __init__(
        self, answer: Answer, script: Script, *, call: str, created: int, model: str, include_usage: bool
    ) -> None:
        self._prefix = b'data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,%s,' % (
            _encode(call), created, _encode(model), b'"service_tier":"default","system_fingerprint":"fp_sim"',
        )  # fmt: skip
        self._delta = self._prefix + b'"choices":[{"index":0,"delta":{'
        usage = b',"usage":null' if include_usage else b""
        self._tail = b'},"logprobs":null,"finish_reason":null}]%s}\n\n' % usage
        self.events: list[bytes] = [self._delta + b'"role":"assistant","content":%s,"refusal":null' % (
            b"null" if answer.calls and not answer.text else b'""') + self._tail]  # fmt: skip
        self._billed = answer.hidden_tokens
        self.produced: list[int] = [self._billed]
        self.steps: list[int] = [0]
        self._words(b'"reasoning_content":', answer.reasoning)
        self._words(b'"content":', answer.text)
        self._words(b'"refusal":', answer.refusal)
        self._calls(answer, interleave=script.interleave)
        end = b'},"logprobs":null,"finish_reason":%s}]%s}\n\n' % (_encode(answer.finish_reason), usage)
        self._add(self._delta + end, 0, 0)
        if include_usage and script.usage != "missing":
            self._add(self._prefix + b'"choices":[],"usage":%s}\n\n' % _encode(usage_object(answer, script)), 0, 0)

    def _add(self, event: bytes, billed: int, step: int) -> None:
        self.events.append(event)
        self._billed += billed
        self.produced.append(self._billed)
        self.steps.append(self.steps[-1] + step)

    def _words(self, field: bytes, words: list[str]) -> None:
        if not words:
            return
        head, tail = self._delta + field, self._tail
        self.events += [b"%b%b%b" % (head, _encode(word), tail) for word in words]
        self.produced += range(self._billed + 1, self._billed + 1 + len(words))
        self.steps += range(self.steps[-1] + 1, self.steps[-1] + 1 + len(words))
        self._billed += len(words)

    def _calls(self, answer: Answer, *, interleave: bool) -> None:
        parts: list[list[tuple[bytes, int]]] = []
        for index, call in enumerate(answer.calls):
            opening = b'"tool_calls":[{"index":%d,"id":%s,"type":"function","function":{"name":%s,"arguments":""}}]' % (
                index, _encode(call.id), _encode(call.name),
            )  # fmt: skip
            parts.append([(opening, count(call.name))])
            parts[-1] += [
                (
                    b'"tool_calls":[{"index":%d,"function":{"arguments":%s}}]' % (index, _encode(fragment)),
                    count(fragment),
                )
                for fragment in call.fragments
            ]
        if interleave:
            longest = max((len(part) for part in parts), default=0)
            ordered = [part[row] for row in range(longest) for part in parts if row < len(part)]
        else:
            ordered = [entry for part in parts for entry in part]
        for body, billed in ordered:
            self._add(self._delta + body + self._tail, billed, 1)


def whole(answer: Answer, script: Script, *, call: str, created: int, model: str) -> bytes:
    """An answer in one piece."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(answer.text) if answer.text or not (answer.calls or answer.refusal) else None,
        "refusal": "".join(answer.refusal) if answer.refusal else None,
        "annotations": [],
    }
    if answer.reasoning:
        message["reasoning_content"] = "".join(answer.reasoning)
    if answer.calls:
        message["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": "".join(one.fragments)}}
            for one in answer.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    completion: dict[str, Any] = {
        "id": call, "object": "chat.completion", "created": created, "model": model, "choices": [choice],
        "service_tier": "default", "system_fingerprint": "fp_sim",
    }  # fmt: skip
    if script.usage != "missing":
        completion["usage"] = usage_object(answer, script)
    return _encode(completion)


def usage_object(answer: Answer, script: Script) -> dict[str, Any]:
    """The usage a script reports, which may be a lie; the bill never is."""
    figures = script.usage
    if not isinstance(figures, UsageFigures):
        figures = UsageFigures(
            answer.input_tokens, answer.output_tokens(), answer.cached_tokens, answer.reasoning_tokens()
        )
        if script.usage == "wrong":
            figures = UsageFigures(figures.prompt_tokens * 3 + 7, figures.completion_tokens // 2, 0, 0)
    return {
        "prompt_tokens": figures.prompt_tokens,
        "completion_tokens": figures.completion_tokens,
        "total_tokens": figures.prompt_tokens + figures.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": figures.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": figures.reasoning_tokens, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip


def error_body(error: Rejected) -> bytes:
    """The vendor's error object."""
    return _encode({"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}})


_FAULTS: dict[int, tuple[str, str, str | None]] = {
    400: ("The request was refused as the script says.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: ("Country, region, or territory not supported.", "request_forbidden", "unsupported_country_region_territory"),
    404: ("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
    408: ("The request timed out.", "server_error", None),
    409: ("The request conflicts with another.", "server_error", None),
    413: ("The request is too large.", "invalid_request_error", None),
    422: ("The request could not be processed.", "invalid_request_error", None),
    429: ("Rate limit reached for requests. Please try again later.", "requests", "rate_limit_exceeded"),
    503: ("The engine is currently overloaded, please try again later.", "server_error", None),
}


def scripted_error(script: Script) -> Rejected:
    """The error a script's `status` stands for, in the vendor's words unless the script has its own."""
    status = script.status or 500
    default = "The server had an error while processing your request. Sorry about that!"
    message, kind, code = _FAULTS.get(status, (default, "server_error", None))
    return Rejected(
        status, script.error_message or message, kind=script.error_type or kind, code=script.error_code or code
    )
