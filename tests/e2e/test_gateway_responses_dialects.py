"""/v1/responses before providers of every dialect: state that comes back, and what one of its own dialect is sent."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from golive.config.schema import ProviderConfig
from golive.sim.script import ToolUse
from golive.store.ports import RunFilter, RunView
from tests.e2e.gateway_kit import Server, serving
from tests.e2e.test_gateway_responses import GET_ORDER, events_of

CALLS = (ToolUse("get_order", {"order_id": "A-1"}), ToolUse("get_order", {"order_id": "é"}))
ROUND: Any = {"input": [{"role": "user", "content": "Where are they?"}], "tools": [GET_ORDER]}


def _simulated(base_url: str) -> dict[str, ProviderConfig]:
    """The simulator once more, under each of its dialects."""
    return {
        "claude": ProviderConfig(base_url=base_url, dialect="anthropic"),
        "gemini": ProviderConfig(base_url=f"{base_url}beta", dialect="gemini"),
        "openai": ProviderConfig(base_url=base_url, dialect="openai-responses"),
    }


async def _runs(server: Server) -> list[RunView]:
    return await server.store.tenant("default").runs(RunFilter())


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, providers=_simulated) as running:
        yield running


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    """A gateway, and a second one that it asks for responses as a provider of the same dialect."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "outer").mkdir()
    async with serving(tmp_path / "inner", providers=_simulated) as inner:
        peer = ProviderConfig(base_url=f"{inner.url}/v1", dialect="openai-responses")
        peer = peer.model_copy(update={"api_key": inner.admin})
        async with serving(tmp_path / "outer", providers=lambda base_url: {"peer": peer}) as outer:
            yield outer, inner


@pytest.mark.parametrize("provider", ["sim", "claude", "gemini", "openai"])
async def test_every_dialect_answers_alike(server: Server, provider: str) -> None:
    """The same request is answered with the same text, reasoning and end, whole and streamed, whoever is asked."""
    server.script("sim-text", text="one two three", reasoning="hmm well", cached_tokens=2)
    ask: Any = {"model": f"{provider}/sim-text", "input": "Hi", "instructions": "Be brief.", "max_output_tokens": 4_000}
    async with server.openai() as sdk:
        whole = await sdk.responses.create(**ask, reasoning={"effort": "low"})
    events = await events_of(server, **ask, reasoning={"effort": "low"})
    streamed = openai.types.responses.Response.model_validate(events[-1]["response"])
    for answer in (whole, streamed):
        assert (answer.output_text, answer.status) == ("one two three", "completed")
        assert [item.type for item in answer.output[:2]] == ["reasoning", "message"]
        assert answer.output[0].summary[0].text == "hmm well"  # type: ignore[union-attr]
        assert answer.usage is not None
        assert answer.usage.input_tokens > 0
        assert answer.usage.output_tokens > 0
    assert whole.usage == streamed.usage


@pytest.mark.parametrize("provider", ["sim", "claude", "gemini", "openai"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_round_of_tools_carries_the_providers_state(server: Server, provider: str, stream: bool) -> None:
    """What a provider signed and demands back comes back to it through the client's own items, calls and all."""
    server.script("sim-text", mode="tools", tool_calls=CALLS, reasoning="Look them up.")
    model = f"{provider}/sim-text"
    ask: Any = {"model": model, "tools": [GET_ORDER], "reasoning": {"effort": "low"}, "max_output_tokens": 4_000}
    async with server.openai() as sdk:
        if stream:
            async with sdk.responses.stream(**ask, input=ROUND["input"]) as streamed:
                async for _ in streamed:
                    pass
                first: Any = await streamed.get_final_response()
        else:
            first = await sdk.responses.create(**ask, input=ROUND["input"])
        calls: list[Any] = [item for item in first.output if item.type == "function_call"]
        assert [msgspec.json.decode(call.arguments) for call in calls] == [{"order_id": "A-1"}, {"order_id": "é"}]
        outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "shipped"} for call in calls]
        server.script("sim-text", text="Both are on their way.")
        said: list[Any] = [*ROUND["input"], *[item.to_dict() for item in first.output], *outputs]
        second = await sdk.responses.create(**ask, input=said)
        assert second.output_text == "Both are on their way."
        if provider == "gemini":
            wire = str(server.sent()[-1]["contents"])
            assert "thoughtSignature" in wire
            assert "skip_thought_signature" not in wire  # what stands in where the client brought none
        if provider == "claude":
            bare = [item for item in said if item.get("type") != "reasoning"]
            with pytest.raises(openai.BadRequestError):  # as the vendor does: this state was wanted
                await sdk.responses.create(**ask, input=bare)
        elsewhere = await sdk.responses.create(**{**ask, "model": "sim/sim-text"}, input=said)
        assert elsewhere.output_text == "Both are on their way."


async def test_a_provider_of_the_same_dialect_is_sent_what_the_client_wrote(pair: tuple[Server, Server]) -> None:
    """Whatever the field, known to golive or not, it reaches such a provider; the answer's id is the provider's."""
    outer, inner = pair
    async with outer.openai() as sdk:
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.responses.create(model="peer/sim/sim-text", input="Hi", extra_body={"vendor_thing": {"deep": 1}})
        assert "vendor_thing cannot be honoured" in refused.value.message  # says the provider
        with pytest.raises(openai.BadRequestError) as hosted:
            await sdk.responses.create(model="peer/sim/sim-text", input="Hi", tools=[{"type": "web_search"}])
        assert "tools[0].type is 'web_search'" in hosted.value.message
        assert [run.outcome for run in await _runs(outer)] == ["failed", "failed"]
        answer = await sdk.responses.create(
            model="peer/sim/sim-text", input=[{"role": "user", "content": "Hi"}], temperature=0.5, user="u-1",
            text={"verbosity": "low"}, reasoning={"effort": "low"},
        )  # fmt: skip
    sent = inner.sent()[-1]
    assert (sent["temperature"], sent["reasoning_effort"]) == (0.5, "low")
    assert answer.id == f"resp_{(await _runs(inner))[0].run}"
    assert answer.id != f"resp_{answer._request_id}"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chain_of_calls_goes_through_to_a_provider_of_the_dialect(server: Server, *, stream: bool) -> None:
    """The provider stores what it answers, and the second call sends nothing but what is new."""
    async with server.openai() as sdk:
        first = await sdk.responses.create(model="openai/sim-echo", input="one two three four")
        ask: Any = {"model": "openai/sim-echo", "input": "five", "previous_response_id": first.id}
        alone = await sdk.responses.create(model="openai/sim-echo", input="five")
        if stream:
            events = await events_of(server, **ask)
            second = openai.types.responses.Response.model_validate(events[-1]["response"])
        else:
            second = await sdk.responses.create(**ask)
    assert (second.status, second.output_text) == ("completed", "five")
    assert second.usage is not None
    assert alone.usage is not None
    assert second.usage.input_tokens > alone.usage.input_tokens
    assert server.sent()[-1]["input"] == "five"
    assert server.sent()[-1]["previous_response_id"] == first.id


async def test_previous_response_id_is_the_providers_affair(pair: tuple[Server, Server]) -> None:
    """A provider that keeps its responses goes on from them, with the ids that it gave out itself."""
    outer, inner = pair
    inner.put_agent("echo", "sim/sim-echo")
    async with outer.openai() as sdk:
        first = await sdk.responses.create(model="peer/echo", input="first")
        second = await sdk.responses.create(model="peer/echo", input="second", previous_response_id=first.id)
        with pytest.raises(openai.BadRequestError) as unknown:
            await sdk.responses.create(model="peer/echo", input="third", previous_response_id="resp_run_0")
    assert unknown.value.code == "previous_response_not_found"
    assert second.model_dump()["store"] is True
    assert [said["content"] for said in inner.sent()[-1]["messages"][1:]] == ["first", "first", "second"]


@pytest.mark.parametrize("provider", ["sim", "claude", "gemini", "openai"])
async def test_state_comes_back_through_two_gateways(pair: tuple[Server, Server], provider: str) -> None:
    """The seal of one gateway inside that of another is opened by each in turn."""
    outer, inner = pair
    inner.script("sim-text", mode="tools", tool_calls=CALLS, reasoning="Look them up.")
    ask: Any = {
        "model": f"peer/{provider}/sim-text", "tools": [GET_ORDER], "reasoning": {"effort": "low"},
        "max_output_tokens": 4_000,
    }  # fmt: skip
    async with outer.openai() as sdk:
        first = await sdk.responses.create(**ask, input=ROUND["input"])
        calls: list[Any] = [item for item in first.output if item.type == "function_call"]
        assert [call.name for call in calls] == ["get_order", "get_order"]
        outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "shipped"} for call in calls]
        inner.script("sim-text", text="Both are on their way.")
        said: list[Any] = [*ROUND["input"], *[item.to_dict() for item in first.output], *outputs]
        second = await sdk.responses.create(**ask, input=said)
        assert second.output_text == "Both are on their way."
