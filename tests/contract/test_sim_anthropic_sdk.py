"""The official anthropic SDK against the simulator: what the vendor's own client understands is its dialect."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import msgspec
import pytest
from anthropic import AsyncAnthropic

from golive.core.clock import SystemClock
from golive.sim.script import Script, ToolUse
from golive.sim.server import Simulator

KEY = "sk-ant-sim-test"
HI: list[Any] = [{"role": "user", "content": "Hello there"}]
ORDER_TOOL: list[Any] = [
    {
        "name": "get_order",
        "description": "Look up an order.",
        "input_schema": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
    }
]
FOREIGN_CALL = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
LONG = "word " * 1_100


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(seed=1, clock=SystemClock(), api_keys=(KEY,))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(api_key=KEY, base_url=sim.base_url.removesuffix("/v1"), max_retries=0) as sdk:
        yield sdk


async def ask(client: AsyncAnthropic, script: Script | None = None, *, stream: bool = False, **fields: Any) -> Any:
    """The final message, streamed or whole."""
    given: dict[str, Any] = {"model": "sim-text", "messages": HI, "max_tokens": 500, **fields}
    if script is not None:
        given["extra_headers"] = {"x-sim-script": msgspec.json.encode(script).decode()}
    if not stream:
        return await client.messages.create(**given)
    async with client.messages.stream(**given) as events:
        return await events.get_final_message()


async def test_a_whole_answer(client: AsyncAnthropic) -> None:
    """Text, stop reason, usage and request id arrive in the SDK's objects."""
    answer = await ask(client, Script(mode="echo", cached_tokens=3, reasoning_tokens=9))
    assert [(block.type, block.text) for block in answer.content] == [("text", "Hello there")]
    assert (answer.stop_reason, answer.role, answer.id, answer._request_id) == (
        "end_turn",
        "assistant",
        "msg_sim1",
        "req_1",
    )
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (3, 3, 11)
    assert usage.output_tokens_details.thinking_tokens == 9


async def test_the_events_of_a_stream(client: AsyncAnthropic) -> None:
    """Every event in the vendor's order, thinking signed and before the text, usage at both ends."""
    script = Script(text="It is 42.", reasoning="Let me think.")
    stream = await client.messages.create(
        model="sim-x", messages=HI, max_tokens=99, stream=True,
        extra_headers={"x-sim-script": msgspec.json.encode(script).decode()},
    )  # fmt: skip
    found: list[Any] = [event async for event in stream]
    kinds = [event.type if event.type != "content_block_delta" else event.delta.type for event in found]
    assert kinds == [
        "message_start",
        "content_block_start", *["thinking_delta"] * 4, "signature_delta", "content_block_stop",
        "content_block_start", *["text_delta"] * 4, "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert (
        "".join(
            event.delta.thinking for event in found if getattr(event, "delta", 0) and hasattr(event.delta, "thinking")
        )
        == "Let me think."
    )
    assert (found[0].message.usage.input_tokens, found[0].message.usage.output_tokens) == (6, 1)
    assert (found[-2].usage.output_tokens, found[-2].delta.stop_reason) == (8, "end_turn")


async def test_a_stream_pings() -> None:
    """The ping that the SDK swallows stands after the first block's start."""
    simulator = Simulator(seed=1, clock=SystemClock())
    await simulator.start()
    async with AsyncAnthropic(api_key="x", base_url=simulator.base_url.removesuffix("/v1"), max_retries=0) as sdk:
        raw = await sdk.messages.with_raw_response.create(model="sim-text", messages=HI, max_tokens=5, stream=True)
        body = (await raw.http_response.aread()).decode()
    await simulator.stop()
    names = [line.removeprefix("event: ") for line in body.splitlines() if line.startswith("event: ")]
    assert names[:4] == ["message_start", "content_block_start", "ping", "content_block_delta"]


@pytest.mark.parametrize("stream", [False, True])
async def test_several_tool_calls_in_fragments(client: AsyncAnthropic, stream: bool) -> None:
    """Text and two calls, each with its arguments whole again."""
    uses = (ToolUse("f", {"text": "a" * 40}), ToolUse("g", {"n": [1, 2, 3]}))
    answer = await ask(client, Script(text="One moment.", tool_calls=uses, fragment=5), stream=stream)
    assert [block.type for block in answer.content] == ["text", "tool_use", "tool_use"]
    assert [block.input for block in answer.content[1:]] == [{"text": "a" * 40}, {"n": [1, 2, 3]}]
    assert len({block.id for block in answer.content[1:]}) == 2
    assert answer.stop_reason == "tool_use"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_agent_calls_a_tool_and_answers_from_its_result(client: AsyncAnthropic, stream: bool) -> None:
    """The whole loop: the user's words, a call with arguments from them, a result, an answer that quotes it."""
    messages: list[Any] = [{"role": "user", "content": "Where is my order A-1042?"}]
    first = await ask(client, model="sim-agent?pace_ms=0", messages=messages, tools=ORDER_TOOL, stream=stream)
    (call,) = first.content
    assert (call.name, call.input) == ("get_order", {"order_id": "A-1042"})
    messages += [
        {"role": "assistant", "content": first.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": '{"status": "shipped"}'}],
        },
    ]
    last = await ask(client, model="sim-agent?pace_ms=0", messages=messages, tools=ORDER_TOOL, stream=stream)
    assert last.content[0].text == "I looked that up: status shipped. Is there anything else I can do for you?"


async def test_thinking_before_a_call_is_demanded_back_unchanged(client: AsyncAnthropic) -> None:
    """With its signature it is accepted; without, altered, or another's, it is 400. Other calls need none."""
    script = Script(reasoning="Let me look.", tool_calls=(ToolUse("f"),))
    first = await ask(client, script, stream=True)
    thinking, call = first.content
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "{}"}]}

    async def go_on(*content: Any) -> Any:
        return await ask(
            client, Script(text="done"), messages=[*HI, {"role": "assistant", "content": [*content]}, result]
        )

    assert (await go_on(thinking, call)).content[0].text == "done"
    foreign = {"type": "thinking", "thinking": "Let me look.", "signature": "c2ln"}
    altered = {"type": "thinking", "thinking": "Let me see.", "signature": thinking.signature}
    for content in ((call,), (foreign, call), (altered, call)):
        with pytest.raises(anthropic.BadRequestError) as caught:
            await go_on(*content)
        assert caught.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    own = {"type": "tool_use", "id": "toolu_of_another_vendor", "name": "f", "input": {}}
    result["content"][0]["tool_use_id"] = own["id"]  # type: ignore[index]
    assert (await go_on(own)).content[0].text == "done"


@pytest.mark.parametrize("stream", [False, True])
async def test_refusals_limits_and_stop_sequences(client: AsyncAnthropic, stream: bool) -> None:
    """Each way to end has its stop reason."""
    refused = await ask(client, Script(refusal="I will not."), stream=stream)
    assert (refused.stop_reason, refused.content, refused.stop_details.explanation) == ("refusal", [], "I will not.")
    filtered = await ask(client, Script(text="Well", finish_reason="content_filter"), stream=stream)
    assert (filtered.stop_reason, filtered.content[0].text) == ("refusal", "Well")
    short = await ask(client, Script(tokens=50), max_tokens=7, stream=stream)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 7)
    stopped = await ask(client, Script(text="one STOP two"), stop_sequences=["STOP"], stream=stream)
    assert (stopped.stop_reason, stopped.stop_sequence, stopped.content[0].text) == ("stop_sequence", "STOP", "one ")


async def test_structured_output(client: AsyncAnthropic) -> None:
    """A schema in output_config is kept to."""
    schema = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}
    answer = await ask(client, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert msgspec.json.decode(answer.content[0].text) == {"mood": "good"}


async def test_images_are_counted(client: AsyncAnthropic) -> None:
    """By address and as data; what is neither is refused."""
    data = base64.b64encode(b"png").decode()
    sources = [{"type": "url", "url": "https://e/x.png"}, {"type": "base64", "media_type": "image/png", "data": data}]
    for source in sources:
        content = [{"type": "image", "source": source}, {"type": "text", "text": "hi"}]
        answer = await ask(client, messages=[{"role": "user", "content": content}])
        assert answer.usage.input_tokens == 85 + 5
    wrong = [{"type": "image", "source": {"type": "url", "url": "ftp://e/x.png"}}]
    with pytest.raises(anthropic.BadRequestError):
        await ask(client, messages=[{"role": "user", "content": wrong}])


async def test_what_is_marked_is_cached(sim: Simulator, client: AsyncAnthropic) -> None:
    """Written at the first request, read at the second though the mark has moved on; unmarked, nothing."""

    def system(mark: bool) -> list[Any]:
        return [{"type": "text", "text": LONG, **({"cache_control": {"type": "ephemeral"}} if mark else {})}]

    first = await ask(client, system=system(True))
    again = await ask(client, system=system(True), messages=[{"role": "user", "content": "Other words"}])
    moved = [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}]
    grown = await ask(client, system=system(False), messages=moved)
    plain = await ask(client, system=system(False))
    counts = [
        (a.usage.cache_creation_input_tokens, a.usage.cache_read_input_tokens, a.usage.input_tokens)
        for a in (first, again, grown, plain)
    ]
    size = first.usage.cache_creation_input_tokens
    assert size > 1_024
    assert counts == [(size, 0, 6), (0, size, 6), (5, size, 0), (0, 0, size + 6)]
    line = sim.bill.lines[0]
    assert (line.cache_write_tokens, line.cost_microusd) == (
        size,
        -(-(size * 125 + 600 + line.output_tokens * 400) // 100),
    )


async def test_a_prefill_is_continued(client: AsyncAnthropic) -> None:
    """The vendor's habit: the answer goes on where the last assistant message ends; newer models refuse."""
    messages = [*HI, {"role": "assistant", "content": "one two"}]
    answer = await ask(client, Script(text="one two three"), messages=messages, stream=True)
    assert answer.content[0].text == " three"
    with pytest.raises(anthropic.BadRequestError, match="does not support assistant message prefill"):
        await ask(client, Script(prefill="refuse"), messages=messages)
    with pytest.raises(anthropic.BadRequestError, match="trailing whitespace"):
        await ask(client, messages=[*HI, {"role": "assistant", "content": "one two "}])


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
    ],
)
async def test_statuses_raise_the_sdks_errors(
    client: AsyncAnthropic, status: int, error: type[anthropic.APIStatusError], kind: str
) -> None:
    """Each status raises the SDK's class for it, with the vendor's type, message and request id."""
    with pytest.raises(error) as caught:
        await ask(client, Script(status=status, retry_after=3, error_message="as scripted"))
    assert (caught.value.status_code, caught.value.request_id) == (status, "req_1")
    assert caught.value.body == {
        "type": "error", "error": {"type": kind, "message": "as scripted"}, "request_id": "req_1",
    }  # fmt: skip
    assert caught.value.response.headers["retry-after"] == "3"


async def test_keys_models_and_counting(sim: Simulator, client: AsyncAnthropic) -> None:
    """A wrong key is 401, an unknown model 404; models are listed, tokens counted as they are billed."""
    async with AsyncAnthropic(api_key="wrong", base_url=sim.base_url.removesuffix("/v1"), max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            await ask(stranger)
    with pytest.raises(anthropic.NotFoundError):
        await ask(client, model="claude-unknown")
    assert "sim-agent" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("sim-text")).id == "sim-text"
    counted = await client.messages.count_tokens(model="sim-text", messages=HI, tools=ORDER_TOOL, system="Be kind.")
    answer = await ask(client, tools=ORDER_TOOL, system="Be kind.")
    assert counted.input_tokens == answer.usage.input_tokens > 20


async def test_a_context_too_long(client: AsyncAnthropic) -> None:
    """The vendor's words for it."""
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: 6 tokens > 5 maximum"):
        await ask(client, model="sim-text?max_context=5")


async def test_usage_may_be_missing_twice_or_nonsense(client: AsyncAnthropic) -> None:
    """As the script says, at both ends of a stream."""
    assert (await ask(client, Script(usage="missing"))).usage is None
    assert (await ask(client, Script(usage="negative"))).usage.input_tokens == -6
    assert (await ask(client, Script(tokens=10, usage="twice"), stream=True)).usage.output_tokens == 10
    nan = (await ask(client, Script(usage="nan"))).usage.input_tokens
    assert nan != nan


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0},
        {"surprise": 1},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "hi"}]},
        {"messages": [{"role": "robot", "content": "hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]},
        {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
        {"messages": [*HI, {"role": "assistant", "content": [FOREIGN_CALL]}]},
        {"messages": [*HI, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": ""}]}]},
        {"temperature": 1.5},
        {"tools": [{"name": "a b", "input_schema": {"type": "object"}}]},
        {"tools": [{"name": "f"}]},
        {"tool_choice": {"type": "auto"}},
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
        {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "2d"}}]},
        {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5},
        {"output_config": {"format": {"type": "xml"}}},
        {"stop_sequences": [" "]},
    ],
)  # fmt: skip
async def test_invalid_requests_are_refused(client: AsyncAnthropic, fields: dict[str, Any]) -> None:
    """400 with the vendor's error object, and no line on the bill."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        await ask(client, extra_body=fields)
    assert caught.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]


async def test_an_error_event_in_a_stream_raises_the_sdks_error(client: AsyncAnthropic) -> None:
    """Overloaded in mid-stream: the status was 200, the event says what happened."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        await ask(client, Script(tokens=9, cut_after=3, cut="error", status=529), stream=True)
    assert caught.value.body["error"] == {"type": "overloaded_error", "message": "Overloaded"}  # type: ignore[index]
