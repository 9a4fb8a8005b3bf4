"""The official openai SDK on /v1/responses, for a provider's model of another dialect, whole and streamed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from golive.sim.script import ToolUse
from golive.store.ports import RunFilter
from tests.e2e.gateway_kit import Server, serving, sse

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
GET_ORDER: Any = {
    "type": "function", "name": "get_order", "strict": True,
    "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}},
}  # fmt: skip


class Opening(BaseModel):
    """A structured answer."""

    hours: str


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        yield running


def tool_uses(*orders: str) -> tuple[ToolUse, ...]:
    return tuple(ToolUse("get_order", {"order_id": order}) for order in orders)


async def events_of(server: Server, **body: Any) -> list[dict[str, Any]]:
    """The raw events of a stream, each valid for the SDK's own types and numbered without gaps."""
    async with server.client() as http, http.post("/v1/responses", json={**body, "stream": True}) as response:
        assert response.status == 200, await response.text()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        events = [data for _, name, data in await sse(response) if data["type"] == name]
    for event in events:
        EVENT.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


async def test_a_provider_model_answers_whole(server: Server) -> None:
    """The whole response holds all that the SDK's type demands, the settings asked for, and the provider's usage."""
    server.script("sim-echo", mode="echo", cached_tokens=3, reasoning_tokens=9)
    async with server.openai() as sdk:
        answer = await sdk.responses.create(
            model="sim/sim-echo", input="Hello there", instructions="Be brief.", temperature=0.5, top_p=0.9,
            max_output_tokens=100, metadata={"customer": "42"}, reasoning={"effort": "low"},
        )  # fmt: skip
    Response.model_validate(answer.model_dump())
    assert (answer.output_text, answer.status, answer.error, answer.incomplete_details) == (
        "Hello there", "completed", None, None,
    )  # fmt: skip
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.cached_tokens == 3
    assert answer.usage.output_tokens_details.reasoning_tokens == 9
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert (answer.instructions, answer.temperature, answer.top_p, answer.max_output_tokens) == (
        "Be brief.", 0.5, 0.9, 100,
    )  # fmt: skip
    assert answer.metadata == {"customer": "42"}
    assert answer.model_dump()["store"] is False  # golive keeps nothing of a relayed call
    run = answer._request_id
    assert run is not None
    assert answer.id == f"resp_{run}"
    kinds = [event.kind for event in await server.store.tenant("default").events(run)]
    assert "model.finished" in kinds
    assert kinds[-1] == "run.finished"
    sent = server.sent()[-1]
    assert [(said["role"], said["content"]) for said in sent["messages"]] == [
        ("system", "Be brief."), ("user", "Hello there"),
    ]  # fmt: skip
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"], sent["reasoning_effort"]) == (0.5, 0.9, 100, "low")


async def test_a_stream_has_openais_events(server: Server) -> None:
    """Created, in progress, reasoning with its summary, the message with its part, completed: each once, in order."""
    server.script("sim-text", text="one two three", reasoning="hmm well")
    events = await events_of(server, model="sim/sim-text", input="Hi")
    kinds = [event["type"] for event in events]
    deltas = ("response.reasoning_summary_text.delta", "response.output_text.delta")
    assert [kind for kind in kinds if kind not in deltas] == [
        "response.created", "response.in_progress",
        "response.output_item.added", "response.reasoning_summary_part.added", "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done", "response.output_item.done",
        "response.output_item.added", "response.content_part.added", "response.output_text.done",
        "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    for kind, text in zip(deltas, ("hmm well", "one two three"), strict=True):
        assert kinds.count(kind) > 1
        assert "".join(event["delta"] for event in events if event["type"] == kind) == text
    last = events[-1]["response"]
    assert [item["type"] for item in last["output"]] == ["reasoning", "message"]
    assert last["output"] == [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert last["usage"]["output_tokens"] > 0
    assert {event["response"]["id"] for event in events if "response" in event} == {last["id"]}


@pytest.mark.parametrize("interleave", [False, True])
async def test_tool_calls_go_there_and_back(server: Server, interleave: bool) -> None:
    """Parallel calls in fragments reach the SDK whole, streamed or not; their outputs go back as one turn."""
    server.script("sim-text", mode="tools", tool_calls=tool_uses("A-1", "B"), fragment=3, interleave=interleave)
    asked: Any = {
        "model": "sim/sim-text",
        "tools": [GET_ORDER],
        "tool_choice": {"type": "function", "name": "get_order"},
    }
    said: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "Where are A-1 and B?"}]}]
    async with server.openai() as sdk:
        whole = await sdk.responses.create(**asked, input=said)
        async with sdk.responses.stream(**asked, input=said) as stream:
            async for _ in stream:
                pass
            streamed = await stream.get_final_response()
        for answer in (streamed, whole):
            calls: list[Any] = [item for item in answer.output if item.type == "function_call"]
            assert [call.arguments for call in calls] == ['{"order_id":"A-1"}', '{"order_id":"B"}']
            assert {(call.name, call.status) for call in calls} == {("get_order", "completed")}
        sent = server.sent()[-1]
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "get_order"}}
        assert sent["tools"][0]["function"]["parameters"] == GET_ORDER["parameters"]
        server.script("sim-text", text="Both are on their way.")
        outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "shipped"} for call in calls]
        said += [*whole.output, *outputs]
        told = await sdk.responses.create(**asked, input=said)
    assert told.output_text == "Both are on their way."
    roles = [message["role"] for message in server.sent()[-1]["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in server.sent()[-1]["messages"][1]["tool_calls"]] == [call.call_id for call in calls]


async def test_a_structured_answer_is_parsed_by_the_sdk(server: Server) -> None:
    """`text_format` goes to the provider as its own kind of schema, and what comes back is the SDK's object."""
    server.script("sim-text", text='{"hours": "17:00 to 23:00"}')
    async with server.openai() as sdk:
        answer = await sdk.responses.parse(model="sim/sim-text", input="When?", text_format=Opening)
    assert answer.output_parsed == Opening(hours="17:00 to 23:00")
    wanted = server.sent()[-1]["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"], wanted["json_schema"]["strict"]) == (
        "json_schema", "Opening", True,
    )  # fmt: skip


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_unfinished_answer_is_incomplete(server: Server, finish: str, reason: str) -> None:
    """A model that ran out of tokens, or was filtered, ends as incomplete with the reason, streamed or not."""
    server.script("sim-text", text="one two", finish_reason=finish)
    async with server.openai() as sdk:
        whole = await sdk.responses.create(model="sim/sim-text", input="Hi")
    assert whole.incomplete_details is not None
    assert (whole.status, whole.incomplete_details.reason, whole.output_text) == ("incomplete", reason, "one two")
    last = (await events_of(server, model="sim/sim-text", input="Hi"))[-1]
    assert (last["type"], last["response"]["incomplete_details"]) == ("response.incomplete", {"reason": reason})
    assert last["response"]["output"][0]["status"] == "incomplete"


async def test_a_refusal_is_a_part_of_its_own(server: Server) -> None:
    """What the model declines in its own words comes as a refusal, not as text."""
    server.script("sim-text", refusal="I would rather not.")
    async with server.openai() as sdk:
        whole = await sdk.responses.create(model="sim/sim-text", input="Hi")
    message = whole.output[0]
    assert message.type == "message"
    assert [part.type for part in message.content] == ["refusal"]
    kinds = [event["type"] for event in await events_of(server, model="sim/sim-text", input="Hi")]
    assert "response.refusal.delta" in kinds
    assert kinds.count("response.refusal.done") == 1
    assert "response.output_text.delta" not in kinds


@pytest.mark.parametrize("cut", ["close", "reset", "end"])
async def test_a_cut_stream_ends_as_failed(server: Server, cut: str) -> None:
    """A provider that dies in mid-stream ends as response.failed with the text so far; nothing is called done."""
    server.script("sim-text", text="one two three four five six", cut_after=3, cut=cut)
    events = await events_of(server, model="sim/sim-text", input="Hi")
    kinds = [event["type"] for event in events]
    assert kinds[-1] == "response.failed"
    assert not [kind for kind in kinds if kind.endswith((".done", "completed", "incomplete"))]
    failed = events[-1]["response"]
    assert (failed["status"], failed["error"]["code"], failed["error"]["type"]) == (
        "failed",
        "server_error",
        "model.cut",
    )
    assert failed["output"][0]["content"][0]["text"].startswith("one two")
    assert failed["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize(
    ("status", "raised"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (503, openai.InternalServerError)],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_providers_refusal_passes_with_status_and_words(
    server: Server, status: int, raised: type[openai.APIStatusError], stream: bool
) -> None:
    """A refused call keeps the vendor's status, message and code, also when a stream was asked for."""
    server.script("sim-text", status=status, error_message="Vendor says no.", error_code="vendor_code", retry_after=7)
    async with server.openai() as sdk:
        with pytest.raises(raised) as refused:
            await sdk.responses.create(model="sim/sim-text", input="Hi", stream=stream)
    assert (refused.value.status_code, refused.value.code) == (status, "vendor_code")
    aside = " (sim/sim-text speaks openai-chat: field names and places in this message are that API's.)"
    words = "Vendor says no." + (aside if status == 400 else "")
    assert refused.value.body["message"] == words  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "param", "remedy"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "openai-responses"),
        ({"tools": [GET_ORDER, {"type": "custom", "name": "c"}]}, "tools[1].type", "type function"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "Name the function"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice.type", "openai-responses"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the earlier items in input"),
        ({"conversation": "conv_1"}, "conversation", "send the earlier items in input"),
        ({"include": ["message.output_text.logprobs"]}, "include", "openai-responses"),
        ({"truncation": "auto"}, "truncation", "leave truncation out"),
        ({"background": True}, "background", "/v1/agents/{agent}/runs"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "leave prompt out"),
        ({"extra_body": {"top_k": 3}}, "top_k", "leave top_k out"),
        ({"input": ""}, "input", "Send a text"),
        ({"input": []}, "input", "Send a text"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role", "user"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type", "input_text"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input[0].content[0]", ""),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type", "message, function_call"),
        ({"input": [{"type": "reasoning", "encrypted_content": "golive.bm8="}]}, "input[0].encrypted_content", "back"),
        ({"input": [5]}, "input[0]", ""),
    ],
)  # fmt: skip
async def test_what_cannot_be_translated_is_refused_by_name(
    server: Server, options: dict[str, Any], param: str, remedy: str
) -> None:
    """What a provider of another dialect cannot be asked is a 400 naming it and the way out; nobody is asked."""
    async with server.openai() as sdk:
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.responses.create(**{"model": "sim/sim-text", "input": "Hi", **options})
    assert (refused.value.param, refused.value.code) == (param, "request.invalid")
    assert remedy in refused.value.message
    assert server.sent() == []


async def test_what_says_nothing_about_the_answer_is_taken(server: Server) -> None:
    """Hints, and values that ask for what is the case anyway, stand in no model's way."""
    async with server.openai() as sdk:
        for model in ("sim/sim-text", "support"):
            answer = await sdk.responses.create(
                model=model, input="Hi", user="u", safety_identifier="s", prompt_cache_key="k", store=True,
                service_tier="auto", truncation="disabled", top_logprobs=0, tools=[], tool_choice="auto",
                parallel_tool_calls=True, include=["reasoning.encrypted_content"], text={"format": {"type": "text"}},
                background=False, conversation=None, previous_response_id=None,
            )  # fmt: skip
            assert answer.status == "completed"
    assert "tool_choice" not in server.sent()[0]
    assert "parallel_tool_calls" not in server.sent()[0]


async def test_a_client_that_leaves_ends_the_providers_call(server: Server) -> None:
    """When the caller of a stream disconnects, the provider's connection closes and the call is settled."""
    server.script("sim-text", tokens=500, pace_ms=20.0)
    async with server.openai() as sdk:
        stream = await sdk.responses.create(model="sim/sim-text", input="Hi", stream=True)
        await anext(stream)
        await stream.close()
    async with asyncio.timeout(30):
        while server.relay.open_calls:
            await asyncio.sleep(0.01)
    run = (await server.store.tenant("default").runs(RunFilter(limit=1)))[0]
    assert (run.outcome, run.reason) == ("cancelled", "disconnected")
    assert run.output_tokens > 0


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"model":5,"input":"x"}', b'{"model":"sim/sim-text","input":{"a":1}}',
        b'{"model":"sim/sim-text","input":[[]]}', b'{"model":"sim/sim-text","input":[null]}',
        b'{"model":"sim/sim-text","input":[{"type":5}]}', b'{"model":"sim/sim-text","input":"\xff"}',
        b'{"model":"sim/sim-text","input":[{"role":"user","content":[{"type":"input_text","text":"\\ud800"}]}]}',
        b'{"model":"sim/sim-text","input":"x","tools":[3]}', b'{"model":"sim/sim-text","input":"x","tools":{}}',
        b'{"model":"sim/sim-text","input":"x","tool_choice":{"type":3}}',
        b'{"model":"sim/sim-text","input":"x","text":{"format":{"type":3}}}',
        b'{"model":"sim/sim-text","input":"x","max_output_tokens":"many"}',
        b'{"model":"support","input":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)  # fmt: skip
async def test_hostile_bodies_are_refused_in_openais_shape(server: Server, body: bytes) -> None:
    """Whatever is sent, the answer is a 400 with OpenAI's error object, and nothing went wrong inside."""
    async with server.client() as http, http.post("/v1/responses", data=body) as response:
        told = msgspec.json.decode(await response.read())
    assert response.status == 400, told
    assert told["error"]["type"] == "invalid_request_error"
    assert told["error"]["message"]
    assert not [line for line in server.log_lines() if line["event"] == "http.failed"]
