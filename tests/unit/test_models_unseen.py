"""What is counted of answers that nobody saw: not streamed and broken off or given up, or reasoned in silence."""

from collections.abc import AsyncGenerator

import pytest
from msgspec import Raw

from golive.config.schema import CapabilityConfig, GoliveConfig, ProviderConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import ModelCut, ModelError
from golive.core.messages import Message, Usage
from golive.models.call import (
    CallContext,
    Metered,
    ModelEvent,
    ModelRequest,
    Opened,
    ReasoningDelta,
    TextDelta,
    UsageReported,
)
from golive.models.estimate import UNSEEN_TOKENS, input_bound
from golive.models.meter import MeteredCall
from golive.models.plane import ModelPlane
from golive.models.transport import Disconnected
from tests.sim.loop import VirtualClock, simulate
from tests.unit.test_models_limits import FOREVER, ScriptedNetwork

ASKED = (Message("user", "hello"),)


def context(told: list[ModelEvent]) -> CallContext:
    return CallContext(Deadline.after(SystemClock(), 60.0, "test"), on_abandoned=told.append)


async def output_of(events: list[ModelEvent], request: ModelRequest, *, abandoned: bool = False) -> int:
    """The output tokens counted for a call that brings these events and then breaks off, or is given up."""

    async def call(request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        yield events
        raise ModelCut("broke off")

    told: list[ModelEvent] = []
    answer = MeteredCall(call, target="a/m", price=lambda tier="": None, clock=SystemClock())(request, context(told))
    try:
        async for batch in answer:
            told += batch
            if abandoned:
                await answer.aclose()
                break
    except ModelCut:
        assert not abandoned
    (last,) = [event for event in told if isinstance(event, Metered)]
    assert last.estimated
    return last.usage.output_tokens


def asking(*, stream: bool = False, most: int | None = None, effort: str | None = None, **extra: bytes) -> ModelRequest:
    return ModelRequest(
        messages=ASKED, stream=stream, max_output_tokens=most, reasoning_effort=effort,
        extra={name: Raw(value) for name, value in extra.items()},
    )  # fmt: skip


@pytest.mark.parametrize("abandoned", [True, False], ids=["given up", "cut"])
async def test_an_unseen_answer_counts_as_the_longest_it_can_have_been(abandoned: bool) -> None:
    """Not at 0 where no limit is set; at the limit where one is; once for each answer that was asked for."""
    for request, bound in (
        (asking(), UNSEEN_TOKENS), (asking(most=30), 30), (asking(most=30, n=b"4"), 120),
        (asking(most=30, n=b"1e9"), 30), (asking(most=30, n=b"1000000"), 30 * 128), (asking(most=30, n=b"-2"), 30),
        (asking(most=30, n=b'"x"'), 30),
    ):  # fmt: skip
        assert await output_of([Opened()], request, abandoned=abandoned) == bound


@pytest.mark.parametrize(
    ("request_", "events", "bound"),
    [
        (asking(stream=True), [TextDelta("ab")], 2),
        (asking(stream=True, most=500), [TextDelta("ab")], 2),
        (asking(stream=True, most=500, effort="none"), [TextDelta("ab")], 2),
        (asking(stream=True, most=500, effort="high"), [TextDelta("ab")], 500),
        (asking(stream=True, most=500, thinking=b"{}"), [], 500),
        (asking(stream=True, most=500), [ReasoningDelta("so")], 500),
        (asking(stream=True, most=500), [UsageReported(Usage(9, 0, 1, 1)), TextDelta("ab")], 500),
        (asking(stream=True, most=1, effort="high"), [TextDelta("ab")], 2),
        (asking(stream=True, effort="high"), [TextDelta("ab")], 2),
    ],
)
async def test_hidden_reasoning_counts_at_the_limit_where_there_is_one(
    request_: ModelRequest, events: list[ModelEvent], bound: int
) -> None:
    """A broken stream counts at its bytes, unless its model was asked to reason, or was seen to."""
    assert await output_of([Opened(), *events], request_) == bound


async def wired(network: ScriptedNetwork, clock: VirtualClock, most: int | None = None) -> Metered:
    """What is metered of a call that is not streamed, over this network."""
    capabilities = {"here/*": CapabilityConfig(max_output_tokens=most)} if most else {}
    config = GoliveConfig(
        providers={"here": ProviderConfig(base_url="http://localhost/v1", call_s=20)}, capabilities=capabilities
    )
    plane = ModelPlane(config, lambda reference: "", network, clock)
    told: list[ModelEvent] = []
    with pytest.raises(ModelError):
        async for batch in plane.target("here/m")(
            ModelRequest(messages=ASKED, stream=False), CallContext(Deadline.after(clock, 60.0, "test"))
        ):
            told += batch
    await plane.close()
    (last,) = [event for event in told if isinstance(event, Metered)]
    return last


@pytest.mark.parametrize(("most", "bound"), [(None, UNSEEN_TOKENS), (700, 700)], ids=["unknown", "capabilities"])
def test_a_call_that_times_out_unseen_counts_at_what_the_target_writes_at_most(most: int | None, bound: int) -> None:
    """[capabilities] says how much that is; nothing of the answer had come."""

    async def scenario(clock: VirtualClock) -> None:
        seen = await wired(ScriptedNetwork(head_s=FOREVER), clock, most)
        assert seen.usage == Usage(input_bound(ModelRequest(messages=ASKED)), 0, bound)

    simulate(scenario)


@pytest.mark.parametrize("end", [Disconnected("gone"), b""], ids=["cut", "not JSON"])
def test_a_long_body_that_cannot_be_read_counts_by_its_bytes(end: Disconnected | bytes) -> None:
    """More bytes than what was thought the most are believed."""

    async def scenario(clock: VirtualClock) -> None:
        head = b'{"choices":[{"message":{"content":"'
        network = ScriptedNetwork(head, b"x" * UNSEEN_TOKENS, b"y" * 1_000, end, kind="application/json")
        seen = await wired(network, clock)
        assert seen.usage.output_tokens == len(head) + UNSEEN_TOKENS + 1_000

    simulate(scenario)
