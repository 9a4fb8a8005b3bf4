"""Our dialect of Gemini against the simulator's, which shares no code with it: over real sockets, through the plane."""

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
    ContentRefused,
    ModelAuthFailed,
    ModelBadRequest,
    ModelCut,
    ModelError,
    ModelMalformed,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
)
from golive.core.messages import Message, ToolCall, ToolSpec
from golive.models.call import (
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    StateReported,
    ToolCallDelta,
)
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.script import Script, ToolUse
from golive.sim.server import Simulator
from tests.contract.test_dialect import of_kind, text

KEY = "sim-key"
MODEL = "sim-echo"
LOOK = Script(reasoning="Let me look.", tool_calls=(ToolUse("look", {"n": 1}), ToolUse("look", {"n": 2})))
TOOLS = (ToolSpec("look", "Looks.", Raw(b'{"type":"object","properties":{"n":{"type":"integer"}}}')),)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(clock=SystemClock(), api_keys=(KEY,))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def plane(sim: Simulator) -> AsyncIterator[ModelPlane]:
    url = sim.base_url.removesuffix("/v1") + "/v1beta"
    given = {"dialect": "gemini", "base_url": url}
    config = GoliveConfig(
        providers={
            "sim": ProviderConfig.model_validate(given | {"api_key": "env:RIGHT"}),
            "wrong": ProviderConfig.model_validate(given | {"api_key": "env:WRONG"}),
        },
        prices={"*": PriceConfig(input_usd_per_mtok=1, output_usd_per_mtok=1)},
    )
    made = ModelPlane(config, {"env:RIGHT": KEY, "env:WRONG": "other"}.__getitem__, HttpTransport(), SystemClock())
    yield made
    await made.close()


async def ask(
    plane: ModelPlane, script: Script | None = None, *messages: Message, model: str = MODEL, **fields: Any
) -> list[ModelEvent]:
    """All events of one call; `script` is what the simulator does."""
    headers = () if script is None else (("x-sim-script", msgspec.json.encode(script).decode()),)
    said = messages or (Message("user", "Hello there, you."),)
    request = ModelRequest(messages=said, headers=headers, **fields)
    events: list[ModelEvent] = []
    provider = "" if "/" in model else "sim/"
    context = CallContext(Deadline.after(SystemClock(), 20.0, "test"))
    async with aclosing(plane.target(provider + model)(request, context)) as batches:
        async for batch in batches:
            events += batch
    return events


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_and_its_bill(plane: ModelPlane, sim: Simulator, stream: bool) -> None:
    """Text, thoughts and usage arrive, and what we count is what the provider bills."""
    script = Script(mode="echo", reasoning="I think so.", reasoning_tokens=5, cached_tokens=2)
    events = await ask(plane, script, stream=stream)
    assert text(events) == "Hello there, you."
    assert text(events, ReasoningDelta) == "I think so."
    assert of_kind(events, Finished) == [Finished("stop")]
    metered = of_kind(events, Metered)[0]
    assert metered.estimated is False
    assert metered.usage.reasoning_tokens > 5
    billed = sim.bill.lines[0]
    assert (metered.usage.input_tokens, metered.usage.cached_input_tokens, metered.usage.output_tokens) == (
        billed.input_tokens, 2, billed.output_tokens,
    )  # fmt: skip


async def test_a_models_name_with_odd_characters_arrives(plane: ModelPlane) -> None:
    """The script in the name, with its question mark and its spaces, is the model's name and no query."""
    events = await ask(plane, model="sim/sim-text?text=a b/c:d&tokens=3")
    assert text(events) == "a b/c:d"


async def called(plane: ModelPlane, stream: bool = True) -> Message:
    """An assistant's message with two calls, the first of them signed."""
    events = await ask(plane, LOOK, tools=TOOLS, stream=stream)
    states = {event.call: event.state for event in of_kind(events, StateReported)}
    assert list(states) == [0]
    assert of_kind(events, Finished) == [Finished("tool_calls")]
    return Message(
        "assistant",
        text(events),
        tool_calls=tuple(
            ToolCall(event.id, event.name, event.arguments, states.get(event.index))
            for event in of_kind(events, ToolCallDelta)
        ),
    )


def results(message: Message) -> tuple[Message, ...]:
    """The conversation behind the calls."""
    done = tuple(Message("tool", f"seen {call.arguments}", tool_call_id=call.id) for call in message.tool_calls)
    return (Message("user", "Look twice."), message, *done)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_turn_with_tools_carries_its_signature_back(plane: ModelPlane, stream: bool) -> None:
    """The simulator refuses a call without the signature that came with it, as Gemini 3 does; ours has it."""
    message = await called(plane, stream)
    assert [(call.name, call.arguments) for call in message.tool_calls] == [("look", '{"n":1}'), ("look", '{"n":2}')]
    events = await ask(plane, Script(text="Done."), *results(message), tools=TOOLS, stream=stream)
    assert text(events) == "Done."


async def test_what_another_provider_called_goes_with_the_documented_signature(plane: ModelPlane) -> None:
    """The state of another provider is left out, and the call passes all the same."""
    message = await called(plane)
    calls = tuple(
        ToolCall(call.id, call.name, call.arguments, call.state and msgspec.structs.replace(call.state, provider="old"))
        for call in message.tool_calls
    )
    events = await ask(plane, Script(text="Done."), *results(msgspec.structs.replace(message, tool_calls=calls)))
    assert text(events) == "Done."
    bare = [
        {"role": "user", "parts": [{"text": "Look."}]},
        {"role": "model", "parts": [{"functionCall": {"id": calls[0].id, "name": "look", "args": {"n": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": calls[0].id, "name": "look", "response": {}}}]},
    ]
    with pytest.raises(ModelBadRequest):  # without any signature, as a client may say it in Gemini's own words
        await ask(plane, dialect="gemini", extra={"contents": Raw(msgspec.json.encode(bare))})


@pytest.mark.parametrize(
    ("script", "error", "fields"),
    [
        (Script(status=429, retry_after=7), ModelRateLimited, {"retry_after_s": 7.0, "status": 429}),
        (Script(status=503), ModelUnavailable, {"vendor_code": "UNAVAILABLE"}),
        (Script(status=504), ModelTimeout, {"vendor_code": "DEADLINE_EXCEEDED"}),
        (Script(status=403), ModelAuthFailed, {"vendor_code": "PERMISSION_DENIED"}),
        (Script(status=400), ModelBadRequest, {"vendor_code": "INVALID_ARGUMENT"}),
        (Script(text="", finish_reason="prompt_blocked"), ContentRefused, {"vendor_code": "SAFETY"}),
        (Script(finish_reason="OTHER"), ModelCut, {"vendor_code": "OTHER"}),
        (Script(tool_calls=(ToolUse("look", "{"),)), ModelMalformed, {"vendor_code": "MALFORMED_FUNCTION_CALL"}),
        (Script(cut_after=3), ModelCut, {}),
        (Script(cut_after=3, cut="end"), ModelCut, {}),
        (Script(malformed="json"), ModelMalformed, {}),
        (Script(malformed="utf8"), ModelMalformed, {}),
        (Script(usage="nan"), ModelMalformed, {}),
        (Script(text="half", finish_reason="prompt_blocked"), ContentRefused, {"vendor_code": "SAFETY"}),
    ],
    ids=lambda value: "" if not isinstance(value, Script) else repr(msgspec.to_builtins(value)),
)
async def test_faults_are_the_errors_they_are(
    plane: ModelPlane, script: Script, error: type[ModelError], fields: dict[str, Any]
) -> None:
    """Refusals, blocks, cuts and broken bytes of the simulator are told apart."""
    with pytest.raises(ModelError) as caught:
        await ask(plane, script, tools=TOOLS)
    assert type(caught.value) is error
    assert {name: caught.value.fields[name] for name in fields} == fields


async def test_a_wrong_key_is_an_auth_error(plane: ModelPlane) -> None:
    """It comes as 400, and its reason tells."""
    with pytest.raises(ModelAuthFailed) as caught:
        await ask(plane, model="wrong/sim-echo")
    assert (caught.value.status, caught.value.fields["vendor_code"]) == (400, "API_KEY_INVALID")


async def test_a_filtered_answer_and_a_long_one(plane: ModelPlane) -> None:
    """finishReason SAFETY and MAX_TOKENS."""
    assert of_kind(await ask(plane, Script(refusal="No.")), Finished) == [Finished("content_filter")]
    assert of_kind(await ask(plane, Script(tokens=30), max_output_tokens=5), Finished) == [Finished("length")]


async def test_the_body_in_pieces_says_the_same(plane: ModelPlane) -> None:
    """A write every 7 bytes, inside characters and line ends."""
    events = await ask(plane, Script(text="Grüß dich 👋, wie geht es?", bytes_per_write=7))
    assert text(events) == "Grüß dich 👋, wie geht es?"


async def test_twice_and_negative_usage(plane: ModelPlane) -> None:
    """A usage that comes twice counts once; a negative one is none, and the bound stands in."""
    once = of_kind(await ask(plane, Script(mode="echo")), Metered)[0]
    twice = of_kind(await ask(plane, Script(mode="echo", usage="twice")), Metered)[0]
    assert (twice.usage, twice.estimated) == (once.usage, False)
    assert of_kind(await ask(plane, Script(mode="echo", usage="negative")), Metered)[0].estimated is True


async def test_the_probe_finds_it_up(plane: ModelPlane) -> None:
    """GET /models under the provider's address."""
    states = {found.name: found.state for found in await plane.health()}
    assert states["sim"] == "up"
