"""The official openai SDK against the simulator: what the vendor's own client understands is the vendor's dialect."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from golive.core.clock import SystemClock
from golive.core.errors import InternalError
from golive.sim.process import SimulatorProcess
from golive.sim.script import Script, ToolUse
from golive.sim.server import Simulator

KEY = "sk-sim-test"
HI: list[Any] = [{"role": "user", "content": "Hello there"}]
ORDER_TOOL: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_order",
            "description": "Look up an order.",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
        },
    }
]


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


def scripted(script: Script) -> dict[str, str]:
    return {"x-sim-script": msgspec.json.encode(script).decode()}


async def test_a_whole_answer(client: AsyncOpenAI) -> None:
    """Text, finish reason and usage arrive in the SDK's objects."""
    answer = await client.chat.completions.create(
        model="sim-echo", messages=HI, extra_headers=scripted(Script(mode="echo", cached_tokens=3, reasoning_tokens=9))
    )
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("chatcmpl-")
    assert answer._request_id == "req_1"
    usage = answer.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (6, 11, 17)
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 3
    assert usage.completion_tokens_details.reasoning_tokens == 9


async def test_a_streamed_answer_with_reasoning_and_usage(client: AsyncOpenAI) -> None:
    """Deltas join into the text, reasoning comes apart from it, usage comes last."""
    script = Script(text="The answer is 42.", reasoning="Let me think.")
    stream = await client.chat.completions.create(
        model="sim-x", messages=HI, stream=True, stream_options={"include_usage": True}, extra_headers=scripted(script)
    )
    text, reasoning, reasons, usages = "", "", [], []
    async for chunk in stream:
        usages.append(chunk.usage)
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            reasons.append(choice.finish_reason)
    assert (text, reasoning) == ("The answer is 42.", "Let me think.")
    assert reasons[-1] == "stop"
    assert set(reasons[:-1]) == {None}
    assert [usage for usage in usages[:-1] if usage is not None] == []
    assert usages[-1] is not None
    assert usages[-1].completion_tokens == 9  # five of text, four of reasoning


@pytest.mark.parametrize("interleave", [False, True])
async def test_parallel_tool_calls_in_fragments(client: AsyncOpenAI, interleave: bool) -> None:
    """The SDK's own accumulator puts parallel calls together, one after the other or interleaved."""
    uses = (ToolUse("f", {"text": "a" * 40}), ToolUse("g", {"n": [1, 2, 3]}), ToolUse("h", "{broken"))
    script = Script(tool_calls=uses, fragment=5, interleave=interleave)
    async with client.chat.completions.stream(model="sim-x", messages=HI, extra_headers=scripted(script)) as stream:
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("f", '{"text":"' + "a" * 40 + '"}'),
        ("g", '{"n":[1,2,3]}'),
        ("h", "{broken"),
    ]
    assert len({call.id for call in calls}) == 3
    assert final.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_agent_calls_a_tool_and_answers_from_its_result(client: AsyncOpenAI, stream: bool) -> None:
    """The whole loop: the user's words, a call with arguments from them, a result, an answer that quotes it."""
    messages: list[Any] = [{"role": "user", "content": "Where is my order A-1042?"}]
    for _ in range(2):
        if stream:
            async with client.chat.completions.stream(
                model="sim-agent?pace_ms=0", messages=messages, tools=ORDER_TOOL
            ) as s:
                message = (await s.get_final_completion()).choices[0].message
        else:
            whole = await client.chat.completions.create(
                model="sim-agent?pace_ms=0", messages=messages, tools=ORDER_TOOL
            )
            message = whole.choices[0].message  # type: ignore[assignment]
        if not message.tool_calls:
            break
        (call,) = message.tool_calls
        assert (call.function.name, call.function.arguments) == ("get_order", '{"order_id":"A-1042"}')  # type: ignore[union-attr]
        messages += [
            {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]},
            {"role": "tool", "tool_call_id": call.id, "content": '{"status": "shipped", "carrier": "Post"}'},
        ]
    assert message.content == (
        "I looked that up: status shipped, carrier Post. Is there anything else I can do for you?"
    )


async def test_turns_follow_the_loop(client: AsyncOpenAI) -> None:
    """Scripted turns: the first calls, the second answers; `always_tools` never stops calling."""
    script = Script(turns=(Script(tool_calls=(ToolUse("f"),)), Script(text="done")))
    first = (await client.chat.completions.create(model="sim-x", messages=HI, extra_headers=scripted(script))).choices[
        0
    ]
    assert first.message.tool_calls is not None
    call = first.message.tool_calls[0]
    after = [
        *HI,
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "{}"},
    ]
    second = await client.chat.completions.create(model="sim-x", messages=after, extra_headers=scripted(script))
    assert second.choices[0].message.content == "done"
    endless = await client.chat.completions.create(model="sim-loop", messages=after, tools=ORDER_TOOL)
    assert endless.choices[0].finish_reason == "tool_calls"


class Verdict(BaseModel):
    mood: Literal["good", "bad"]
    score: int
    reasons: list[str]


async def test_structured_output_parses(client: AsyncOpenAI) -> None:
    """A pydantic model given as response_format comes back as an instance of it."""
    answer = await client.chat.completions.parse(model="sim-text", messages=HI, response_format=Verdict)
    assert answer.choices[0].message.parsed == Verdict(mood="good", score=0, reasons=[])


async def test_a_refusal_is_a_refusal(client: AsyncOpenAI) -> None:
    """The model's own refusal arrives in its field, streamed or not."""
    headers = scripted(Script(refusal="I will not."))
    whole = await client.chat.completions.create(model="sim-x", messages=HI, extra_headers=headers)
    assert (whole.choices[0].message.refusal, whole.choices[0].message.content) == ("I will not.", None)
    async with client.chat.completions.stream(model="sim-x", messages=HI, extra_headers=headers) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.refusal == "I will not."


async def test_max_tokens_cuts_short(client: AsyncOpenAI) -> None:
    """finish_reason length, and no more tokens than allowed."""
    answer = await client.chat.completions.create(model="sim-text", messages=HI, max_completion_tokens=7)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_statuses_raise_the_sdks_errors(
    client: AsyncOpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    """Each status raises the SDK's class for it, with the vendor's message, code and request id."""
    script = Script(status=status, retry_after=3, error_message="as scripted", error_code="scripted")
    with pytest.raises(error) as caught:
        await client.chat.completions.create(model="sim-x", messages=HI, extra_headers=scripted(script))
    assert caught.value.status_code == status
    assert caught.value.code == "scripted"
    assert "as scripted" in caught.value.message
    assert caught.value.request_id == "req_1"
    assert caught.value.response.headers["retry-after"] == "3"


async def test_the_sdk_retries_when_told_to(sim: Simulator) -> None:
    """A failure for one request is survived by the SDK's own retry."""
    sim.scripts.install("sim-x", Script(status=429, retry_after=0.001), times=1)
    sim.scripts.install("sim-x", Script(text="second time"))
    async with AsyncOpenAI(api_key=KEY, base_url=sim.base_url, max_retries=1) as sdk:
        answer = await sdk.chat.completions.create(model="sim-x", messages=HI)
    assert answer.choices[0].message.content == "second time"
    assert sim.requests_seen == 2


@pytest.mark.parametrize("script", [Script(refuse=True), Script(cut_after=0, cut="reset")])
async def test_a_broken_connection_is_a_connection_error(client: AsyncOpenAI, script: Script) -> None:
    """Refused, or reset in the middle of the answer."""
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model="sim-x", messages=HI, extra_headers=scripted(script))


async def test_an_error_event_in_a_stream_raises_the_sdks_error(client: AsyncOpenAI) -> None:
    """The status was 200, the event says what happened."""
    script = Script(tokens=9, cut_after=3, cut="error", status=503)
    stream = await client.chat.completions.create(
        model="sim-x", messages=HI, stream=True, extra_headers=scripted(script)
    )
    with pytest.raises(openai.APIError, match="currently overloaded"):
        async for _ in stream:
            pass


async def test_a_context_too_long(client: AsyncOpenAI) -> None:
    """The vendor's code for it."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="sim-text?max_context=5", messages=HI)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


async def test_keys_and_models(sim: Simulator, client: AsyncOpenAI) -> None:
    """A wrong key is 401, an unknown model 404; known ones are listed and can be fetched."""
    async with AsyncOpenAI(api_key="sk-wrong", base_url=sim.base_url, max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as denied:
            await stranger.chat.completions.create(model="sim-text", messages=HI)
    assert denied.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="gpt-unknown", messages=HI)
    assert unknown.value.code == "model_not_found"
    assert "sim-agent" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("sim-text")).id == "sim-text"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-unknown")


async def test_a_process_of_its_own_can_be_killed_and_brought_back() -> None:
    """Started on a free port, killed, the address is dead; started again there, it answers."""
    clock = SystemClock()
    async with SimulatorProcess(clock, api_keys=(KEY,)) as first:
        url = first.base_url
        async with AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0) as sdk:
            assert (await sdk.chat.completions.create(model="sim-echo", messages=HI)).choices[0].message.content
            first.kill()
            await first.stop()
            with pytest.raises(openai.APIConnectionError):
                await sdk.chat.completions.create(model="sim-echo", messages=HI)
            port = int(url.removesuffix("/v1").rpartition(":")[2])
            async with SimulatorProcess(clock, port=port, api_keys=(KEY,)) as second:
                assert second.base_url == url
                assert (await sdk.chat.completions.create(model="sim-echo", messages=HI)).choices[0].message.content


async def test_a_process_that_cannot_listen_says_so() -> None:
    """A port in use is an error at once, not a wait for a server that never comes."""
    async with SimulatorProcess(SystemClock()) as first:
        port = int(first.base_url.removesuffix("/v1").rpartition(":")[2])
        with pytest.raises(InternalError, match=f"port {port} ended with exit code 1"):
            await SimulatorProcess(SystemClock(), port=port).start()


async def test_a_process_ends_with_its_parent() -> None:
    """Whoever started it and died leaves no simulator behind: the end of standard input ends it."""
    simulator = SimulatorProcess(SystemClock())
    await simulator.start()
    process = simulator._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0
    await simulator.stop()
