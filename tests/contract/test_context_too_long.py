"""A context that is too long, in every vendor's own words: the call goes to `chain_context_too_long`."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig, TierConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import ContextTooLong
from golive.core.messages import Message
from golive.models.call import AttemptFailed, AttemptStarted, CallContext, ModelRequest
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.script import Script
from golive.sim.server import Simulator
from tests.unit.chain_kit import seen

CLOCK = SystemClock()
VLLM = (
    "You passed 9 input tokens and requested 10 output tokens. However, the model's context length is only 5 tokens, "
    "resulting in a maximum input length of 4 tokens."
)
SAID: dict[str, tuple[str, Script, str]] = {
    "anthropic": ("anthropic", Script(max_context=1), "prompt is too long: "),
    "anthropic in bytes": ("anthropic", Script(status=413), "Request exceeds the maximum size"),
    "gemini": ("gemini", Script(max_context=1), "The input token count ("),
    "openai-chat": ("openai-chat", Script(max_context=1), "This model's maximum context length is 1 tokens."),
    "openai-responses": ("openai-responses", Script(max_context=1), "This model's maximum context length is 1 tokens."),
    "vllm": ("openai-chat", Script(status=400, error_message=VLLM, error_type="BadRequestError"), VLLM),
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(clock=CLOCK)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def plane(sim: Simulator) -> AsyncIterator[ModelPlane]:
    def provider(dialect: Any) -> ProviderConfig:
        version = "/v1beta" if dialect == "gemini" else "/v1"
        return ProviderConfig(base_url=sim.base_url.removesuffix("/v1") + version, dialect=dialect)

    dialects = {dialect for dialect, _, _ in SAID.values()}
    providers = {dialect: provider(dialect) for dialect in dialects} | {"large": provider("openai-chat")}
    config = GoliveConfig(providers=providers, prices={"*": PriceConfig(input_usd_per_mtok=1, output_usd_per_mtok=4)})
    made = ModelPlane(config, lambda reference: "", HttpTransport(), CLOCK)
    yield made
    await made.close()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("name", SAID)
async def test_the_call_moves_to_the_chain_for_long_contexts(
    plane: ModelPlane, sim: Simulator, name: str, stream: bool
) -> None:
    """Not to the next target of the chain, which is no larger, and not nowhere."""
    dialect, script, words = SAID[name]
    sim.scripts.install("sim-small", script)
    sim.scripts.install("sim-large", Script(text="I have room."))
    small = f"{dialect}/sim-small"
    tier = TierConfig(chain=(small, f"{dialect}/sim-next"), chain_context_too_long=("large/sim-large",), retries=0)
    asked = ModelRequest(messages=(Message("user", "a long story, told at length"),), stream=stream)
    call = plane.chain(tier)(asked, CallContext(Deadline.after(CLOCK, 20.0, "test")))
    events = [event async for batch in call for event in batch]
    assert [event.target for event in events if isinstance(event, AttemptStarted)] == [small, "large/sim-large"]
    assert seen(events) == "I have room."
    (error,) = [event.error for event in events if isinstance(event, AttemptFailed)]
    assert type(error) is ContextTooLong
    assert error.fields["vendor_message"].startswith(words)
