"""Every time limit of a model call, in virtual time over a scripted network."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig, TierConfig
from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import DeadlineExceeded, ModelCut, ModelTimeout
from golive.core.messages import Message, Usage
from golive.core.tasks import Tasks
from golive.models.call import AttemptFailed, CallContext, Finished, Metered, ModelEvent, ModelRequest, TextDelta
from golive.models.plane import ModelPlane
from golive.models.transport import ConnectTimedOut, Disconnected, TransportError
from tests.contract.speakers.openai_chat import USAGE, chunk, sse
from tests.sim.loop import VirtualClock, simulate

FOREVER = 10_000.0
Step = float | bytes | TransportError
"""A silence in seconds, a read, or a failure."""


class ScriptedAnswer:
    """An answer whose body follows a script; see `transport.Response`."""

    def __init__(self, steps: list[Step], kind: str) -> None:
        self.status = 200
        self.closed = False
        self._steps = steps
        self._kind = kind

    def header(self, name: str) -> str | None:
        return self._kind if name == "content-type" else None

    async def chunk(self) -> bytes:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, TransportError):
                raise step
            if isinstance(step, bytes):
                return step
            await asyncio.sleep(step)
        return b""

    async def read(self, limit: int) -> bytes:
        return await self.chunk()

    def close(self) -> None:
        self.closed = True


class ScriptedNetwork:
    """A transport in virtual time: silence before the head, then the script of the body."""

    def __init__(
        self, *steps: Step, head_s: float = 0.0, connect_s: float = 0.0, kind: str = "text/event-stream"
    ) -> None:
        self.answers: list[ScriptedAnswer] = []
        self._steps = steps
        self._head_s = head_s
        self._connect_s = connect_s
        self._kind = kind

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, connect_s: float
    ) -> ScriptedAnswer:
        if self._connect_s > connect_s:
            await asyncio.sleep(connect_s)
            raise ConnectTimedOut("no connection")
        await asyncio.sleep(self._head_s)
        self.answers.append(ScriptedAnswer(list(self._steps), self._kind))
        return self.answers[-1]

    async def close(self) -> None: ...


CONFIG = GoliveConfig(
    providers={"p": ProviderConfig(base_url="http://p/v1"), "q": ProviderConfig(base_url="http://q/v1")},
    prices={"*": PriceConfig(input_usd_per_mtok=1, output_usd_per_mtok=1)},
)
"""The defaults: connect 5 s, first token 20 s, between tokens 15 s, call 60 s."""
HELLO = sse(chunk({"content": "Hello"}), done=False)
END = sse(chunk({}, "stop"), chunk(usage=USAGE))
ROLE = sse(chunk({"role": "assistant", "content": ""}), done=False)


def request(stream: bool = True) -> ModelRequest:
    return ModelRequest(messages=(Message("user", "Hi"),), stream=stream)


def steps(*pattern: Step, times: int) -> list[Step]:
    """The pattern over and over."""
    return list(pattern) * times


async def collect(
    clock: Clock,
    network: ScriptedNetwork,
    *,
    deadline_s: float = 300.0,
    stream: bool = True,
    refs: tuple[str, ...] = ("p/m",),
) -> tuple[list[ModelEvent], BaseException | None, float]:
    """The events, the error, and how long it took."""
    plane = ModelPlane(CONFIG, lambda reference: reference, network, clock)
    events: list[ModelEvent] = []
    started = clock.monotonic()
    try:
        async for batch in plane.chain(TierConfig(chain=tuple(refs), retries=0))(
            request(stream), CallContext(Deadline.after(clock, deadline_s, "limits.x"))
        ):
            events += batch
    except Exception as error:
        return events, error, clock.monotonic() - started
    return events, None, clock.monotonic() - started


def run(network: ScriptedNetwork, **options: Any) -> tuple[list[ModelEvent], BaseException | None, float]:
    return simulate(lambda clock: collect(clock, network, **options))


@pytest.mark.parametrize(
    ("network", "limit", "seconds"),
    [
        (ScriptedNetwork(connect_s=FOREVER), "connect_s", 5.0),
        (ScriptedNetwork(head_s=FOREVER), "first_token_s", 20.0),
        (ScriptedNetwork(FOREVER), "first_token_s", 20.0),
        (ScriptedNetwork(ROLE, FOREVER), "first_token_s", 20.0),
        (ScriptedNetwork(ROLE, *steps(b": ping\n\n", 9.0, times=30)), "first_token_s", 20.0),
        (ScriptedNetwork(10.0, HELLO, FOREVER), "between_tokens_s", 25.0),
        (ScriptedNetwork(HELLO, 14.0, HELLO, FOREVER), "between_tokens_s", 29.0),
        (ScriptedNetwork(*steps(HELLO, 14.0, times=30)), "call_s", 60.0),
    ],
)
def test_a_providers_limit(network: ScriptedNetwork, limit: str, seconds: float) -> None:
    """Each kind of silence ends at its own limit, named in full, and the connection is closed."""
    _, error, took = run(network)
    assert type(error) is ModelTimeout
    assert error.fields["limit"] == f"providers.p.{limit}"
    assert took == pytest.approx(seconds)
    assert all(answer.closed for answer in network.answers)


@pytest.mark.parametrize("deadline_s", [0.5, 3.0, 19.0])
def test_the_callers_own_deadline_comes_first(deadline_s: float) -> None:
    """Past the caller's deadline it is the caller's error, and no other target is tried."""
    events, error, took = run(ScriptedNetwork(head_s=FOREVER), deadline_s=deadline_s, refs=("p/m", "q/m"))
    assert type(error) is DeadlineExceeded
    assert error.fields["limit"] == "limits.x"
    assert took == pytest.approx(deadline_s)
    assert not any(isinstance(event, AttemptFailed) for event in events)


def test_a_deadline_in_the_past_sends_nothing() -> None:
    """Nothing is sent, so nothing is billed."""
    network = ScriptedNetwork(HELLO, END)
    events, error, _ = run(network, deadline_s=0.0)
    assert type(error) is DeadlineExceeded
    assert network.answers == []
    assert not any(isinstance(event, Metered) for event in events)


def test_a_deadline_in_mid_answer_keeps_what_came() -> None:
    """The text so far was handed on, and is settled at its bound."""
    events, error, took = run(ScriptedNetwork(HELLO, 4.0, HELLO, FOREVER), deadline_s=10.0)
    assert type(error) is DeadlineExceeded
    assert took == pytest.approx(10.0)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Hello", "Hello"]
    metered = events[-1]
    assert isinstance(metered, Metered)
    assert metered.estimated
    assert metered.usage.output_tokens == 10


def test_an_answer_that_is_not_streamed_has_the_whole_call_to_come() -> None:
    """Only call_s limits it: the whole answer is its first token."""
    _, error, took = run(ScriptedNetwork(head_s=FOREVER), stream=False)
    assert type(error) is ModelTimeout
    assert error.fields["limit"] == "providers.p.call_s"
    assert took == pytest.approx(60.0)


def test_a_slow_reader_is_not_a_slow_provider() -> None:
    """Time the reader takes between two reads does not count against the provider, and never cancels the reader."""

    async def main(clock: VirtualClock) -> int:
        network = ScriptedNetwork(*steps(HELLO, 1.0, times=3), END)
        plane = ModelPlane(CONFIG, lambda reference: reference, network, clock)
        texts = 0
        async for batch in plane.target("p/m")(request(), CallContext(Deadline.after(clock, 59.0, "limits.x"))):
            texts += sum(isinstance(event, TextDelta) for event in batch)
            await asyncio.sleep(16.0 if texts < 3 else 0.0)
        return texts

    assert simulate(main) == 3


def test_a_whole_answer_is_not_spoilt_by_what_follows() -> None:
    """After its finish, silence or a reset is no error; without usage the bound stands in."""
    finished = sse(chunk({"content": "Hello"}), chunk({}, "stop"), done=False)
    for tail in (FOREVER, Disconnected("reset")):
        events, error, took = run(ScriptedNetwork(finished, tail))
        assert error is None
        assert any(isinstance(event, Finished) for event in events)
        assert took <= 2.0
        metered = events[-1]
        assert isinstance(metered, Metered)
        assert metered.estimated


def test_a_reset_before_the_first_token_moves_on_and_is_billed_at_its_bound() -> None:
    """The provider may have read the prompt; what it bills for that is not known, so the bound counts."""
    events, error, _ = run(ScriptedNetwork(ROLE, Disconnected("reset")), refs=("p/m", "q/m"))
    assert type(error) is ModelCut
    metered = [event for event in events if isinstance(event, Metered)]
    assert [(event.attempt, event.target, event.estimated) for event in metered] == [(1, "p/m", True), (2, "q/m", True)]
    assert all(event.cost_microusd > 0 for event in metered)
    assert [attempt["target"] for attempt in error.fields["attempts"]] == ["p/m", "q/m"]


def test_cancelling_the_reader_closes_the_connection_and_tells_the_cost() -> None:
    """A cancelled call is told of once, through `on_abandoned`, and its connection is closed at once."""

    async def main(clock: VirtualClock) -> tuple[list[Metered], bool, bool]:
        network = ScriptedNetwork(HELLO, FOREVER)
        plane = ModelPlane(CONFIG, lambda reference: reference, network, clock)
        told: list[Metered] = []

        async def read() -> None:
            context = CallContext(Deadline.after(clock, 300.0, "limits.x"), on_abandoned=told.append)
            async for _ in plane.chain(TierConfig(chain=("p/m",), retries=0))(request(), context):
                pass

        async with Tasks("test") as tasks:
            reader = tasks.start(read(), "reader")
            await asyncio.sleep(3.0)
            reader.cancel()
        return told, reader.cancelled(), network.answers[0].closed

    told, cancelled, closed = simulate(main)
    assert (cancelled, closed) == (True, True)
    assert [(event.attempt, event.usage.output_tokens, event.estimated) for event in told] == [(1, 5, True)]


def test_closing_the_iterator_closes_the_connection_and_tells_the_cost() -> None:
    """The same for a reader that stops reading; what was reported in full counts as reported."""

    async def main(clock: VirtualClock, *steps: Step) -> tuple[list[Metered], bool]:
        network = ScriptedNetwork(*steps)
        plane = ModelPlane(CONFIG, lambda reference: reference, network, clock)
        told: list[Metered] = []
        context = CallContext(Deadline.after(clock, 300.0, "limits.x"), on_abandoned=told.append)
        stream = plane.chain(TierConfig(chain=("p/m",), retries=0))(request(), context)
        async for batch in stream:
            if any(isinstance(event, TextDelta) for event in batch):
                break
        await stream.aclose()
        return told, network.answers[0].closed

    told, closed = simulate(lambda clock: main(clock, HELLO, FOREVER))
    assert closed
    assert [event.estimated for event in told] == [True]
    told, closed = simulate(lambda clock: main(clock, HELLO + END))
    assert closed
    assert [(event.estimated, event.usage) for event in told] == [(False, Usage(11, 4, 7, 2))]


def test_a_limit_and_a_cancellation_at_once_is_a_cancellation() -> None:
    """Whoever cancels the reader at the very moment of a limit is not ignored."""

    async def main(clock: VirtualClock) -> bool:
        plane = ModelPlane(CONFIG, lambda reference: reference, ScriptedNetwork(head_s=FOREVER), clock)

        async def read() -> None:
            async for _ in plane.target("p/m")(request(), CallContext(Deadline.after(clock, 300.0, "limits.x"))):
                pass

        async with Tasks("test") as tasks:
            reader = tasks.start(read(), "reader")
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_at(20.0, reader.cancel)
            await asyncio.wait([reader])
        return reader.cancelled()

    assert simulate(main) is True


@pytest.mark.parametrize(("stream", "when"), [(True, "before its first token"), (False, "in the middle of its answer")])
def test_where_an_answer_broke_off_is_told(stream: bool, when: str) -> None:
    """An answer that is not streamed has no first token: what had come of it is a part of the whole."""
    _, error, _ = run(ScriptedNetwork(b'{"id":"c', Disconnected("gone")), stream=stream)
    assert type(error) is ModelCut
    assert error.message == f"p/m broke off {when}: gone."
