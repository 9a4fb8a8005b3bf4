"""OpenAI Responses as the vendor writes it: the events of a stream, whole answers.

Source: https://platform.openai.com/docs/api-reference/responses-streaming, as of 2026.
"""

import re
from typing import Any

import msgspec

from golive.sim.compose import Answer, Call
from golive.sim.openai.responses_request import read_responses
from golive.sim.openai.stored import StoredResponses
from golive.sim.protocol import Request
from golive.sim.request import ChatRequest, Rejected
from golive.sim.script import Script
from golive.sim.seals import Seals
from golive.sim.tokens import count
from golive.sim.usage import encoded, reported, with_usage
from golive.sim.vendor import Events, Reply

_encode = msgspec.json.Encoder().encode
_NUMBERED = re.compile(rb'"sequence_number":(\d+)')
_CUT_SHORT = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponseEvents(Events):
    """The events of one stream, numbered. The first entry goes as far as the first delta."""

    def __init__(self, answer: Answer, script: Script, reply: Reply) -> None:
        self._number = -1
        self._before = b""
        """Events that travel with the next entry."""
        self._output: list[dict[str, Any]] = []
        self._begun = _response(reply, "in_progress", [])
        first = b"".join(
            self._event(f"response.{what}", {"response": self._begun}) for what in ("created", "in_progress")
        )
        super().__init__(first, answer.hidden_tokens)
        if answer.reasoning:
            self._reason(answer, reply)
        if answer.text or answer.refusal or not (answer.calls or answer.reasoning):
            self._say(answer, reply)
        for index, call in enumerate(answer.calls):
            self._call(call, index, reply)
        _keep(reply, script, self._output)
        status = _status(answer)
        final = with_usage(
            _encode(_response(reply, status, self._output, answer)), b"usage", _usage(answer, script), script
        )
        self.add(self._before + self._event(f"response.{status}", {"response": msgspec.Raw(final)}), 0, 0)

    def failure(self, at: int, error: Rejected, body: bytes) -> bytes:
        """The event of a response that failed, numbered after the last one before `at`."""
        self._number = int(_NUMBERED.findall(self.events[at - 1])[-1])
        failed = self._begun | {
            "status": "failed",
            "error": {"code": error.code or error.kind, "message": error.message},
        }
        return self._event("response.failed", {"response": failed})

    def _event(self, kind: str, fields: dict[str, Any]) -> bytes:
        self._number += 1
        data = _encode({"type": kind, "sequence_number": self._number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _lead(self, kind: str, **fields: Any) -> None:
        """An event that is no delta: it travels with the next one, or with the start if nothing came yet."""
        event = self._event(kind, fields)
        if len(self.events) == 1:
            self.events[0] += event
        else:
            self._before += event

    def _deltas(self, kind: str, place: dict[str, Any], words: list[str]) -> None:
        head = b'event: %b\ndata: {"type":%b,"sequence_number":' % (kind.encode(), _encode(kind))
        tail = b"," + _encode(place)[1:-1] + b',"delta":'
        start = self._number + 1
        events = [b"%b%d%b%b}\n\n" % (head, start + at, tail, _encode(word)) for at, word in enumerate(words)]
        self._number += len(words)
        if events:
            events[0] = self._before + events[0]
            self._before = b""
        self.extend(events)

    def _open(self, item: dict[str, Any]) -> dict[str, Any]:
        self._lead("response.output_item.added", output_index=len(self._output), item=item)
        return {"item_id": item["id"], "output_index": len(self._output)}

    def _close(self, item: dict[str, Any]) -> None:
        self._lead("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)

    def _reason(self, answer: Answer, reply: Reply) -> None:
        item = reasoning_item(answer, reply)
        place = self._open({**item, "summary": []}) | {"summary_index": 0}
        front = "response.reasoning_summary"
        self._lead(f"{front}_part.added", **place, part={"type": "summary_text", "text": ""})
        self._deltas(f"{front}_text.delta", place, answer.reasoning)
        text = "".join(answer.reasoning)
        self._lead(f"{front}_text.done", **place, text=text)
        self._lead(f"{front}_part.done", **place, part={"type": "summary_text", "text": text})
        self._close(item)

    def _say(self, answer: Answer, reply: Reply) -> None:
        item = message_item(answer, reply)
        place = self._open({**item, "status": "in_progress", "content": []}) | {"content_index": 0}
        for part in item["content"]:
            kind, name = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
            more: dict[str, Any] = {"logprobs": []} if name == "text" else {}
            self._lead("response.content_part.added", **place, part={**part, name: ""})
            self._deltas(f"response.{kind}.delta", place | more, answer.refusal or answer.text)
            self._lead(f"response.{kind}.done", **place, **more, **{name: part[name]})
            self._lead("response.content_part.done", **place, part=part)
        self._close(item)

    def _call(self, call: Call, index: int, reply: Reply) -> None:
        item = call_item(call, index, reply)
        fields = {"output_index": len(self._output), "item": {**item, "status": "in_progress", "arguments": ""}}
        self.add(self._before + self._event("response.output_item.added", fields), count(call.name), 1)
        self._before = b""
        place = {"item_id": item["id"], "output_index": len(self._output)}
        for fragment in call.fragments:
            fields = {**place, "delta": fragment}
            self.add(self._event("response.function_call_arguments.delta", fields), count(fragment), 1)
        self._lead("response.function_call_arguments.done", **place, arguments=item["arguments"])
        self._close(item)


class Responses:
    """The dialect."""

    call_prefix = "call_"
    reply_prefix = "resp_"
    marks = False
    continues = False

    def __init__(self) -> None:
        self._stored = StoredResponses()

    def read(self, request: Request, model: str, seals: Seals) -> ChatRequest:
        owner = f"{request.place}\0{request.headers.get('authorization', '')}"
        return read_responses(request.body, seals, self._stored, owner)

    def stream(self, answer: Answer, script: Script, reply: Reply) -> ResponseEvents:
        return ResponseEvents(answer, script, reply)

    def whole(self, answer: Answer, script: Script, reply: Reply) -> bytes:
        output = [reasoning_item(answer, reply)] if answer.reasoning else []
        if answer.text or answer.refusal or not (answer.calls or answer.reasoning):
            output.append(message_item(answer, reply))
        output += [call_item(call, index, reply) for index, call in enumerate(answer.calls)]
        _keep(reply, script, output)
        response = _encode(_response(reply, _status(answer), output, answer))
        return with_usage(response, b"usage", _usage(answer, script), script)


def reasoning_item(answer: Answer, reply: Reply) -> dict[str, Any]:
    """Reasoning, with its state sealed if the client asked for it."""
    name = f"rs_sim{reply.number}"
    summary = [{"type": "summary_text", "text": "".join(answer.reasoning)}]
    sealed = reply.seals.sign(name) if reply.request.sealed else None
    return {"id": name, "type": "reasoning", "summary": summary, "encrypted_content": sealed}


def message_item(answer: Answer, reply: Reply) -> dict[str, Any]:
    """What is said, or refused."""
    if answer.refusal:
        part: dict[str, Any] = {"type": "refusal", "refusal": "".join(answer.refusal)}
    else:
        part = {"type": "output_text", "text": "".join(answer.text), "annotations": [], "logprobs": []}
    status = "incomplete" if answer.finish_reason in _CUT_SHORT else "completed"
    return {
        "id": f"msg_sim{reply.number}", "type": "message", "role": "assistant", "status": status, "content": [part],
    }  # fmt: skip


def call_item(call: Call, index: int, reply: Reply) -> dict[str, Any]:
    """A tool call."""
    return {
        "id": f"fc_sim{reply.number}x{index}", "type": "function_call", "status": "completed", "call_id": call.id,
        "name": call.name, "arguments": "".join(call.fragments),
    }  # fmt: skip


def _keep(reply: Reply, script: Script, output: list[dict[str, Any]]) -> None:
    """Stores the response, where that was not declined; one that is to break off never gets so far."""
    if reply.request.keep is not None and script.cut_after is None:
        reply.request.keep(_name(reply), output)


def _name(reply: Reply) -> str:
    return f"{Responses.reply_prefix}sim{reply.number}"


def _status(answer: Answer) -> str:
    return "incomplete" if answer.finish_reason in _CUT_SHORT else "completed"


def _response(reply: Reply, status: str, output: list[dict[str, Any]], answer: Answer | None = None) -> dict[str, Any]:
    reason = None if answer is None else _CUT_SHORT.get(answer.finish_reason)
    asked = reply.request
    return {
        "id": _name(reply), "object": "response", "created_at": reply.created,
        "status": status, "background": False, "error": None,
        "incomplete_details": None if reason is None else {"reason": reason}, "instructions": None,
        "max_output_tokens": asked.max_tokens, "model": asked.model, "output": output,
        "parallel_tool_calls": asked.parallel, "previous_response_id": asked.previous,
        "reasoning": {"effort": None, "summary": None}, "service_tier": "default", "store": asked.keep is not None,
        "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "metadata": {},
    }  # fmt: skip


def _usage(answer: Answer, script: Script) -> bytes:
    figures = reported(answer, script)
    usage = {
        "input_tokens": figures.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": figures.cached_tokens,
            "cache_write_tokens": figures.cache_write_tokens,
        },
        "output_tokens": figures.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": figures.reasoning_tokens},
        "total_tokens": figures.prompt_tokens + figures.completion_tokens,
    }
    return encoded(usage, script)
