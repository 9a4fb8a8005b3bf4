"""Embeddings behind the gates of model calls: breaker, further credentials, pauses, retries; in virtual time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from golive.config.failing import RetryConfig
from golive.config.schema import GoliveConfig, ProviderConfig
from golive.core.deadline import Deadline
from golive.core.errors import CircuitOpen, GoliveError, ModelAuthFailed, ModelRateLimited, ModelUnavailable
from golive.models.call import AttemptFailed, AttemptStarted, CallContext, Metered
from golive.models.embedding_wire import EmbeddingRequest
from golive.models.embeddings import EmbeddingAnswer
from golive.models.plane import ModelPlane
from golive.models.transport import Disconnected
from tests.sim.loop import VirtualClock, simulate
from tests.unit.test_models_embeddings import Answer, openai

ONE = EmbeddingRequest(inputs=("one",))
GOOD = msgspec.json.encode(openai([0.5]))


class Headed(Answer):
    """An answer with headers of its own."""

    def __init__(self, status: int, body: bytes | Exception, headers: dict[str, str]) -> None:
        super().__init__(body, status)
        self._headers = headers

    def header(self, name: str) -> str | None:
        return self._headers.get(name)


class Vendor:
    """A transport that answers each credential as it is told to: a status, or what breaks, and headers."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, connect_s: float
    ) -> Answer:
        key = headers["Authorization"].removeprefix("Bearer ")
        self.asked.append(key)
        status, more = self.answers[key]
        if isinstance(status, Exception):
            raise status
        return Headed(status, GOOD if status == 200 else b"", more)

    async def close(self) -> None: ...


def planes(vendor: Vendor, clock: VirtualClock, *keys: str, relay_retries: int = 0) -> ModelPlane:
    first, *more = [f"env:{key}" for key in keys]
    config = GoliveConfig(
        providers={"p": ProviderConfig(base_url="http://p/v1", api_key=first, more_api_keys=tuple(more))},
        retry=RetryConfig(relay_retries=relay_retries),
    )
    return ModelPlane(config, lambda reference: reference.removeprefix("env:"), vendor, clock)


async def call(plane: ModelPlane, clock: VirtualClock) -> tuple[list[Any], GoliveError | None]:
    """Everything that a call tells, and its error."""
    told: list[Any] = []
    try:
        async for each in plane.embeddings("p/m")(ONE, CallContext(Deadline.after(clock, 300, "test"))):
            told += [each] if isinstance(each, EmbeddingAnswer) else each
    except GoliveError as error:
        return told, error
    return told, None


@pytest.mark.parametrize(("status", "kind"), [(429, ModelRateLimited), (401, ModelAuthFailed)])
def test_another_credential_is_tried_at_once(status: int, kind: type) -> None:
    """A refused or exhausted one is passed over; attempts and what was metered bear their numbers."""

    async def main(clock: VirtualClock) -> None:
        vendor = Vendor(a=(status, {}), b=(200, {}))
        began = clock.monotonic()
        told, error = await call(planes(vendor, clock, "a", "b"), clock)
        assert (error, vendor.asked, clock.monotonic()) == (None, ["a", "b"], began)
        assert [event.attempt for event in told if isinstance(event, AttemptStarted)] == [1, 2]
        assert [type(event.error) for event in told if isinstance(event, AttemptFailed)] == [kind]
        assert [event.attempt for event in told if isinstance(event, Metered)] == [2]
        assert isinstance(told[-1], EmbeddingAnswer)
        assert [bytes(vector) for vector in told[-1].vectors] == [b"[0.5]"]

    simulate(main)


def test_a_provider_that_names_a_time_is_left_alone_until_then() -> None:
    """429 with Retry-After: the next call is refused unasked until it is over."""

    async def main(clock: VirtualClock) -> None:
        vendor = Vendor(a=(429, {"retry-after": "20"}))
        plane = planes(vendor, clock, "a")
        assert isinstance((await call(plane, clock))[1], ModelRateLimited)
        vendor.answers["a"] = (200, {})
        error = (await call(plane, clock))[1]
        assert isinstance(error, ModelRateLimited)
        assert (error.fields["retry_after_s"], error.fields["sent"], vendor.asked) == (20.0, False, ["a"])
        assert [(gate.target, gate.state, gate.wait_s) for gate in plane.breakers()] == [("p/m", "closed", 20.0)]
        await asyncio.sleep(20)
        assert (await call(plane, clock))[1] is None

    simulate(main)


def test_a_limit_that_is_spent_pauses_its_credential() -> None:
    """An answer's header says that nothing is left: the other credential is asked meanwhile."""

    async def main(clock: VirtualClock) -> None:
        spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6s"}
        vendor = Vendor(a=(200, spent), b=(200, {}))
        plane = planes(vendor, clock, "a", "b")
        for _ in range(2):
            assert (await call(plane, clock))[1] is None
        await asyncio.sleep(6)
        await call(plane, clock)
        assert vendor.asked == ["a", "b", "a"]

    simulate(main)


def test_a_provider_that_keeps_failing_is_not_asked_any_more() -> None:
    """The breaker of the target opens after five failures; an hour later three successes close it."""

    async def main(clock: VirtualClock) -> None:
        vendor = Vendor(a=(503, {}))
        plane = planes(vendor, clock, "a")
        kinds = [type((await call(plane, clock))[1]) for _ in range(6)]
        assert kinds == [ModelUnavailable] * 5 + [CircuitOpen]
        assert (len(vendor.asked), plane.open_breakers()) == (5, 1)
        vendor.answers["a"] = (200, {})
        await asyncio.sleep(3_600)
        states = []
        for _ in range(3):
            assert (await call(plane, clock))[1] is None
            states.append(plane.breakers()[0].state)
        assert states == ["half_open", "half_open", "closed"]

    simulate(main)


@pytest.mark.parametrize(("relay_retries", "asked"), [(0, 1), (2, 3)])
def test_retries_are_those_of_relayed_calls(relay_retries: int, asked: int) -> None:
    """None unless `retry.relay_retries` says so; each attempt that may be billed says what it may have cost."""

    async def main(clock: VirtualClock) -> None:
        vendor = Vendor(a=(Disconnected("gone"), {}))
        told, error = await call(planes(vendor, clock, "a", relay_retries=relay_retries), clock)
        assert error is not None
        assert [failed["code"] for failed in error.fields["attempts"]] == ["model.unreachable"] * asked
        assert len(vendor.asked) == asked
        metered = [(event.attempt, event.usage.input_tokens) for event in told if isinstance(event, Metered)]
        assert metered == [(number + 1, 3) for number in range(asked)]

    simulate(main)
