"""What goes wrong on the Anthropic face, as the official SDK and a raw client see it: refusals, breaks, departures."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import pytest

from golive.config.schema import GoliveConfig
from tests.e2e.anthropic_kit import HI, OTHERS, others, sdk_of, text_of
from tests.e2e.gateway_kit import Server, raw, serving, sse


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, providers=others) as running:
        yield running


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
            if kind is anthropic.RateLimitError:
                assert refused.value.response.headers["retry-after"] == "7"
                assert (refused.value.request_id or "").startswith("run_")


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


@pytest.mark.parametrize("provider", OTHERS)
async def test_other_dialects_refusals_raise_the_right_class(server: Server, provider: str) -> None:
    """A vendor's 429 and 400 pass with their status, whatever words that vendor has for them."""
    ask: Any = {"model": f"{provider}/sim-text", "max_tokens": 50, "messages": HI}
    async with sdk_of(server) as sdk:
        server.script("sim-text", status=400)
        with pytest.raises(anthropic.BadRequestError):
            await sdk.messages.create(**ask, stream=True)
        server.script("sim-text", text="one two three four", cut_after=2)
        with pytest.raises(anthropic.APIStatusError):
            async with sdk.messages.stream(**ask) as stream:
                await stream.get_final_message()
        server.script("sim-text", status=429)
        with pytest.raises(anthropic.RateLimitError) as limited:
            await sdk.messages.create(**ask)
    assert limited.value.type == "rate_limit_error"
