"""What no provider should answer, in every dialect: each has a class of failure, and the next target answers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Raw

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig, TierConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import ModelError
from golive.core.messages import Message, ToolSpec
from golive.models.call import AttemptFailed, CallContext, Finished, Metered, ModelRequest, ToolCallDelta
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.script import Script, ToolUse
from golive.sim.server import Simulator
from tests.unit.chain_kit import seen

CLOCK = SystemClock()
DIALECTS = ("openai-chat", "openai-responses", "anthropic", "gemini")
FAILS: dict[str, dict[str, Any]] = {
    "a page": {"garbage": "html"}, "a page with 502": {"garbage": "html", "status": 502}, "gzip": {"garbage": "gzip"},
    "endless header": {"garbage": "headers"}, "broken JSON": {"malformed": "json", "malformed_after": 0},
    "broken UTF-8": {"malformed": "utf8", "malformed_after": 0}, "cut": {"cut_after": 0, "cut": "end"},
    "reset": {"refuse": True}, "overloaded": {"status": 529},
}  # fmt: skip
PASSES: dict[str, dict[str, Any]] = {
    "two usages": {"usage": "twice"}, "no usage": {"usage": "missing"}, "negative usage": {"usage": "negative"},
    "an unknown event": {"unknown_event": True}, "byte by byte": {"bytes_per_write": 1},
}  # fmt: skip


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(clock=CLOCK)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture(params=DIALECTS)
async def plane(request: pytest.FixtureRequest, sim: Simulator) -> AsyncIterator[ModelPlane]:
    base_url = sim.base_url.removesuffix("/v1") + ("/v1beta" if request.param == "gemini" else "/v1")
    config = GoliveConfig(
        providers={
            "p": ProviderConfig(base_url=base_url, dialect=request.param, first_token_s=2, between_tokens_s=2),
            "good": ProviderConfig(base_url=sim.base_url),
        },
        prices={"*": PriceConfig(input_usd_per_mtok=1, output_usd_per_mtok=4)},
    )
    made = ModelPlane(config, lambda reference: "", HttpTransport(), CLOCK)
    yield made
    await made.close()


async def ask(plane: ModelPlane, **request: Any) -> list[Any]:
    call = plane.chain(TierConfig(chain=("p/sim-bad", "good/sim-good"), retries=0))
    asked = ModelRequest(messages=(Message("user", "Hi"),), **request)
    ctx = CallContext(Deadline.after(CLOCK, 20.0, "test"))
    return [event async for batch in call(asked, ctx) for event in batch]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("how", FAILS)
async def test_what_is_no_answer_sends_the_call_elsewhere(
    plane: ModelPlane, sim: Simulator, how: str, stream: bool
) -> None:
    sim.scripts.install("sim-bad", Script(text="Never seen.", **FAILS[how]))
    sim.scripts.install("sim-good", Script(text="I am well."))
    events = await ask(plane, stream=stream)
    (failed,) = [event for event in events if isinstance(event, AttemptFailed)]
    assert isinstance(failed.error, ModelError)
    assert failed.error.code != "model.failed", "it has a class of its own"
    assert seen(events) == "I am well."


@pytest.mark.parametrize("how", PASSES)
async def test_what_is_odd_is_an_answer_all_the_same(plane: ModelPlane, sim: Simulator, how: str) -> None:
    sim.scripts.install("sim-bad", Script(text="Odd, and well.", **PASSES[how]))
    events = await ask(plane)
    assert (seen(events), [event for event in events if isinstance(event, AttemptFailed)]) == ("Odd, and well.", [])
    metered = next(event for event in events if isinstance(event, Metered))
    assert metered.usage.input_tokens > 0
    assert metered.cost_microusd > 0
    assert metered.estimated == (how in ("no usage", "negative usage"))


async def test_ids_given_twice_are_two_calls(plane: ModelPlane, sim: Simulator) -> None:
    schema = Raw(b'{"type":"object","properties":{}}')
    uses = (ToolUse(name="one"), ToolUse(name="two"))
    sim.scripts.install("sim-bad", Script(tool_calls=uses, duplicate_ids=True))
    events = await ask(plane, tools=(ToolSpec("one", "First.", schema), ToolSpec("two", "Second.", schema)))
    calls = {event.index: event.name for event in events if isinstance(event, ToolCallDelta) and event.name}
    assert sorted(name for name in calls.values() if name) == ["one", "two"]
    assert [event.reason for event in events if isinstance(event, Finished)] == ["tool_calls"]


async def test_ten_megabytes_of_one_token(plane: ModelPlane, sim: Simulator) -> None:
    """An answer, or a failure of a class: never a crash, never half of it as whole."""
    sim.scripts.install("sim-bad", Script(token_bytes=10_000_000))
    sim.scripts.install("sim-good", Script(text="I am well."))
    events = await ask(plane)
    failed = [event.error.code for event in events if isinstance(event, AttemptFailed)]  # type: ignore[attr-defined]
    assert (len(seen(events)), failed) in ((10_000_000, []), (len("I am well."), ["model.malformed"]))
