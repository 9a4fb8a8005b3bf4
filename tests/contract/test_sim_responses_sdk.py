"""The official openai SDK against the simulator's Responses: what the vendor's client understands is its dialect."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from golive.core.clock import SystemClock
from golive.sim.script import Script, ToolUse
from golive.sim.server import Simulator

KEY = "sk-sim-test"
ORDER_TOOL: list[Any] = [
    {
        "type": "function",
        "name": "get_order",
        "description": "Look up an order.",
        "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
        "strict": False,
    }
]
ENCRYPTED: list[Any] = ["reasoning.encrypted_content"]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(seed=1, clock=SystemClock(), api_keys=(KEY,))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=KEY, base_url=sim.base_url, max_retries=0) as sdk:
        yield sdk


async def ask(client: AsyncOpenAI, script: Script | None = None, *, stream: bool = False, **fields: Any) -> Any:
    """The final response, streamed or whole."""
    given: dict[str, Any] = {"model": "sim-text", "input": "Hello there", "store": False, **fields}
    if script is not None:
        given["extra_headers"] = {"x-sim-script": msgspec.json.encode(script).decode()}
    if not stream:
        return await client.responses.create(**given)
    last = None
    async for event in await client.responses.create(**given, stream=True):
        last = event
    assert last is not None
    return last.response


async def test_a_whole_answer(client: AsyncOpenAI) -> None:
    """Text, status, usage and ids arrive in the SDK's objects."""
    answer = await ask(client, Script(mode="echo", cached_tokens=3, reasoning_tokens=9))
    assert (answer.output_text, answer.status, answer.id, answer._request_id) == (
        "Hello there", "completed", "resp_sim1", "req_1",
    )  # fmt: skip
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (6, 11, 17)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (3, 9)


async def test_the_events_of_a_stream(client: AsyncOpenAI) -> None:
    """Every event in the vendor's order, numbered without a gap; the last one holds all of it."""
    script = Script(text="It is 42.", reasoning="Let me think.", tool_calls=(ToolUse("f", {"a": 1}),), fragment=4)
    stream = await client.responses.create(
        model="sim-x", input="hi", stream=True, include=ENCRYPTED,
        extra_headers={"x-sim-script": msgspec.json.encode(script).decode()},
    )  # fmt: skip
    found: list[Any] = [event async for event in stream]
    summary, call = "response.reasoning_summary", "response.function_call_arguments"
    assert [event.type for event in found] == [
        "response.created", "response.in_progress",
        "response.output_item.added", f"{summary}_part.added", *[f"{summary}_text.delta"] * 4, f"{summary}_text.done",
        f"{summary}_part.done", "response.output_item.done",
        "response.output_item.added", "response.content_part.added", *["response.output_text.delta"] * 4,
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.output_item.added", f"{call}.delta", f"{call}.delta", f"{call}.done", "response.output_item.done",
        "response.completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in found] == list(range(len(found)))
    assert "".join(event.delta for event in found if event.type == "response.output_text.delta") == "It is 42."
    assert [item.type for item in found[-1].response.output] == ["reasoning", "message", "function_call"]
    assert found[-1].response.output[2].arguments == '{"a":1}'
    assert found[-1].response.usage.output_tokens == 8 + 1 + 7


@pytest.mark.parametrize("stream", [False, True])
async def test_the_agent_calls_tools_and_answers_from_their_results(client: AsyncOpenAI, stream: bool) -> None:
    """The whole loop, with two calls at once."""
    items: list[Any] = [{"role": "user", "content": "Where are my orders A-1042 and A-1043?"}]
    first = await ask(client, model="sim-agent?pace_ms=0", input=items, tools=ORDER_TOOL, stream=stream)
    assert [(one.name, one.arguments) for one in first.output] == [
        ("get_order", '{"order_id":"A-1042"}'), ("get_order", '{"order_id":"A-1043"}'),
    ]  # fmt: skip
    for one in first.output:
        items.append(one.model_dump(exclude_none=True))
    for one in first.output:
        items.append({"type": "function_call_output", "call_id": one.call_id, "output": '{"status": "shipped"}'})
    last = await ask(client, model="sim-agent?pace_ms=0", input=items, tools=ORDER_TOOL, stream=stream)
    assert last.output_text.startswith("I looked that up: status shipped. I looked that up: status shipped.")


@pytest.mark.parametrize("stream", [False, True])
async def test_encrypted_reasoning_is_demanded_back(client: AsyncOpenAI, stream: bool) -> None:
    """As it came it is accepted; without it, or with another's, it is 400. Not asked for, nothing is demanded."""
    script = Script(reasoning="Hm.", tool_calls=(ToolUse("f"),))

    async def go_on(*items: Any) -> str:
        result = {"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "ok"}
        return str(
            (
                await ask(client, Script(text="done"), input=[{"role": "user", "content": "hi"}, *items, result])
            ).output_text
        )

    answer = await ask(client, script, include=ENCRYPTED, stream=stream)
    reasoning, call = (item.model_dump(exclude_none=True) for item in answer.output)
    assert await go_on(reasoning, call) == "done"
    with pytest.raises(openai.BadRequestError, match="without its required 'reasoning' item"):
        await go_on(call)
    with pytest.raises(openai.BadRequestError) as foreign:
        await go_on({**reasoning, "encrypted_content": "gAAAA"}, call)
    assert foreign.value.code == "invalid_encrypted_content"
    plain = await ask(client, script, stream=stream)
    assert plain.output[0].encrypted_content is None
    assert await go_on(plain.output[1].model_dump(exclude_none=True)) == "done"


@pytest.mark.parametrize("stream", [False, True])
async def test_each_way_to_end(client: AsyncOpenAI, stream: bool) -> None:
    """A refusal is a part of its own; what was cut short is incomplete and says why."""
    refused = await ask(client, Script(refusal="I will not."), stream=stream)
    assert (refused.status, refused.output[0].content[0].refusal) == ("completed", "I will not.")
    short = await ask(client, Script(tokens=50), max_output_tokens=16, stream=stream)
    assert (short.status, short.incomplete_details.reason, short.usage.output_tokens) == (
        "incomplete", "max_output_tokens", 16,
    )  # fmt: skip
    filtered = await ask(client, Script(text="Well", finish_reason="content_filter"), stream=stream)
    assert (filtered.status, filtered.incomplete_details.reason) == ("incomplete", "content_filter")


class Verdict(BaseModel):
    mood: Literal["good", "bad"]
    score: int


async def test_structured_output_parses(client: AsyncOpenAI) -> None:
    """A pydantic model given as text_format comes back as an instance of it."""
    answer = await client.responses.parse(model="sim-text", input="hi", text_format=Verdict)
    assert answer.output_parsed == Verdict(mood="good", score=0)


async def test_images_are_counted(client: AsyncOpenAI) -> None:
    """By address and as data; another scheme is refused, in both of the vendor's dialects."""
    for url in ("https://e/x.png", "data:image/png;base64,cG5n"):
        content: list[Any] = [
            {"type": "input_image", "image_url": url, "detail": "low"},
            {"type": "input_text", "text": "hi"},
        ]
        answer = await ask(client, input=[{"role": "user", "content": content}])
        assert answer.usage.input_tokens == 85 + 5
        chat: list[Any] = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "hi"}]
        said = await client.chat.completions.create(model="sim-text", messages=[{"role": "user", "content": chat}])
        assert said.usage is not None
        assert said.usage.prompt_tokens == 85 + 5
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(client, input=[{"role": "user", "content": [{"type": "input_image", "image_url": "ftp://e"}]}])
    assert caught.value.code == "invalid_image_url"


async def test_a_long_prompt_sent_again_is_cached(client: AsyncOpenAI) -> None:
    """Without being asked, from 1,024 tokens on."""
    counts = []
    for said in ("one", "two"):
        answer = await ask(client, Script(tokens=1), input=said, instructions="word " * 1_100)
        counts.append(answer.usage.input_tokens_details.cached_tokens)
    assert counts == [0, 1_024]


async def test_a_last_assistant_message_is_no_prefill_unless_scripted(client: AsyncOpenAI) -> None:
    """The vendor begins anew; a script may continue."""
    items = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "one two"}]
    assert (await ask(client, Script(text="one two three"), input=items)).output_text == "one two three"
    assert (await ask(client, Script(text="one two three", prefill="continue"), input=items)).output_text == " three"


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (503, openai.InternalServerError)],
)
async def test_statuses_raise_the_sdks_errors(
    client: AsyncOpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    """As for Chat Completions."""
    with pytest.raises(error) as caught:
        await ask(client, Script(status=status, retry_after=3, error_code="scripted"))
    assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("scripted", "3")


async def test_tokens_are_counted_as_they_are_billed(client: AsyncOpenAI) -> None:
    """The vendor's own question for it."""
    counted = await client.responses.input_tokens.count(model="sim-text", input="Hello there", tools=ORDER_TOOL)
    assert counted.input_tokens == (await ask(client, tools=ORDER_TOOL)).usage.input_tokens > 20


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "empty_array"),
        ({"input": [{"role": "robot", "content": "hi"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user", "content": [{"type": "text"}]}]}, "input[0].content[0].type", "invalid_value"),
        ({"input": [{"type": "smell"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]}, "input", None),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input", None),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "input", None),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name", "invalid_value"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice", None),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", "missing_required_parameter"),
    ],
)  # fmt: skip
async def test_invalid_requests_are_refused(
    sim: Simulator, client: AsyncOpenAI, fields: dict[str, Any], param: str, code: str | None
) -> None:
    """400 with the parameter and the code the vendor gives, and no line on the bill."""
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(client, extra_body=fields)
    assert (caught.value.param, caught.value.code, len(sim.bill)) == (param, code, 0)


async def test_a_response_that_fails_in_mid_stream(client: AsyncOpenAI) -> None:
    """The last event is a failed response with the error, numbered like the others."""
    script = Script(tokens=9, cut_after=3, cut="error", status=503)
    stream = await client.responses.create(
        model="sim-x", input="hi", stream=True, extra_headers={"x-sim-script": msgspec.json.encode(script).decode()}
    )
    found: list[Any] = [event async for event in stream]
    assert [event.sequence_number for event in found] == list(range(len(found)))
    assert (found[-1].type, found[-1].response.status, found[-1].response.error.code) == (
        "response.failed", "failed", "server_error",
    )  # fmt: skip
