"""The contract of a model call: whatever wraps it, batches of events in one order, and closing it closes everything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig, TierConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.messages import Message
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelCall,
    ModelEvent,
    ModelRequest,
    Opened,
    TextDelta,
    UsageReported,
)
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.server import Simulator

TEXT = "sim/sim-text?tokens=12"
DOWN = "down/sim-text"
SLOW = "sim/sim-text?tokens=1000&pace_ms=20"
Wrap = Callable[[ModelPlane, str], ModelCall]
WRAPS: dict[str, Wrap] = {
    "target": lambda plane, ref: plane.target(ref),
    "target whose answers are kept": lambda plane, ref: plane.target(ref, 60.0),
    "chain of one": lambda plane, ref: plane.chain(TierConfig(chain=(ref,), retries=0)),
    "chain whose first target is down": lambda plane, ref: plane.chain(TierConfig(chain=(DOWN, ref), retries=0)),
    "hedged chain": lambda plane, ref: plane.chain(TierConfig(chain=(ref,), retries=0, hedge=True)),
    "chain whose answers are kept": lambda plane, ref: plane.chain(
        TierConfig(chain=(DOWN, ref), retries=0, cache_ttl_s=60)
    ),
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(clock=SystemClock())
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def plane(sim: Simulator) -> AsyncIterator[ModelPlane]:
    config = GoliveConfig(
        providers={
            "sim": ProviderConfig(base_url=sim.base_url),
            "down": ProviderConfig(base_url="http://127.0.0.1:9/v1"),
        },
        prices={"*": PriceConfig(input_usd_per_mtok=1, output_usd_per_mtok=4)},
    )
    made = ModelPlane(config, lambda reference: "", HttpTransport(), SystemClock())
    yield made
    await made.close()


@pytest.fixture(params=WRAPS, ids=lambda name: name.replace(" ", "-"))
def wrap(request: pytest.FixtureRequest) -> Wrap:
    return WRAPS[request.param]


def context(on_abandoned: Callable[[Metered], None] | None = None) -> CallContext:
    return CallContext(Deadline.after(SystemClock(), 20.0, "test"), on_abandoned=on_abandoned)


def asking(stream: bool = True) -> ModelRequest:
    return ModelRequest(messages=(Message("user", "hello"),), stream=stream)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_events_come_in_batches_and_in_one_order(plane: ModelPlane, wrap: Wrap, stream: bool) -> None:
    """Never an empty batch; attempts first, then Opened once, text, Finished once, usage, and Metered last of all."""
    batches: list[list[ModelEvent]] = []
    async with aclosing(wrap(plane, TEXT)(asking(stream), context())) as answer:
        async for batch in answer:
            batches.append(batch)
    assert all(batches), "an empty batch wakes everybody for nothing"
    events = [event for batch in batches for event in batch]
    kinds = [type(event) for event in events if not isinstance(event, AttemptStarted | AttemptFailed)]
    assert kinds[0] is Opened
    assert kinds[-1] is Metered
    assert [kinds.count(kind) for kind in (Opened, Finished, UsageReported, Metered)] == [1, 1, 1, 1]
    assert kinds.index(Finished) > max(index for index, kind in enumerate(kinds) if kind is TextDelta)
    metered = events[-1]
    assert isinstance(metered, Metered)
    assert metered.usage.output_tokens == 12
    assert (metered.cost_microusd, metered.priced, metered.estimated) == (metered.usage.input_tokens + 48, True, False)


async def test_both_ways_of_asking_give_the_same_text(plane: ModelPlane, wrap: Wrap) -> None:
    """Streamed or whole, the text is the same."""
    texts = []
    for stream in (True, False):
        said = ""
        async for batch in wrap(plane, TEXT)(asking(stream), context()):
            said += "".join(event.text for event in batch if isinstance(event, TextDelta))
        texts.append(said)
    assert texts[0] == texts[1]
    assert texts[0].endswith(".")


async def test_nothing_is_sent_before_the_first_batch_is_asked_for(
    plane: ModelPlane, wrap: Wrap, sim: Simulator
) -> None:
    """A call that was made and not begun costs nothing: its caller journals the intent first."""
    call = wrap(plane, TEXT)(asking(), context())
    await asyncio.sleep(0)
    assert sim.requests_seen == 0
    await call.aclose()
    assert sim.requests_seen == 0


async def test_a_chain_announces_an_attempt_before_it_sends(plane: ModelPlane, sim: Simulator) -> None:
    """The first batch is the attempt alone; the provider has seen nothing yet."""
    async with aclosing(plane.chain(TierConfig(chain=(TEXT,), retries=0))(asking(), context())) as answer:
        assert await anext(answer) == [AttemptStarted(1, TEXT)]
        assert sim.requests_seen == 0


async def test_closing_gives_the_provider_up_and_tells_the_cost(plane: ModelPlane, wrap: Wrap, sim: Simulator) -> None:
    """Closed in the middle: the provider's connection ends, and what the call cost is told once."""
    told: list[Metered] = []
    answer = wrap(plane, SLOW)(asking(), context(told.append))
    async for batch in answer:
        if any(isinstance(event, TextDelta) for event in batch):
            break
    await answer.aclose()
    (metered,) = told
    assert metered.cost_microusd > 0
    while [line.state for line in sim.bill] != ["aborted by client"]:
        await asyncio.sleep(0.01)
