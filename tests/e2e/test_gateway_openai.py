"""The official openai SDK against the server: agents and providers' models, whole and streamed, and its errors."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from golive.sim.script import ToolUse
from golive.store.ports import RunFilter
from tests.e2e.gateway_kit import Server, serving

HI: list[Any] = [{"role": "user", "content": "Hello there"}]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        yield running


async def test_a_provider_model_answers_through_the_gateway(server: Server) -> None:
    """The vendor's answer comes back whole, with usage, under our run's id; the run is journalled and metered."""
    server.script("sim-echo", mode="echo", cached_tokens=3, reasoning_tokens=9)
    async with server.openai() as sdk:
        answer = await sdk.chat.completions.create(model="sim/sim-echo", messages=HI)
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.completion_tokens_details is not None
    assert (
        answer.usage.prompt_tokens_details.cached_tokens,
        answer.usage.completion_tokens_details.reasoning_tokens,
    ) == (
        3,
        9,
    )
    run = answer._request_id
    assert run is not None
    assert run.startswith("run_")
    kinds = [event.kind for event in await server.store.tenant("default").events(run)]
    assert "model.finished" in kinds
    assert kinds[-1] == "run.finished"
    labels = {"tenant": "default", "target": "sim/sim-echo", "result": "ok"}
    assert server.metrics.registry.get_sample_value("golive_model_calls_total", labels) == 1


async def test_streams_have_openais_shape(server: Server) -> None:
    """Role first, then content, one finish, usage only when asked for; joined, the text is the provider's."""
    server.script("sim-text", text="one two three four", reasoning="hmm well")
    async with server.openai() as sdk:
        for with_usage in (False, True):
            options: Any = {"stream_options": {"include_usage": True}} if with_usage else {}
            stream = await sdk.chat.completions.create(model="sim/sim-text", messages=HI, stream=True, **options)
            chunks = [chunk async for chunk in stream]
            assert chunks[0].choices[0].delta.role == "assistant"
            deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
            assert "".join(delta.content or "" for delta in deltas) == "one two three four"
            assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "hmm well"
            ends = [
                chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason
            ]
            assert ends == ["stop"]
            assert (chunks[-1].usage is not None) is with_usage
            assert len({chunk.id for chunk in chunks}) == 1
            assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)


async def test_tool_calls_of_a_relayed_model_reach_the_caller(server: Server) -> None:
    """Parallel tool calls in fragments are put together by the SDK as the provider meant them, streamed or not."""
    calls: Any = [
        {"name": "get_order", "arguments": {"order_id": "A-1"}},
        {"name": "get_order", "arguments": {"order_id": "B"}},
    ]
    tool: Any = {
        "type": "function",
        "function": {"name": "get_order", "strict": True, "parameters": {"type": "object"}},
    }
    server.script("sim-text", mode="tools", tool_calls=[_tool_use(call) for call in calls])
    async with server.openai() as sdk:
        whole = await sdk.chat.completions.create(model="sim/sim-text", messages=HI, tools=[tool])
        async with sdk.chat.completions.stream(model="sim/sim-text", messages=HI, tools=[tool]) as stream:
            streamed = await stream.get_final_completion()
    for answer in (whole, streamed):
        choice = answer.choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls is not None
        assert [call.function.arguments for call in choice.message.tool_calls] == [
            '{"order_id":"A-1"}',
            '{"order_id":"B"}',
        ]
        assert choice.message.content in (None, "")


def _tool_use(call: dict[str, Any]) -> Any:
    return ToolUse(call["name"], call["arguments"])


async def test_parameters_pass_verbatim_to_a_provider(server: Server) -> None:
    """What golive does not know of is handed on as it stood, and what it answers for is not doubled."""
    async with server.openai() as sdk:
        await sdk.chat.completions.create(
            model="sim/sim-text", messages=HI, temperature=0.5, max_tokens=7, seed=3, logit_bias={"1": 2},
            extra_body={"vendor_thing": {"deep": [1, 2]}},
        )  # fmt: skip
    sent = server.sent()[-1]
    assert sent["model"] == "sim-text"
    assert (sent["temperature"], sent["max_tokens"], sent["seed"]) == (0.5, 7, 3)
    assert sent["vendor_thing"] == {"deep": [1, 2]}
    assert "max_completion_tokens" not in sent


async def test_an_agent_answers_as_a_model(server: Server) -> None:
    """An agent runs with its tools inside; the caller sees one answer, whole or streamed, and the same text."""
    question: Any = [{"role": "user", "content": "Where is my order A-1001?"}]
    async with server.openai() as sdk:
        whole = await sdk.chat.completions.create(model="support", messages=question)
        stream = await sdk.chat.completions.create(
            model="support", messages=question, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert whole.choices[0].finish_reason == "stop"
    assert whole.choices[0].message.tool_calls is None
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert text
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    run = whole._request_id
    assert run is not None
    kinds = [event.kind for event in await server.store.tenant("default").events(run)]
    assert "tool.finished" in kinds
    assert whole.id == f"chatcmpl-{run}"


async def test_an_agent_keeps_a_conversation(server: Server) -> None:
    """Runs with one x-conversation-id share their past."""
    server.put_agent("echo", "sim/sim-echo")
    messages: Any = [{"role": "user", "content": "first"}]
    async with server.openai() as sdk:
        header = {"x-conversation-id": "c-1"}
        await sdk.chat.completions.create(model="echo", messages=messages, extra_headers=header)
        await sdk.chat.completions.create(model="echo", messages=HI, metadata={"conversation_id": "c-1"})
    sent = [body["messages"] for body in server.sent()]
    assert [message["content"] for message in sent[0]] == ["Be brief.", "first"]
    assert "first" in [message["content"] for message in sent[1]]
    assert sent[1][-1]["content"] == "Hello there"


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_a_clients_own_instructions_stand_behind_the_agents_prompt(server: Server, role: str) -> None:
    """They add to the prompt and never replace it, and are kept with the conversation they were said in."""
    server.put_agent("echo", "sim/sim-echo")
    messages: Any = [{"role": role, "content": "Speak French."}, {"role": "user", "content": "first"}]
    async with server.openai() as sdk:
        header = {"x-conversation-id": "c-1"}
        await sdk.chat.completions.create(model="echo", messages=messages, extra_headers=header)
        await sdk.chat.completions.create(model="echo", messages=HI, extra_headers=header)
        await sdk.chat.completions.create(model="echo", messages=HI)
    first, second, other = [[(said["role"], said["content"]) for said in body["messages"]] for body in server.sent()]
    assert first == [("system", "Be brief."), ("system", "Speak French."), ("user", "first")]
    assert second == [*first, ("assistant", "first"), ("user", "Hello there")]
    assert other == [("system", "Be brief."), ("user", "Hello there")]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"n": 2}, "n"),
        ({"temperature": 0.1}, "temperature"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages[0].role"),
        ({"messages": [*HI, {"role": "assistant", "tool_calls": [CALL]}]}, "messages[1].tool_calls"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ],
)
async def test_what_an_agent_cannot_honour_is_refused_by_name(
    server: Server, options: dict[str, Any], param: str
) -> None:
    """A parameter that would have no effect is a 400 naming it, never silently dropped."""
    async with server.openai() as sdk:
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.chat.completions.create(**{"model": "support", "messages": HI, **options})
    assert refused.value.param == param
    assert refused.value.code == "request.invalid"


async def test_harmless_parameters_are_accepted_for_an_agent(server: Server) -> None:
    """What says nothing about the answer, or asks for what is the case anyway, does not stand in the way."""
    async with server.openai() as sdk:
        answer = await sdk.chat.completions.create(model="support", messages=HI, n=1, user="u-1", tools=[])
    assert answer.choices[0].message.content


async def test_the_sdk_raises_its_own_classes(server: Server) -> None:
    """Wrong key, unknown agent, unknown provider, bad JSON types: each becomes the SDK's class with status and code."""
    async with server.openai("gl_wrong") as sdk:
        with pytest.raises(openai.AuthenticationError) as denied:
            await sdk.chat.completions.create(model="support", messages=HI)
        assert denied.value.code == "auth.required"
    viewer = (await server.keys.create("default", "v", "viewer", created_by="tests")).secret
    async with server.openai(viewer) as sdk:
        with pytest.raises(openai.PermissionDeniedError):
            await sdk.chat.completions.create(model="support", messages=HI)
    async with server.openai() as sdk:
        for model in ("nobody", "nowhere/gpt"):
            with pytest.raises(openai.NotFoundError) as missing:
                await sdk.chat.completions.create(model=model, messages=HI)
            assert missing.value.code == "not_found"
        with pytest.raises(openai.NotFoundError):
            await sdk.models.retrieve("nobody")
        with pytest.raises(openai.BadRequestError) as typed:
            await sdk.chat.completions.create(model="support", messages="no list")  # type: ignore[arg-type]
        assert typed.value.param == "messages"


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_providers_refusal_passes_with_status_and_words(
    server: Server, status: int, raised: type[openai.APIStatusError], stream: bool
) -> None:
    """A relayed call's refusal keeps the vendor's status, message and code, also when a stream was asked for. Of what
    was not found it is told what that was."""
    server.script("sim-text", status=status, error_message="Vendor says no.", error_code="vendor_code", retry_after=7)
    async with server.openai() as sdk:
        with pytest.raises(raised) as refused:
            await sdk.chat.completions.create(model="sim/sim-text", messages=HI, stream=stream)
    error = refused.value
    assert error.status_code == status
    asked = " (sim/sim-text)" if status == 404 else ""
    assert error.body["message"] == f"Vendor says no.{asked}"  # type: ignore[index]
    assert error.code == "vendor_code"
    assert error.request_id is not None
    assert error.request_id.startswith("run_")
    if status in (429, 503):
        assert error.response.headers["retry-after"] == "7"


async def test_a_credential_the_provider_refuses_is_not_blamed_on_the_caller(server: Server) -> None:
    """A provider's 401 is our fault, not the caller's key's: 502, and the SDK does not raise AuthenticationError."""
    server.script("sim-text", status=401, error_message="bad key")
    async with server.openai() as sdk:
        with pytest.raises(openai.InternalServerError) as refused:
            await sdk.chat.completions.create(model="sim/sim-text", messages=HI)
    assert refused.value.status_code == 502


async def test_an_unreachable_provider_is_a_bad_gateway(server: Server) -> None:
    """Nobody listening at the provider's address is 502 at once."""
    async with server.openai() as sdk:
        with pytest.raises(openai.InternalServerError) as refused:
            await sdk.chat.completions.create(model="dead/gpt", messages=HI)
    assert refused.value.status_code == 502
    assert refused.value.code == "model.unreachable"


@pytest.mark.parametrize("cut", ["close", "reset", "end"])
async def test_a_cut_stream_is_never_shown_as_whole(server: Server, cut: str) -> None:
    """A provider that dies in mid-stream raises in the SDK after the text so far; no finish, no [DONE]."""
    server.script("sim-text", text="one two three four five six", cut_after=3, cut=cut)
    seen: list[Any] = []
    async with server.openai() as sdk:
        stream = await sdk.chat.completions.create(model="sim/sim-text", messages=HI, stream=True)
        with pytest.raises(openai.APIError) as broken:
            async for chunk in stream:
                seen.append(chunk)
    assert broken.value.code == "model.cut"
    assert all(chunk.choices[0].finish_reason is None for chunk in seen)
    async with server.client() as http:
        body = {"model": "sim/sim-text", "messages": HI, "stream": True}
        async with http.post("/v1/chat/completions", json=body) as response:
            text = await response.text()
    assert text.rstrip().splitlines()[-1].startswith('data: {"error":')
    assert "data: [DONE]" not in text


async def test_a_cut_answer_of_an_agent_ends_as_length(server: Server) -> None:
    """An agent whose model broke off gives what it has with finish_reason `length`, and a failed run is an error."""
    server.put_agent("echo", "sim/sim-echo")
    server.script("sim-echo", text="one two three four five six", cut_after=3)
    async with server.openai() as sdk:
        partial = await sdk.chat.completions.create(model="echo", messages=HI)
        assert partial.choices[0].finish_reason == "length"
        assert partial.choices[0].message.content is not None
        assert partial.choices[0].message.content.startswith("one two")
        server.script("sim-echo", status=500)
        with pytest.raises(openai.InternalServerError) as failed:
            await sdk.chat.completions.create(model="echo", messages=HI)
        assert failed.value.response.headers["x-should-retry"] == "false"
        stream = await sdk.chat.completions.create(model="echo", messages=HI, stream=True)
        with pytest.raises(openai.APIError) as broken:
            async for _ in stream:
                pass
        assert broken.value.code == "model.unavailable"


async def test_models_are_listed_for_the_sdk(server: Server) -> None:
    """Agents and the providers' listed models stand in one list; each can be retrieved, slash and all."""
    async with server.openai() as sdk:
        models = [model async for model in sdk.models.list()]
        assert [(model.id, model.owned_by) for model in models] == [
            ("support", "golive"),
            ("sim/sim-text", "sim"),
            ("sim/sim-echo", "sim"),
        ]
        assert (await sdk.models.retrieve("sim/sim-echo")).id == "sim/sim-echo"


async def test_a_client_that_leaves_ends_the_providers_call(server: Server) -> None:
    """When the caller of a relayed stream disconnects, the provider's connection closes and the call is settled."""
    server.script("sim-text", tokens=500, pace_ms=20.0)
    async with server.openai() as sdk:
        stream = await sdk.chat.completions.create(model="sim/sim-text", messages=HI, stream=True)
        await anext(stream)
        await stream.close()
    async with asyncio.timeout(30):
        while server.relay.open_calls:
            await asyncio.sleep(0.01)
    run = (await server.store.tenant("default").runs(RunFilter(limit=1)))[0]
    assert (run.outcome, run.reason) == ("cancelled", "disconnected")
    assert run.output_tokens > 0
