"""The official anthropic SDK against the server: agents, and providers' models of every dialect, whole and streamed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import pytest
from anthropic import Anthropic

from golive.sim.script import Script
from golive.store.ports import RunFilter
from tests.e2e.anthropic_kit import CALLS, HI, OTHERS, TOOL, others, sdk_of, text_of
from tests.e2e.gateway_kit import Server, serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, providers=others) as running:
        yield running


# ---- a provider's model ---------------------------------------------------------------------------------------------


async def test_a_provider_of_another_dialect_answers(server: Server) -> None:
    """An OpenAI-speaking provider answers an Anthropic client: text, usage without the cached tokens, our run's id."""
    server.script("sim-echo", mode="echo", cached_tokens=3, reasoning_tokens=9)
    async with sdk_of(server) as sdk:
        answer = await sdk.messages.create(model="sim/sim-echo", max_tokens=50, messages=HI, system="Be brief.")
    sent = server.sent()[-1]
    assert [message["content"] for message in sent["messages"]] == ["Be brief.", "Hello there"]
    assert text_of(answer) == "Hello there"
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert answer.usage.cache_read_input_tokens == 3
    assert answer.usage.output_tokens_details is not None
    assert answer.usage.output_tokens_details.thinking_tokens == 9
    run = answer._request_id
    assert run is not None
    kinds = [event.kind for event in await server.store.tenant("default").events(run)]
    assert "model.finished" in kinds
    assert kinds[-1] == "run.finished"


async def test_a_streamed_answer_is_the_whole_one(server: Server) -> None:
    """The streaming helper puts together text, thinking, stop reason and usage as a whole answer has them."""
    server.script("sim-text", text="one two three four", reasoning="hmm well")
    ask: Any = {"model": "sim/sim-text", "max_tokens": 50, "messages": HI}
    async with sdk_of(server) as sdk:
        whole = await sdk.messages.create(**ask)
        async with sdk.messages.stream(**ask) as stream:
            texts = [text async for text in stream.text_stream]
            streamed = await stream.get_final_message()
    assert "".join(texts) == text_of(streamed) == text_of(whole) == "one two three four"
    assert [block.type for block in streamed.content] == [block.type for block in whole.content] == ["thinking", "text"]
    assert streamed.stop_reason == whole.stop_reason == "end_turn"
    assert streamed.usage.to_dict() == whole.usage.to_dict()
    assert streamed.usage.output_tokens > 0


@pytest.mark.parametrize("provider", ["sim", *OTHERS])
async def test_every_dialect_thinks_calls_tools_and_goes_on(server: Server, provider: str) -> None:
    """A loop of tools over each dialect: thoughts, calls and results go to and fro, and with them the vendor's state,
    without which vendors that sign their thoughts refuse the second request."""
    thinking: Any = {"reasoning": "hmm well"}
    server.script(
        "sim-text", turns=(Script(mode="tools", tool_calls=tuple(CALLS), **thinking), Script(text="Both shipped."))
    )
    ask: Any = {"model": f"{provider}/sim-text", "max_tokens": 5_000, "tools": [TOOL],
                "thinking": {"type": "enabled", "budget_tokens": 2_000}}  # fmt: skip
    turns: list[Any] = [{"role": "user", "content": "Where are A-1 and é?"}]
    async with sdk_of(server) as sdk:
        async with sdk.messages.stream(**ask, messages=turns) as stream:
            first = await stream.get_final_message()
        whole = await sdk.messages.create(**ask, messages=turns)
        assert [block.type for block in whole.content] == [block.type for block in first.content]
        for answer in (first, whole):
            assert answer.stop_reason == "tool_use"
            assert [block.thinking for block in answer.content if block.type == "thinking"] == ["hmm well"]
            calls = [block for block in answer.content if block.type == "tool_use"]
            assert [call.input for call in calls] == [{"order_id": "A-1"}, {"order_id": "é"}]
            results: Any = [{"type": "tool_result", "tool_use_id": call.id, "content": "shipped"} for call in calls]
            said: Any = [*turns, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
            last = await sdk.messages.create(**ask, messages=said)
            assert text_of(last) == "Both shipped."
            assert last.stop_reason == "end_turn"
            assert last.usage.input_tokens > 0
            if provider == "gemini":  # whose dialect would put a stand-in where the signature is lost
                sent = msgspec.json.encode(server.sent()[-1])
                assert b'"thoughtSignature"' in sent
                assert b"skip_thought_signature_validator" not in sent


async def test_anthropic_is_sent_what_the_client_wrote(server: Server) -> None:
    """To a provider of Anthropic's dialect the body goes as it stands, but for the model's name; nothing is added."""
    marked = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
    body: dict[str, Any] = {
        "model": "claude/sim-text", "max_tokens": 50, "system": [marked], "stop_sequences": ["two"], "top_k": 3,
        "messages": [{"role": "user", "content": [{**marked, "text": "Hi"}]}], "metadata": {"user_id": "u-1"},
        "tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    }  # fmt: skip
    server.script("sim-text", text="one two three")
    async with server.client() as client:
        answer = await (await client.post("/v1/messages", json=body)).json()
    assert server.sent() == [{**body, "model": "sim-text"}]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "two")
    assert answer["content"] == [{"type": "text", "text": "one "}]


@pytest.mark.parametrize("provider", ["sim", *OTHERS])
async def test_usage_and_ends_are_told_alike_over_every_dialect(server: Server, provider: str) -> None:
    """Cached tokens, the token limit and a refusal read the same whoever answers, streamed and whole."""
    ask: Any = {"model": f"{provider}/sim-text", "messages": HI}
    async with sdk_of(server) as sdk:
        server.script("sim-text", tokens=30, cached_tokens=4)
        whole = await sdk.messages.create(**ask, max_tokens=20)
        async with sdk.messages.stream(**ask, max_tokens=20) as stream:
            streamed = await stream.get_final_message()
        for answer in (whole, streamed):
            assert answer.stop_reason == "max_tokens"
            assert answer.usage.output_tokens == 20
            assert answer.usage.cache_read_input_tokens == 4
            assert answer.usage.input_tokens > 0
        server.script("sim-text", refusal="I cannot.")
        assert (await sdk.messages.create(**ask, max_tokens=50)).stop_reason == "refusal"


async def test_tool_calls_go_out_and_results_come_back(server: Server) -> None:
    """Parallel calls arrive as tool_use blocks, streamed or not; the results reach the provider in its own dialect."""
    server.script("sim-text", mode="tools", tool_calls=CALLS)
    ask: Any = {"model": "sim/sim-text", "max_tokens": 50, "tools": [TOOL]}
    async with sdk_of(server) as sdk:
        whole = await sdk.messages.create(**ask, messages=HI, tool_choice={"type": "any"})
        async with sdk.messages.stream(**ask, messages=HI) as stream:
            streamed = await stream.get_final_message()
        for answer in (whole, streamed):
            assert answer.stop_reason == "tool_use"
            calls = [block for block in answer.content if block.type == "tool_use"]
            assert [(call.name, call.input) for call in calls] == [
                ("get_order", {"order_id": "A-1"}), ("get_order", {"order_id": "é"}),
            ]  # fmt: skip
        server.script("sim-text", text="Shipped.")
        results: Any = [
            {"type": "tool_result", "tool_use_id": call.id, "content": "shipped"}
            for call in whole.content
            if call.type == "tool_use"
        ]
        turns: Any = [*HI, {"role": "assistant", "content": whole.content}, {"role": "user", "content": results}]
        last = await sdk.messages.create(**ask, messages=turns)
    assert text_of(last) == "Shipped."
    first, *_, sent = server.sent()
    assert first["tool_choice"] == "required"
    assert first["tools"][0]["function"]["name"] == "get_order"
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool", "tool"]
    ids = [call["id"] for call in sent["messages"][1]["tool_calls"]]
    assert [message["tool_call_id"] for message in sent["messages"][2:]] == ids


def test_the_synchronous_client_works(tmp_path: Path) -> None:
    """The SDK's other half: create, stream and count, from a thread without an event loop."""

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            server.script("sim-text", text="one two three")

            def ask() -> tuple[str, str, int]:
                with Anthropic(api_key=server.admin, base_url=server.url, max_retries=0) as sdk:
                    whole = sdk.messages.create(model="sim/sim-text", max_tokens=9, messages=HI)
                    with sdk.messages.stream(model="sim/sim-text", max_tokens=9, messages=HI) as stream:
                        streamed = stream.get_final_text()
                    return (
                        text_of(whole),
                        streamed,
                        sdk.messages.count_tokens(model="sim/sim-text", messages=HI).input_tokens,
                    )

            whole, streamed, count = await asyncio.to_thread(ask)
            assert whole == streamed == "one two three"
            assert count >= len("Hello there")

    asyncio.run(scenario())


async def test_a_document_is_refused_where_it_cannot_be_sent(server: Server) -> None:
    """What only Anthropic's API can say is a 400 by name for another provider, before anything is sent or billed."""
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "Read"}, document]}]
    async with sdk_of(server) as sdk:
        with pytest.raises(anthropic.BadRequestError) as refused:
            await sdk.messages.create(model="sim/sim-text", max_tokens=9, messages=messages)
        with pytest.raises(anthropic.BadRequestError) as uncounted:
            await sdk.messages.count_tokens(model="sim/sim-text", messages=messages)
    assert "messages[0].content[1] (document)" in refused.value.message
    assert uncounted.value.body["error"]["param"] == "messages[0].content[1]"  # type: ignore[index]
    assert server.sent() == []


async def test_tokens_are_counted_as_a_bound(server: Server) -> None:
    """The count is never below the bytes of what is sent, tools and instructions included, and asks nobody."""
    async with sdk_of(server) as sdk:
        few = await sdk.messages.count_tokens(model="sim/sim-text", messages=HI)
        many = await sdk.messages.count_tokens(model="sim/sim-text", messages=HI, system="x" * 500, tools=[TOOL])
        agent = await sdk.messages.count_tokens(model="support", messages=HI)
    assert few.input_tokens >= len("Hello there")
    assert many.input_tokens >= few.input_tokens + 500 + len(msgspec.json.encode(TOOL["input_schema"]))
    assert agent.input_tokens == few.input_tokens
    assert server.sent() == []


# ---- an agent -------------------------------------------------------------------------------------------------------


async def test_an_agent_answers_as_a_model(server: Server) -> None:
    """An agent runs with its tools inside; the caller sees one answer, whole or streamed, and the same text."""
    ask: Any = {"model": "support", "max_tokens": 50,
                "messages": [{"role": "user", "content": "Where is my order A-1001?"}]}  # fmt: skip
    async with sdk_of(server) as sdk:
        whole = await sdk.messages.create(**ask, metadata={"user_id": "u-1"})
        async with sdk.messages.stream(**ask) as stream:
            streamed = await stream.get_final_message()
    assert whole.stop_reason == streamed.stop_reason == "end_turn"
    assert {block.type for block in whole.content} == {"text"}
    assert text_of(whole) == text_of(streamed)
    assert text_of(whole)
    assert streamed.usage.to_dict() == whole.usage.to_dict()
    assert whole.usage.output_tokens > 0
    run = whole._request_id
    assert run is not None
    assert whole.id == f"msg_{run}"
    kinds = [event.kind for event in await server.store.tenant("default").events(run)]
    assert "tool.finished" in kinds
    assert (await server.runtime.result("default", run)).metadata == {"user_id": "u-1"}


async def test_an_agent_keeps_a_conversation(server: Server) -> None:
    """Runs with one x-conversation-id share their past."""
    server.put_agent("echo", "sim/sim-echo")
    header = {"x-conversation-id": "c-1"}
    async with sdk_of(server) as sdk:
        for said in ("first", "second"):
            await sdk.messages.create(
                model="echo", max_tokens=9, messages=[{"role": "user", "content": said}], extra_headers=header
            )
    assert [message["content"] for message in server.sent()[-1]["messages"]] == [
        "Be brief.", "first", "first", "second",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"extra_body": {"temperature": 0.1}}, "temperature"),
        ({"extra_body": {"top_k": 1}}, "top_k"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"stop_sequences": ["x"]}, "stop_sequences"),
        ({"extra_body": {"novelty": 1}}, "novelty"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ],
)
async def test_what_an_agent_cannot_honour_is_refused_by_name(
    server: Server, options: dict[str, Any], param: str
) -> None:
    """A parameter that would have no effect is a 400 naming it, never silently dropped."""
    async with sdk_of(server) as sdk:
        with pytest.raises(anthropic.BadRequestError) as refused:
            await sdk.messages.create(**{"model": "support", "max_tokens": 9, "messages": HI, **options})
    error: Any = refused.value.body
    assert error["error"]["param"] == param
    assert (error["error"]["type"], error["error"]["code"]) == ("invalid_request_error", "request.invalid")


async def test_an_agents_outcomes_have_their_stop_reasons(server: Server) -> None:
    """A partial answer is max_tokens, never end_turn; a run that failed is an error and is not tried again."""
    server.put_agent("short", "sim/sim-agent", max_steps=1)
    server.put_agent("lost", "dead/model")
    question: Any = [{"role": "user", "content": "Where is my order A-1001?"}]
    async with sdk_of(server, max_retries=2) as sdk:
        partial = await sdk.messages.create(model="short", max_tokens=9, messages=question)
        async with sdk.messages.stream(model="short", max_tokens=9, messages=question) as stream:
            streamed = await stream.get_final_message()
        with pytest.raises(anthropic.InternalServerError) as failed:
            await sdk.messages.create(model="lost", max_tokens=9, messages=question)
        with pytest.raises(anthropic.APIStatusError) as broken:
            async with sdk.messages.stream(model="lost", max_tokens=9, messages=question) as stream:
                await stream.get_final_message()
    assert partial.stop_reason == streamed.stop_reason == "max_tokens"
    assert text_of(partial) == text_of(streamed)
    assert failed.value.status_code == 502
    for error in (failed.value, broken.value):
        told: Any = error.body
        assert told["type"] == "error"
        assert told["error"]["code"] == "model.unreachable"
        assert told["request_id"].startswith("run_")
    runs = await server.runtime.runs("default", RunFilter(agent="lost", limit=10))
    assert len(runs) == 2
