"""OpenAI Chat Completions as the vendor writes it: chunks of a stream, whole answers.

Bytes are put together from parts encoded once per answer, because a stream's cost is this code times its tokens.
Source: https://platform.openai.com/docs/api-reference/chat/streaming, as of 2026.
"""

from typing import Any

import msgspec

from golive.sim.compose import Answer
from golive.sim.openai.chat_request import read_chat
from golive.sim.protocol import Request
from golive.sim.request import ChatRequest
from golive.sim.script import Script
from golive.sim.seals import Seals
from golive.sim.tokens import count
from golive.sim.usage import encoded, reported, times_reported, with_usage
from golive.sim.vendor import Events, Reply

_encode = msgspec.json.Encoder().encode


class Chunks(Events):
    """The chunks of one stream. The first carries the role and no token."""

    end = b"data: [DONE]\n\n"

    def __init__(self, answer: Answer, script: Script, *, call: str, reply: Reply) -> None:
        self._prefix = b'data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,%s,' % (
            _encode(call), reply.created, _encode(reply.request.model),
            b'"service_tier":"default","system_fingerprint":"fp_sim"',
        )  # fmt: skip
        self._delta = self._prefix + b'"choices":[{"index":0,"delta":{'
        include_usage = reply.request.include_usage
        usage = b',"usage":null' if include_usage else b""
        self._tail = b'},"logprobs":null,"finish_reason":null}]%s}\n\n' % usage
        first = b'"role":"assistant","content":%s,"refusal":null' % (
            b"null" if answer.calls and not answer.text else b'""'
        )
        super().__init__(self._delta + first + self._tail, answer.hidden_tokens)
        self._words(b'"reasoning_content":', answer.reasoning)
        self._words(b'"content":', answer.text)
        self._words(b'"refusal":', answer.refusal)
        self._calls(answer, interleave=script.interleave)
        end = b'},"logprobs":null,"finish_reason":%s}]%s}\n\n' % (_encode(_finish(answer)), usage)
        self.add(self._delta + end, 0, 0)
        if include_usage:
            event = self._prefix + b'"choices":[],"usage":%s}\n\n' % usage_object(answer, script)
            for _ in range(times_reported(script)):
                self.add(event, 0, 0)

    def _words(self, field: bytes, words: list[str]) -> None:
        if not words:
            return
        head, tail = self._delta + field, self._tail
        self.extend([b"%b%b%b" % (head, _encode(word), tail) for word in words])

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
            self.add(self._delta + body + self._tail, billed, 1)


class Chat:
    """The dialect."""

    call_prefix = "call_"
    reply_prefix = "chatcmpl-"
    marks = False
    continues = False

    def read(self, request: Request, model: str, seals: Seals) -> ChatRequest:
        return read_chat(request.body)

    def stream(self, answer: Answer, script: Script, reply: Reply) -> Chunks:
        return Chunks(answer, script, call=self._id(reply), reply=reply)

    def whole(self, answer: Answer, script: Script, reply: Reply) -> bytes:
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
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
        completion: dict[str, Any] = {
            "id": self._id(reply), "object": "chat.completion", "created": reply.created,
            "model": reply.request.model, "choices": [choice],
            "service_tier": "default", "system_fingerprint": "fp_sim",
        }  # fmt: skip
        return with_usage(_encode(completion), b"usage", usage_object(answer, script), script)

    def _id(self, reply: Reply) -> str:
        return f"{self.reply_prefix}sim{reply.number}"


def _finish(answer: Answer) -> str:
    return "stop" if answer.finish_reason == "stop_sequence" else answer.finish_reason


def usage_object(answer: Answer, script: Script) -> bytes:
    """The usage a script reports, which may be a lie; the bill never is."""
    figures = reported(answer, script)
    usage = {
        "prompt_tokens": figures.prompt_tokens,
        "completion_tokens": figures.completion_tokens,
        "total_tokens": figures.prompt_tokens + figures.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": figures.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": figures.reasoning_tokens, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip
    return encoded(usage, script)
