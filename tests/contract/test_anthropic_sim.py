"""Our dialect of Anthropic Messages against the simulator's, which shares no code with it: over real sockets."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from msgspec import Raw

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig
from golive.core.clock import SystemClock
from golive.core.errors import (
    ContextTooLong,
    ModelAuthFailed,
    ModelBadRequest,
    ModelCut,
    ModelMalformed,
    ModelRateLimited,
    ModelUnavailable,
)
from golive.core.messages import Message, ToolCall
from golive.models.call import Finished, Metered, Opened, ReasoningDelta, StateReported, TextDelta
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.script import Script
from golive.sim.server import Simulator
from tests.contract.test_dialect import calls, of_kind, text
from tests.contract.test_responses_sim import KEY, LOOK, TOOLS, ask

CLOCK = SystemClock()


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(clock=CLOCK, api_keys=(KEY,))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def plane(sim: Simulator) -> AsyncIterator[ModelPlane]:
    given = {"dialect": "anthropic", "base_url": sim.base_url}
    config = GoliveConfig(
        providers={
            "sim": ProviderConfig.model_validate(given | {"api_key": "env:RIGHT"}),
            "wrong": ProviderConfig.model_validate(given | {"api_key": "env:WRONG"}),
        },
        prices={"*": PriceConfig(input_usd_per_mtok=1, output_usd_per_mtok=4, cached_input_usd_per_mtok=0.25)},
    )
    made = ModelPlane(config, {"env:RIGHT": KEY, "env:WRONG": "other"}.__getitem__, HttpTransport(), CLOCK)
    yield made
    await made.close()


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_its_usage_and_its_price(plane: ModelPlane, sim: Simulator, stream: bool) -> None:
    """Text, thoughts and usage arrive; input and output are what the provider bills."""
    script = Script(text="Fine, thank you 👋.", reasoning="hm", reasoning_tokens=5, cached_tokens=2)
    events, error = await ask(plane, script, stream=stream)
    assert error is None
    assert (text(events), text(events, ReasoningDelta)) == ("Fine, thank you 👋.", "hm")
    assert of_kind(events, Finished) == [Finished("stop")]
    assert [(one.response_id[:4], one.response_model) for one in of_kind(events, Opened)] == [("msg_", "sim-text")]
    metered = events[-1]
    assert isinstance(metered, Metered)
    line = sim.bill.lines[-1]
    usage = metered.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens) == (
        line.input_tokens, 2, line.output_tokens,
    )  # fmt: skip
    assert not metered.estimated


@pytest.mark.parametrize("size", [1, 7])
async def test_split_bytes_and_characters_change_nothing(plane: ModelPlane, size: int) -> None:
    """Events cut anywhere on a real socket."""
    events, error = await ask(plane, f'{{"text":"Grüße 👋 你好","bytes_per_write":{size}}}')
    assert (error, text(events)) == (None, "Grüße 👋 你好")


async def called(plane: ModelPlane, *, stream: bool = True) -> Message:
    """The assistant's message with its calls and state, as a run puts it together."""
    events, error = await ask(plane, LOOK, tools=TOOLS, stream=stream)
    assert error is None
    assert of_kind(events, Finished) == [Finished("tool_calls")]
    made = tuple(ToolCall(str(each[0]), str(each[1]), each[2]) for each in calls(events).values())
    states = tuple(event.state for event in of_kind(events, StateReported))
    return Message("assistant", text(events), tool_calls=made, state=states)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_turn_with_tools_carries_its_thoughts_back(plane: ModelPlane, stream: bool) -> None:
    """Signed as they came, before the calls; calls and results find each other."""
    message = await called(plane, stream=stream)
    assert [(call.name, msgspec.json.decode(call.arguments)) for call in message.tool_calls] == [
        ("look", {"n": 1}), ("look", {"n": "é"}),
    ]  # fmt: skip
    assert [(state.provider, state.before) for state in message.state] == [("sim", 0)]
    results = [Message("tool", f"seen {call.arguments}", tool_call_id=call.id) for call in message.tool_calls]
    events, error = await ask(plane, Script(text="Done."), Message("user", "Look."), message, *results, tools=TOOLS)
    assert (error, text(events)) == (None, "Done.")


async def test_thoughts_that_were_tampered_with_are_refused(plane: ModelPlane) -> None:
    """The simulator does look at them, so that the test above means something."""
    message = await called(plane)
    results = [Message("tool", "seen", tool_call_id=call.id) for call in message.tool_calls]
    block = msgspec.json.decode(message.state[0].data)
    broken = Raw(msgspec.json.encode(block | {"signature": "x" + block["signature"]}))
    message = msgspec.structs.replace(message, state=(msgspec.structs.replace(message.state[0], data=broken),))
    _, error = await ask(plane, Script(text="Done."), Message("user", "Look."), message, *results, tools=TOOLS)
    assert type(error) is ModelBadRequest


async def test_another_providers_state_stays_away(plane: ModelPlane) -> None:
    """After a change of provider the conversation goes on without it, in the middle of a round of tools."""
    message = await called(plane)
    states = tuple(msgspec.structs.replace(state, provider="old") for state in message.state)
    theirs = tuple(msgspec.structs.replace(call, id=f"f:{number}") for number, call in enumerate(message.tool_calls))
    message = msgspec.structs.replace(message, state=states, tool_calls=theirs)
    results = [Message("tool", "seen", tool_call_id=call.id) for call in theirs]
    events, error = await ask(
        plane, Script(text="Done."), Message("user", "Look."), message, *results, tools=TOOLS, reasoning_effort="high"
    )
    assert (error, text(events)) == (None, "Done.")


async def test_structured_output_and_a_forced_tool(plane: ModelPlane) -> None:
    """A vendor that checks the request takes it."""
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    wanted = Raw(msgspec.json.encode({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}))
    events, error = await ask(plane, output_schema=wanted, max_output_tokens=64)
    assert error is None
    assert isinstance(msgspec.json.decode(text(events))["q"], str)
    forced = Raw(b'{"type":"function","function":{"name":"look"}}')
    events, error = await ask(plane, '{"mode":"tools"}', tools=TOOLS, tool_choice=forced, parallel_tool_calls=False)
    assert error is None
    assert [each[1] for each in calls(events).values()] == ["look"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_limit_and_a_refusal(plane: ModelPlane, stream: bool) -> None:
    """Cut at the token limit, and by the filter."""
    events, error = await ask(plane, '{"tokens":40}', max_output_tokens=16, stream=stream)
    assert (error, of_kind(events, Finished)) == (None, [Finished("length")])
    events, error = await ask(plane, '{"finish_reason":"content_filter"}', stream=stream)
    assert (error, of_kind(events, Finished)) == (None, [Finished("content_filter")])


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ModelBadRequest), (413, ContextTooLong), (429, ModelRateLimited), (529, ModelUnavailable)],
)
async def test_refused_requests(plane: ModelPlane, status: int, kind: type) -> None:
    """Each status as what it is, with the vendor's request id."""
    _, error = await ask(plane, f'{{"status":{status},"retry_after":7}}')
    assert type(error) is kind
    assert error.fields["request_id"]


@pytest.mark.parametrize("cut", ["close", "reset", "end"])
async def test_a_cut_stream_is_billed_at_its_bound(plane: ModelPlane, sim: Simulator, cut: str) -> None:
    """What came stays, no end is made up, and what was used is settled at or above the provider's own bill."""
    events, error = await ask(plane, f'{{"cut_after":3,"cut":"{cut}","pace_ms":1}}')
    assert type(error) is ModelCut
    assert len(of_kind(events, TextDelta)) == 3
    assert of_kind(events, Finished) == []
    metered = events[-1]
    assert isinstance(metered, Metered)
    assert metered.estimated
    assert metered.cost_microusd >= sim.bill.cost_microusd > 0


async def test_an_error_in_the_middle_and_nonsense(plane: ModelPlane) -> None:
    """An error event behind some text; broken JSON and invalid UTF-8."""
    events, error = await ask(plane, '{"cut_after":3,"cut":"error"}')
    assert type(error) is ModelUnavailable
    assert len(of_kind(events, TextDelta)) == 3
    for kind in ("json", "utf8"):
        assert type((await ask(plane, f'{{"malformed":"{kind}","malformed_after":2}}'))[1]) is ModelMalformed


@pytest.mark.parametrize("stream", [True, False])
async def test_missing_usage_is_never_free(plane: ModelPlane, sim: Simulator, stream: bool) -> None:
    """The bound stands in, and lies above the provider's bill."""
    events, error = await ask(plane, '{"usage":"missing"}', stream=stream)
    assert error is None
    metered = events[-1]
    assert isinstance(metered, Metered)
    assert (metered.estimated, metered.cost_microusd >= sim.bill.cost_microusd > 0) == (True, True)


async def test_credentials(plane: ModelPlane) -> None:
    """The right one is accepted by the list of models, too; the wrong one nowhere."""
    assert type((await ask(plane, ref="wrong/sim-text"))[1]) is ModelAuthFailed
    assert {one.name: one.state for one in await plane.health()} == {"sim": "up", "wrong": "down"}
