"""The official openai SDK on /v1/responses, for agents: whole, streamed, continued, and asked for later."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.e2e.gateway_kit import Server, serving
from tests.e2e.test_gateway_responses import GET_ORDER, events_of


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        yield running


async def test_an_agent_answers_as_a_model(server: Server) -> None:
    """An agent runs with its tools inside; whole, streamed, and asked for later, the response says the same."""
    question = "Where is my order A-1001?"
    async with server.openai() as sdk:
        whole = await sdk.responses.create(model="support", input=question, metadata={"customer": "42"})
        async with sdk.responses.stream(model="support", input=question) as stream:
            async for _ in stream:
                pass
            streamed = await stream.get_final_response()
        later = await sdk.responses.retrieve(whole.id)
    Response.model_validate(whole.model_dump())
    assert "shipped" in whole.output_text
    assert [item.type for item in whole.output] == ["message"]
    assert streamed.output_text == whole.output_text
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    assert later.model_dump(exclude={"metadata"}) == whole.model_dump(exclude={"metadata"})
    assert later.metadata == {"customer": "42"}
    events = await events_of(server, model="support", input=question)
    assert [event["type"] for event in events if not event["type"].endswith(".delta")] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip


async def test_previous_response_id_goes_on_with_the_conversation(server: Server) -> None:
    """Each response knows what was said before it; without an id nothing is known, and a conversation has a name."""
    server.put_agent("echo", "sim/sim-echo")
    async with server.openai() as sdk:
        first = await sdk.responses.create(model="echo", input="first")
        second = await sdk.responses.create(model="echo", input="second", previous_response_id=first.id)
        third = await sdk.responses.create(model="echo", input="third", previous_response_id=second.id, stream=True)
        async for _ in third:
            pass
        await sdk.responses.create(model="echo", input="alone")
        named = await sdk.responses.create(model="echo", input="named", conversation="table-9")
        await sdk.chat.completions.create(
            model="echo", messages=[{"role": "user", "content": "also"}], extra_headers={"x-conversation-id": "table-9"}
        )
    said = [[message["content"] for message in body["messages"][1:]] for body in server.sent()]
    assert said == [
        ["first"], ["first", "first", "second"], ["first", "first", "second", "second", "third"], ["alone"], ["named"],
        ["named", "named", "also"],
    ]  # fmt: skip
    assert first.conversation is not None
    assert second.conversation == first.conversation
    assert second.previous_response_id == first.id
    assert named.conversation is not None
    assert named.conversation.id == "table-9"


async def test_only_ones_own_responses_are_there(server: Server) -> None:
    """An unknown id, another tenant's, a relayed call's: not to be continued, not to be shown."""
    foreign = await server.foreign_key()
    async with server.openai() as sdk, server.openai(foreign) as other:
        mine = await sdk.responses.create(model="support", input="Hi")
        relayed = await sdk.responses.create(model="sim/sim-text", input="Hi")
        for asker, known in ((sdk, "resp_run_0"), (sdk, relayed.id), (sdk, "nonsense"), (other, mine.id)):
            with pytest.raises(openai.NotFoundError):
                await asker.responses.retrieve(known)
        for known in ("resp_run_0", relayed.id, "nonsense"):
            with pytest.raises(openai.BadRequestError) as refused:
                await sdk.responses.create(model="support", input="Hi", previous_response_id=known)
            assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
        with pytest.raises(openai.BadRequestError) as both:
            await sdk.responses.create(model="support", input="Hi", previous_response_id=mine.id, conversation="c")
        assert both.value.param == "previous_response_id"
        server.put_agent("echo", "sim/sim-echo")
        with pytest.raises(openai.NotFoundError) as crossed:
            await sdk.responses.create(model="echo", input="Hi", previous_response_id=mine.id)
        assert "There is no conversation" in crossed.value.message
        assert "support" not in crossed.value.message


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [GET_ORDER]}, "tools"),
        ({"temperature": 0.1}, "temperature"),
        ({"max_output_tokens": 5}, "max_output_tokens"),
        ({"text": {"format": {"type": "json_object"}}}, "text"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"background": True}, "background"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input[0].type"),
        ({"input": ""}, "input"),
    ],
)
async def test_what_an_agent_cannot_honour_is_refused_by_name(
    server: Server, options: dict[str, Any], param: str
) -> None:
    """A parameter that would have no effect is a 400 naming it, never silently dropped."""
    async with server.openai() as sdk:
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.responses.create(**{"model": "support", "input": "Hi", **options})
    assert refused.value.param == param


async def test_a_cut_answer_of_an_agent_is_incomplete(server: Server) -> None:
    """An agent whose model broke off gives what it has as incomplete; one that has nothing fails, streamed or not."""
    server.put_agent("echo", "sim/sim-echo")
    server.script("sim-echo", text="one two three four five six", cut_after=3)
    async with server.openai() as sdk:
        partial = await sdk.responses.create(model="echo", input="Hi")
        assert partial.incomplete_details is not None
        assert (partial.status, partial.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        assert partial.output_text.startswith("one two")
        server.put_agent("broken", "sim/sim-text")
        server.script("sim-text", status=500)
        with pytest.raises(openai.InternalServerError) as failed:
            await sdk.responses.create(model="broken", input="Hi")
        assert failed.value.response.headers["x-should-retry"] == "false"
        run = failed.value.request_id
        later = await sdk.responses.retrieve(f"resp_{run}")
        assert later.error is not None
        assert (later.status, later.error.code, later.error.type) == ("failed", "server_error", "model.unavailable")
    server.put_agent("dead", "dead/gpt")
    events = await events_of(server, model="dead", input="Hi")
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["type"] == "model.unreachable"


async def test_a_run_that_goes_on_is_in_progress(server: Server) -> None:
    """A response asked for before its end says so with the text that is durable, and a cancelled one says that."""
    server.put_agent("echo", "sim/sim-echo")
    server.script("sim-echo", tokens=500, pace_ms=20.0)
    async with server.openai() as sdk, server.client() as http:
        stream = await sdk.responses.create(model="echo", input="Hi", stream=True)
        async for event in stream:
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.output_text.delta":
                break
        going = await sdk.responses.retrieve(response_id)
        assert (going.status, going.error) == ("in_progress", None)
        await (await http.post(f"/v1/runs/{response_id.removeprefix('resp_')}/cancel")).read()
        last = [event async for event in stream][-1]
        assert last.type == "response.failed"
        assert last.response.error is not None
        assert last.response.error.type == "cancelled"
        gone = await sdk.responses.retrieve(response_id)
        assert (gone.status, gone.output[0].status) == ("cancelled", "incomplete")  # type: ignore[union-attr]
        with pytest.raises(openai.BadRequestError) as again:
            await sdk.responses.retrieve(response_id, stream=True)
        assert again.value.param == "stream"


async def test_the_sdk_raises_its_own_classes(server: Server) -> None:
    """Wrong key, no right, unknown agent, unknown provider: each becomes the SDK's class with golive's code."""
    async with server.openai("gl_wrong") as sdk:
        with pytest.raises(openai.AuthenticationError) as denied:
            await sdk.responses.create(model="support", input="Hi")
        assert denied.value.code == "auth.required"
    viewer = (await server.keys.create("default", "v", "viewer", created_by="tests")).secret
    async with server.openai(viewer) as sdk:
        with pytest.raises(openai.PermissionDeniedError):
            await sdk.responses.create(model="support", input="Hi")
    async with server.openai() as sdk:
        for model in ("nobody", "nowhere/gpt"):
            with pytest.raises(openai.NotFoundError) as missing:
                await sdk.responses.create(model=model, input="Hi")
            assert missing.value.code == "not_found"
