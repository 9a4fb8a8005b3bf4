"""Our dialect of Responses against the simulator's, which shares no code with it: over real sockets."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import (
    ContextTooLong,
    GoliveError,
    ModelAuthFailed,
    ModelBadRequest,
    ModelCut,
    ModelMalformed,
    ModelRateLimited,
    ModelUnavailable,
)
from golive.core.messages import Message, Opaque, TextPart, ToolCall, ToolSpec, Usage
from golive.models.call import (
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    ModelRequest,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    StateReported,
    TextDelta,
)
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.script import Script, ToolUse
from golive.sim.server import Simulator
from tests.contract.test_dialect import calls, of_kind, text

KEY = "sk-live-0123456789abcdef"
CLOCK = SystemClock()
LOOK = Script(reasoning="Let me look.", tool_calls=(ToolUse("look", {"n": 1}), ToolUse("look", {"n": "é"})))
TOOLS = (ToolSpec("look", "Looks.", Raw(b'{"type":"object","properties":{"n":{"type":"integer"}}}')),)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(clock=CLOCK, api_keys=(KEY,))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def plane(sim: Simulator) -> AsyncIterator[ModelPlane]:
    given = {"dialect": "openai-responses", "base_url": sim.base_url}
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


async def ask(
    plane: ModelPlane, script: Script | str = "{}", *messages: Message, ref: str = "sim/sim-text", **fields: Any
) -> tuple[list[ModelEvent], GoliveError | None]:
    """Events and error of one call; `script` is what the simulator does."""
    told = script if isinstance(script, str) else msgspec.json.encode(script).decode()
    said = messages or (Message("system", "Be brief."), Message("user", "How are you?"))
    request = ModelRequest(messages=said, headers=(("x-sim-script", told),), **fields)
    events: list[ModelEvent] = []
    try:
        async with aclosing(plane.target(ref)(request, CallContext(Deadline.after(CLOCK, 20.0, "test")))) as batches:
            async for batch in batches:
                events += batch
    except GoliveError as error:
        return events, error
    return events, None


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_its_usage_and_its_price(plane: ModelPlane, sim: Simulator, stream: bool) -> None:
    """Text, thoughts and usage arrive, and what is metered is what the provider bills, to the micro-dollar."""
    script = Script(text="Fine, thank you 👋.", reasoning="hm", reasoning_tokens=5, cached_tokens=2)
    events, error = await ask(plane, script, stream=stream, reasoning_effort="low")
    assert error is None
    assert (text(events), text(events, ReasoningDelta)) == ("Fine, thank you 👋.", "hm")
    assert of_kind(events, Finished) == [Finished("stop")]
    opened = of_kind(events, Opened)
    assert [(one.response_id[:5], one.response_model) for one in opened] == [("resp_", "sim-text")]
    metered = events[-1]
    assert isinstance(metered, Metered)
    line = sim.bill.lines[-1]
    usage = metered.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, metered.cost_microusd) == (
        line.input_tokens, 2, line.output_tokens, line.cost_microusd,
    )  # fmt: skip
    assert usage.reasoning_tokens > 5
    assert not metered.estimated


@pytest.mark.parametrize("size", [1, 7])
async def test_split_bytes_and_characters_change_nothing(plane: ModelPlane, size: int) -> None:
    """Events cut anywhere on a real socket."""
    events, error = await ask(plane, f'{{"text":"Grüße 👋 你好","bytes_per_write":{size}}}')
    assert error is None
    assert text(events) == "Grüße 👋 你好"


async def called(plane: ModelPlane, script: Script, *, stream: bool = True) -> Message:
    """The assistant's message with its calls and state, as a run puts it together."""
    events, error = await ask(plane, script, tools=TOOLS, stream=stream, reasoning_effort="low")
    assert error is None
    assert of_kind(events, Finished) == [Finished("tool_calls")]
    made = tuple(ToolCall(str(each[0]), str(each[1]), each[2]) for each in calls(events).values())
    states: tuple[Opaque, ...] = tuple(event.state for event in of_kind(events, StateReported))
    return Message("assistant", text(events), tool_calls=made, state=states)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("said", [None, "I look."])
async def test_a_turn_with_tools_carries_its_reasoning_back(plane: ModelPlane, stream: bool, said: str | None) -> None:
    """The seal comes back as it was given, at the place the vendor demands; calls and results find each other."""
    message = await called(plane, msgspec.structs.replace(LOOK, text=said), stream=stream)
    assert [(call.name, call.arguments) for call in message.tool_calls] == [("look", '{"n":1}'), ("look", '{"n":"é"}')]
    assert [(state.provider, state.before) for state in message.state] == [("sim", 0)]
    results = tuple(Message("tool", f"seen {call.arguments}", tool_call_id=call.id) for call in message.tool_calls)
    events, error = await ask(plane, Script(text="Done."), Message("user", "Look."), message, *results, stream=stream)
    assert error is None
    assert text(events) == "Done."


async def test_reasoning_that_was_tampered_with_is_refused(plane: ModelPlane) -> None:
    """The simulator does look at it, so that the test above means something."""
    message = await called(plane, LOOK)
    broken = Raw(bytes(message.state[0].data).replace(b'"encrypted_content":"', b'"encrypted_content":"x'))
    message = msgspec.structs.replace(message, state=(msgspec.structs.replace(message.state[0], data=broken),))
    results = tuple(Message("tool", "seen", tool_call_id=call.id) for call in message.tool_calls)
    _, error = await ask(plane, Script(text="Done."), Message("user", "Look."), message, *results)
    assert type(error) is ModelBadRequest
    assert error.fields["vendor_code"] == "invalid_encrypted_content"


async def test_another_providers_state_stays_away(plane: ModelPlane) -> None:
    """After a change of provider the conversation goes on without it."""
    message = await called(plane, LOOK)
    states = tuple(msgspec.structs.replace(state, provider="old") for state in message.state)
    theirs = tuple(msgspec.structs.replace(call, id=f"toolu_{call.arguments}") for call in message.tool_calls)
    message = msgspec.structs.replace(message, state=states, tool_calls=theirs)
    results = tuple(Message("tool", "seen", tool_call_id=call.id) for call in theirs)
    events, error = await ask(plane, Script(text="Done."), Message("user", "Look."), message, *results)
    assert (error, text(events)) == (None, "Done.")


async def test_structured_output_tools_and_choices_are_understood(plane: ModelPlane) -> None:
    """What is flat on this wire is accepted by a vendor that checks it."""
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    inner = {"name": "a", "strict": True, "schema": schema | {"additionalProperties": False}}
    wanted = Raw(msgspec.json.encode({"type": "json_schema", "json_schema": inner}))
    events, error = await ask(plane, output_schema=wanted, max_output_tokens=64, temperature=0.5, top_p=0.9)
    assert error is None
    assert isinstance(msgspec.json.decode(text(events))["q"], str)
    forced = Raw(b'{"type":"function","function":{"name":"look"}}')
    events, error = await ask(plane, '{"mode":"tools"}', tools=TOOLS, tool_choice=forced, parallel_tool_calls=False)
    assert error is None
    assert [each[1] for each in calls(events).values()] == ["look"]


async def test_a_refusal_and_a_limit(plane: ModelPlane) -> None:
    """Refused in its own words; cut at the token limit, and by the filter."""
    events, _ = await ask(plane, '{"refusal":"I cannot."}')
    assert (text(events, RefusalDelta), text(events)) == ("I cannot.", "")
    for stream in (True, False):
        events, error = await ask(plane, '{"tokens":40}', max_output_tokens=16, stream=stream)
        assert (error, of_kind(events, Finished)) == (None, [Finished("length")])
    events, error = await ask(plane, '{"finish_reason":"content_filter"}')
    assert (error, of_kind(events, Finished)) == (None, [Finished("content_filter")])


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ModelBadRequest), (413, ContextTooLong), (429, ModelRateLimited), (500, ModelUnavailable)],
)
async def test_refused_requests(plane: ModelPlane, status: int, kind: type) -> None:
    """Each status as what it is, with the vendor's request id."""
    _, error = await ask(plane, f'{{"status":{status},"retry_after":7}}')
    assert type(error) is kind
    assert error.fields["request_id"]


async def test_a_wrong_credential(plane: ModelPlane) -> None:
    assert type((await ask(plane, ref="wrong/sim-text"))[1]) is ModelAuthFailed


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


async def test_an_error_in_the_middle(plane: ModelPlane) -> None:
    """`response.failed` behind some text."""
    events, error = await ask(plane, '{"cut_after":3,"cut":"error"}')
    assert type(error) is ModelUnavailable
    assert len(of_kind(events, TextDelta)) == 3


@pytest.mark.parametrize("kind", ["json", "utf8"])
async def test_a_malformed_stream(plane: ModelPlane, kind: str) -> None:
    """Broken JSON and invalid UTF-8 end the answer with an error."""
    assert type((await ask(plane, f'{{"malformed":"{kind}","malformed_after":2}}'))[1]) is ModelMalformed


@pytest.mark.parametrize("stream", [True, False])
async def test_missing_usage_is_never_free(plane: ModelPlane, sim: Simulator, stream: bool) -> None:
    """The bound stands in, and lies above the provider's bill."""
    events, error = await ask(plane, '{"usage":"missing"}', stream=stream)
    assert error is None
    metered = events[-1]
    assert isinstance(metered, Metered)
    assert metered.usage != Usage()
    assert (metered.estimated, metered.cost_microusd >= sim.bill.cost_microusd > 0) == (True, True)


async def test_parts_of_an_assistant_are_accepted(plane: ModelPlane) -> None:
    """What the model said in parts goes back as its output."""
    before = Message("assistant", (TextPart("One."), TextPart("Two.")))
    events, error = await ask(plane, Script(text="Three."), Message("user", "Count."), before, Message("user", "On."))
    assert (error, text(events)) == (None, "Three.")


async def test_a_probe_finds_it_up(plane: ModelPlane) -> None:
    """Health asks for the list of models."""
    assert {one.name: one.state for one in await plane.health()} == {"sim": "up", "wrong": "down"}
