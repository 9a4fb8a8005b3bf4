"""How OpenAI Responses writes each situation of the contract, every event as the official client parses it."""

from typing import Any

import msgspec

from golive.models.call import Opened
from golive.models.openai_responses import OpenAIResponses
from tests.contract.speakers.speaker import Speaker

USAGE = {
    "input_tokens": 11, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0}, "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 18,
}  # fmt: skip


def response(output: list[dict[str, Any]], status: str = "completed", **more: Any) -> dict[str, Any]:
    """A response object."""
    return {
        "id": "resp_1", "object": "response", "created_at": 7, "status": status, "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "model": "m-1", "output": output,
        "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "usage": USAGE if status in {"completed", "incomplete"} else None,
    } | more  # fmt: skip


def message(text: str, item_id: str = "msg_1", **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": content} | more


def reasoning(*summary: str, item_id: str = "rs_1", **more: Any) -> dict[str, Any]:
    return {
        "id": item_id, "type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in summary]
    } | more  # fmt: skip


def call(name: str, arguments: Any, call_id: str, item_id: str = "", **more: Any) -> dict[str, Any]:
    return {
        "id": item_id or f"fc_{call_id}", "type": "function_call", "status": "completed", "name": name,
        "call_id": call_id, "arguments": arguments,
    } | more  # fmt: skip


def created(**more: Any) -> dict[str, Any]:
    return {"type": "response.created", "response": response([], "in_progress", **more)}


def added(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    """The item's beginning: as it will be, but empty."""
    empty = {"content": []} if item["type"] == "message" else {"arguments": ""} if "arguments" in item else {}
    return {
        "type": "response.output_item.added",
        "output_index": index,
        "item": item | empty | {"status": "in_progress"},
    }


def done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def part(item_id: str = "msg_1", index: int = 0, content_index: int = 0) -> dict[str, Any]:
    return {
        "type": "response.content_part.added", "item_id": item_id, "output_index": index,
        "content_index": content_index, "part": {"type": "output_text", "text": "", "annotations": []},
    }  # fmt: skip


def delta(text: str, kind: str = "output_text", item_id: str = "msg_1", index: int = 0, **more: Any) -> dict[str, Any]:
    """A piece of text, of a refusal, of reasoning or of arguments."""
    places: dict[str, Any] = {"content_index": 0}
    if kind == "reasoning_summary_text":
        places = {"summary_index": 0}
    elif kind == "function_call_arguments":
        places = {}
    if kind == "output_text":
        places["logprobs"] = []
    return {
        "type": f"response.{kind}.delta", "item_id": item_id, "output_index": index, "delta": text
    } | places | more  # fmt: skip


def arguments(text: str, item_id: str, index: int) -> dict[str, Any]:
    return delta(text, "function_call_arguments", item_id, index)


def arguments_done(text: Any, item_id: str, index: int) -> dict[str, Any]:
    return {
        "type": "response.function_call_arguments.done", "item_id": item_id, "output_index": index, "arguments": text
    }  # fmt: skip


def completed(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": response(list(output), **more)}


def incomplete(reason: str | None, *output: dict[str, Any]) -> dict[str, Any]:
    cut = response(list(output), "incomplete", incomplete_details={"reason": reason})
    return {"type": "response.incomplete", "response": cut}


def sse(*events: dict[str, Any]) -> bytes:
    """A stream: each event named, and numbered unless it is already."""
    blocks = (
        (str(event["type"]), msgspec.json.encode({"sequence_number": number} | event))
        for number, event in enumerate(events)
    )
    return b"".join(b"event: " + name.encode() + b"\ndata: " + data + b"\n\n" for name, data in blocks)


SEARCH = {
    "id": "ws_1", "type": "web_search_call", "status": "completed",
    "action": {"type": "search", "query": "é", "queries": ["é"], "sources": [{"type": "url", "url": "https://a.test"}]},
}  # fmt: skip
CITED = {"type": "url_citation", "start_index": 0, "end_index": 4, "url": "https://a.test", "title": "A"}


def cited(text: str, *notes: dict[str, Any], item_id: str = "msg_1") -> dict[str, Any]:
    """A message with notes on its text."""
    content = [{"type": "output_text", "text": text, "annotations": list(notes), "logprobs": []}]
    return message(text, item_id, content=content)


def annotated(note: dict[str, Any], number: int = 0, index: int = 0, item_id: str = "msg_1") -> dict[str, Any]:
    return {
        "type": "response.output_text.annotation.added", "item_id": item_id, "output_index": index,
        "content_index": 0, "annotation_index": number, "annotation": note,
    }  # fmt: skip


REFUSED = message("", content=[{"type": "refusal", "refusal": "I cannot."}])
FIND, PAY = call("find", '{"q":"é"}', "call_a"), call("pay", "{}", "call_b")
HALF = (created(), added(message("")), part(), delta("half"))
ERROR = {"type": "error", "code": "rate_limit_exceeded", "message": "too fast", "param": None}

OPENAI_RESPONSES = Speaker(
    OpenAIResponses(),
    streamed={
        "text": sse(
            created(), {"type": "response.in_progress", "response": response([], "in_progress")}, added(message("")),
            part(), delta("Grüß "), delta("dich 👋"),
            {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0, "content_index": 0,
             "text": "Grüß dich 👋", "logprobs": []},
            {"type": "response.content_part.done", "item_id": "msg_1", "output_index": 0, "content_index": 0,
             "part": message("Grüß dich 👋")["content"][0]},
            done(message("Grüß dich 👋")), completed(message("Grüß dich 👋")),
        ),
        "reasoning": sse(
            created(), added(reasoning()), delta("hm ", "reasoning_summary_text", "rs_1"),
            delta("so", "reasoning_summary_text", "rs_1"), done(reasoning("hm so")), added(message(""), 1),
            part(index=1), delta("Yes", index=1), done(message("Yes"), 1),
            completed(reasoning("hm so"), message("Yes")),
        ),
        "refusal": sse(created(), added(REFUSED), delta("I cannot.", "refusal"), done(REFUSED), completed(REFUSED)),
        "tools": sse(
            created(), added(FIND), arguments('{"q":', "fc_call_a", 0), added(PAY, 1),
            arguments('"é"}', "fc_call_a", 0), arguments_done('{"q":"é"}', "fc_call_a", 0), done(FIND),
            arguments("{}", "fc_call_b", 1), arguments_done("{}", "fc_call_b", 1), done(PAY, 1), completed(FIND, PAY),
        ),
        "length": sse(
            created(), added(message("")), part(), delta("to be con"),
            incomplete("max_output_tokens", message("to be con", status="incomplete")),
        ),
        "search": sse(
            created(), added(reasoning()), done(reasoning("hm", encrypted_content="x")), added(SEARCH, 1),
            {"type": "response.web_search_call.searching", "item_id": "ws_1", "output_index": 1}, done(SEARCH, 1),
            added(message(""), 2), part(index=2), delta("Paris", index=2), annotated(CITED, index=2),
            done(cited("Paris", CITED), 2),
            completed(reasoning("hm", encrypted_content="x"), SEARCH, cited("Paris", CITED)),
        ),
        "unknown end": sse(
            created(), added(message("")), part(), delta("to be con"), incomplete("sunspots", message("to be con")),
        ),
        "unknown end of nothing": sse(created(), incomplete("sunspots")),
        "cut": sse(*HALF),
        "cut in an event": sse(*HALF, delta("lost"))[:-9],
        "broken": sse(*HALF) + b'event: response.completed\ndata: {"type": "response.completed", "response": {]}\n\n',
        "error": sse(*HALF, ERROR),
    },
    whole={
        "text": msgspec.json.encode(response([message("Grüß dich 👋")])),
        "reasoning": msgspec.json.encode(response([reasoning("hm so"), message("Yes")])),
        "refusal": msgspec.json.encode(response([REFUSED])),
        "tools": msgspec.json.encode(response([FIND, PAY])),
        "length": msgspec.json.encode(
            response(
                [message("to be con", status="incomplete")], "incomplete",
                incomplete_details={"reason": "max_output_tokens"},
            )
        ),
        "search": msgspec.json.encode(response([reasoning("hm"), SEARCH, cited("Paris", CITED)])),
        "unknown end": msgspec.json.encode(incomplete("sunspots", message("to be con"))["response"]),
        "unknown end of nothing": msgspec.json.encode(incomplete("sunspots")["response"]),
        "broken": b'{"id": "resp_1", "output": [',
        "error": msgspec.json.encode(
            response([], "failed", error={"code": "rate_limit_exceeded", "message": "too fast"})
        ),
    },
    opened=Opened("resp_1", "m-1", "req_1", 7),
)  # fmt: skip
