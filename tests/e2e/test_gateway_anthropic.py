"""The official anthropic SDK against the server: agents and providers' models, whole and streamed, and its errors."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import pytest
from anthropic import Anthropic, AsyncAnthropic

from golive.config.schema import GoliveConfig, ProviderConfig
from golive.sim.script import Script, ToolUse
from golive.store.ports import RunFilter
from tests.e2e.gateway_kit import Server, raw, serving, sse

HI: list[Any] = [{"role": "user", "content": "Hello there"}]
TOOL: Any = {
    "name": "get_order", "description": "Look up an order.",
    "input_schema": {"type": "object", "properties": {"order_id": {"type": "string"}}},
}  # fmt: skip
OTHERS = {"claude": "anthropic", "gemini": "gemini", "responses": "openai-responses"}
"""Providers of the dialects beside OpenAI's chat, which `sim` speaks."""
CALLS = [ToolUse("get_order", {"order_id": "A-1"}), ToolUse("get_order", {"order_id": "é"})]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, providers=others) as running:
        yield running


def others(base_url: str) -> dict[str, ProviderConfig]:
    """One provider for each further dialect, at the same simulator."""
    root = base_url.removesuffix("/v1")
    return {
        name: ProviderConfig.model_validate({
            "dialect": dialect, "base_url": f"{root}/v1beta" if dialect == "gemini" else base_url, "models": (),
        })
        for name, dialect in OTHERS.items()
    }  # fmt: skip


def sdk_of(server: Server, key: str | None = None, **options: Any) -> AsyncAnthropic:
    """The official SDK, pointed here; its key goes as x-api-key."""
    return AsyncAnthropic(api_key=key or server.admin, base_url=server.url, **{"max_retries": 0, **options})


def text_of(message: Any) -> str:
    """All text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")


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
    runs = await server.runtime.runs("default", RunFilter("lost", None, None, None, None, None, 10))
    assert len(runs) == 2


# ---- errors ---------------------------------------------------------------------------------------------------------


async def test_each_status_raises_its_class(server: Server) -> None:
    """Keys, roles, names, sizes and providers' refusals raise what an Anthropic client catches."""
    viewer = (await server.keys.create("default", "v", "viewer", created_by="tests")).secret
    server.script("sim-text", status=429, retry_after="7")
    server.script("sim-echo", status=529)
    ask: Any = {"max_tokens": 9, "messages": HI}
    cases: list[tuple[str | None, str, type[anthropic.APIStatusError], str]] = [
        ("gl_wrong", "support", anthropic.AuthenticationError, "authentication_error"),
        (viewer, "support", anthropic.PermissionDeniedError, "permission_error"),
        (None, "suport", anthropic.NotFoundError, "not_found_error"),
        (None, "nobody/x", anthropic.NotFoundError, "not_found_error"),
        (None, "sim/sim-text", anthropic.RateLimitError, "rate_limit_error"),
        (None, "sim/sim-echo", anthropic.OverloadedError, "overloaded_error"),
        (None, "dead/x", anthropic.InternalServerError, "api_error"),
    ]
    for key, model, kind, name in cases:
        async with sdk_of(server, key) as sdk:
            with pytest.raises(kind) as refused:
                await sdk.messages.create(model=model, **ask)
            assert (refused.value.type, type(refused.value)) == (name, kind), model
    async with sdk_of(server) as sdk:
        with pytest.raises(anthropic.RateLimitError) as limited:
            await sdk.messages.create(model="sim/sim-text", **ask)
        assert limited.value.response.headers["retry-after"] == "7"
        assert limited.value.request_id is not None
        assert limited.value.request_id.startswith("run_")


async def test_a_body_that_is_too_large_is_413(tmp_path: Path) -> None:
    """The server's limit is told as Anthropic tells its own."""
    config = GoliveConfig.model_validate({"server": {"max_body_bytes": 2_000}})
    async with serving(tmp_path, config) as server, sdk_of(server) as sdk:
        with pytest.raises(anthropic.RequestTooLargeError) as refused:
            await sdk.messages.create(
                model="sim/sim-text", max_tokens=9, messages=[{"role": "user", "content": "x" * 3_000}]
            )
        assert refused.value.body["error"]["type"] == "request_too_large"  # type: ignore[index]


async def test_what_has_no_route_is_told_in_the_same_shape(server: Server) -> None:
    """A wrong method and an unknown path under /v1/messages, and a missing key, look like Anthropic's errors."""
    async with server.client() as client:
        wrong_method = await client.get("/v1/messages")
        unknown = await client.post("/v1/messages/batches", json={})
        told = [await answer.json() for answer in (wrong_method, unknown)]
    async with server.client(key="") as stranger:
        nobody = await stranger.post("/v1/messages/batches", json={})
        told.append(await nobody.json())
    assert [answer.status for answer in (wrong_method, unknown, nobody)] == [405, 404, 401]
    assert wrong_method.headers["allow"] == "POST"
    assert [answer["error"]["type"] for answer in told] == [
        "invalid_request_error", "not_found_error", "authentication_error",
    ]  # fmt: skip
    assert all(answer["type"] == "error" and answer["request_id"] is None for answer in told)


async def test_either_header_carries_the_key(server: Server) -> None:
    """x-api-key opens every route; where Authorization comes too, that one counts; neither is ever logged."""
    async with server.client(key="") as client:
        good = await client.get("/v1/models", headers={"x-api-key": server.admin})
        bad = await client.get("/v1/models", headers={"x-api-key": server.admin, "authorization": "Bearer gl_no"})
        forged = await client.get("/v1/models", headers={"x-api-key": f"{server.admin}x"})
        empty = await client.get("/v1/models", headers={"x-api-key": ""})
    assert [answer.status for answer in (good, bad, forged, empty)] == [200, 401, 401, 401]
    assert server.admin not in server.log_path.read_text()
    async with sdk_of(server, auth_token=server.admin, key="") as sdk:
        assert text_of(await sdk.messages.create(model="support", max_tokens=9, messages=HI))


async def test_the_sdk_tries_again_what_may_pass(server: Server) -> None:
    """A provider's 529 is tried again by the SDK as it would be at Anthropic's; a 400 is not."""
    server.script("sim-text", status=529)
    async with sdk_of(server, max_retries=1) as sdk:
        with pytest.raises(anthropic.OverloadedError):
            await sdk.messages.create(model="sim/sim-text", max_tokens=9, messages=HI)
        tried = len(server.sent())
        server.script("sim-text", status=400)
        with pytest.raises(anthropic.BadRequestError):
            await sdk.messages.create(model="sim/sim-text", max_tokens=9, messages=HI)
    assert tried == 2
    assert len(server.sent()) == 3


# ---- the raw stream -------------------------------------------------------------------------------------------------


async def test_the_raw_stream_has_anthropics_events(server: Server) -> None:
    """Names and order of the events, byte for byte those of the protocol; nothing stands behind message_stop."""
    server.script("sim-text", text="one two")
    body = {"model": "sim/sim-text", "max_tokens": 9, "messages": HI, "stream": True}
    async with server.client() as client:
        response = await client.post("/v1/messages", json=body)
        events = await sse(response)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["request-id"] == response.headers["x-request-id"]
    names = [name for _, name, _ in events]
    assert names == [data["type"] for _, _, data in events]
    assert names == [
        "message_start", "content_block_start", *["content_block_delta"] * (len(names) - 5), "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert events[0][2]["message"]["content"] == []
    assert events[-2][2]["delta"]["stop_reason"] == "end_turn"


@pytest.mark.parametrize("fault", [{"cut_after": 2}, {"stall_after": 2}])
async def test_a_broken_stream_ends_with_an_error(server: Server, fault: dict[str, Any]) -> None:
    """A provider that dies or falls silent in mid-answer: text, then an error event, and no message_stop."""
    server.script("sim-text", text="one two three four five", **fault)
    body = {"model": "sim/sim-text", "max_tokens": 9, "messages": HI, "stream": True}
    async with server.client() as client:
        events = await sse(await client.post("/v1/messages", json=body))
    names = [name for _, name, _ in events]
    assert names[0] == "message_start"
    assert "content_block_delta" in names
    assert names[-1] == "error"
    assert "message_stop" not in names
    assert "message_delta" not in names
    assert events[-1][2]["type"] == "error"
    assert events[-1][2]["request_id"].startswith("run_")
    async with sdk_of(server) as sdk:
        with pytest.raises(anthropic.APIStatusError):
            async with sdk.messages.stream(model="sim/sim-text", max_tokens=9, messages=HI) as stream:
                await stream.get_final_message()


async def test_a_quiet_agent_sends_pings(tmp_path: Path) -> None:
    """While an agent's model is slow the stream shows life with ping events, which the SDK passes over."""
    config = GoliveConfig.model_validate({"server": {"heartbeat_s": 0.1}})
    async with serving(tmp_path, config) as server:
        server.put_agent("slow", "sim/sim-text")
        server.script("sim-text", text="at last", first_token_ms=600)
        body = {"model": "slow", "max_tokens": 9, "messages": HI, "stream": True}
        async with server.client() as client:
            events = await sse(await client.post("/v1/messages", json=body))
        assert ("", "ping", {"type": "ping"}) in events
        assert events[-1][1] == "message_stop"
        async with sdk_of(server) as sdk, sdk.messages.stream(model="slow", max_tokens=9, messages=HI) as stream:
            assert await stream.get_final_text() == "at last"


async def test_a_client_that_leaves_ends_the_call(server: Server) -> None:
    """Disconnecting in mid-stream gives the provider's call up, and the run says so."""
    server.script("sim-text", text="word " * 200, pace_ms=20)
    async with sdk_of(server) as sdk:
        stream = await sdk.messages.create(model="sim/sim-text", max_tokens=9, messages=HI, stream=True)
        run = stream.response.headers["request-id"]
        async for event in stream:
            if event.type == "content_block_delta":
                break
        await stream.close()
    for _ in range(200):
        result = await server.runtime.result("default", run)
        if result.state == "finished":
            break
        await asyncio.sleep(0.02)
    assert (result.outcome, result.reason) == ("cancelled", "disconnected")
    assert result.usage.output_tokens > 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"model":5}', b'{"model":"support"}', b"\xff\xfe", b'{"model":"a","messages":[[]]}',
     b'{"model":"support","messages":[{"role":"user","content":[' + b"[" * 5_000],
)  # fmt: skip
async def test_hostile_bodies_are_400(server: Server, body: bytes) -> None:
    """Whatever is sent, the answer is a 400 in Anthropic's shape, and the server goes on."""
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {server.admin}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    answer = await raw(server.url, head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    told = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
    assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
