"""A credential that changes, is refused or is revoked under calls that are under way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from golive.config.failing import RetryConfig
from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig, TierConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import CredentialEnded, ModelAuthFailed, SecretRevoked
from golive.core.messages import Message
from golive.core.tasks import Tasks
from golive.models.call import CallContext, ModelCall, ModelRequest, Retracted, TextDelta
from golive.models.credentials import OpenCalls
from golive.models.embedding_wire import EmbeddingRequest
from golive.models.embeddings import EmbeddingAnswer
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.server import Simulator
from tests.contract.sim_kit import until

QUICK = "sim/sim-text?tokens=12"
SLOW = "sim/sim-text?tokens=60&pace_ms=20"
FIRST, SECOND = "file:one", "file:two"


class Vault:
    """What a `Secrets` is to the model plane: values by reference, what was revoked, and what comes when asked anew."""

    def __init__(self) -> None:
        self.values = {FIRST: "sk-one-0000", SECOND: "sk-two-0000"}
        self.fresh: dict[str, str] = {}
        self.revoked: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []

    def resolve(self, reference: str) -> str:
        value = self.values[reference]
        if value in self.revoked:
            raise SecretRevoked(f"{reference} was revoked.")
        return value

    async def renew(self, reference: str, refused: str | None) -> str | None:
        self.asked.append((reference, refused))
        await asyncio.sleep(0)
        if reference in self.fresh:
            self.values[reference] = self.fresh.pop(reference)
        value = self.values[reference]
        return None if value == refused or value in self.revoked else value


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(clock=SystemClock(), api_keys=("sk-one-0000", "sk-two-0000"))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def calls() -> OpenCalls:
    return OpenCalls()


Plane = Callable[..., ModelPlane]


@pytest.fixture
async def plane(sim: Simulator, vault: Vault, calls: OpenCalls) -> AsyncIterator[Plane]:
    made: list[ModelPlane] = []

    def make(*more: str) -> ModelPlane:
        config = GoliveConfig(
            providers={"sim": ProviderConfig(base_url=sim.base_url, api_key=FIRST, more_api_keys=more)},
            prices={"*": PriceConfig(input_usd_per_mtok=1, output_usd_per_mtok=4)},
            retry=RetryConfig(first_s=0.01),
        )
        made.append(
            ModelPlane(
                config, vault.resolve, HttpTransport(), SystemClock(), renew=vault.renew, open_calls=calls
            )
        )  # fmt: skip
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def said(call: ModelCall) -> str:
    """What a client would show in the end that can take text back."""
    text = ""
    ctx = CallContext(Deadline.after(SystemClock(), 20.0, "test"), retracts="all")
    async with aclosing(call(ModelRequest(messages=(Message("user", "hello"),), stream=True), ctx)) as answer:
        async for batch in answer:
            for event in batch:
                if isinstance(event, TextDelta):
                    text += event.text
                elif isinstance(event, Retracted):
                    text = text[: event.stands]
    return text


def used(sim: Simulator) -> list[str]:
    return [entry.credential for entry in sim.requests.entries(100)]


async def test_a_refused_credential_that_was_rotated_is_replaced_before_anybody_hears_of_it(
    sim: Simulator, vault: Vault, plane: Plane
) -> None:
    """The backend is asked once, and the same call goes on with what it has by now."""
    sim.accept(("sk-new-0000",))
    vault.fresh[FIRST] = "sk-new-0000"
    assert await said(plane().target(QUICK))
    assert vault.asked == [(FIRST, "sk-one-0000")]
    assert len(set(used(sim))) == 2
    assert await said(plane().target(QUICK))
    assert vault.asked == [(FIRST, "sk-one-0000")]


async def test_a_refused_credential_without_a_newer_one_is_an_error(sim: Simulator, plane: Plane, vault: Vault) -> None:
    """Asked once a call, and the provider is not asked a second time with the same."""
    sim.accept(("sk-new-0000",))
    with pytest.raises(ModelAuthFailed):
        await said(plane().target(QUICK))
    assert len(vault.asked) == len(used(sim)) == 1


async def test_embeddings_are_asked_for_again_with_the_new_credential(
    sim: Simulator, vault: Vault, plane: Plane
) -> None:
    """As model calls are."""
    sim.accept(("sk-new-0000",))
    vault.fresh[FIRST] = "sk-new-0000"
    ctx = CallContext(Deadline.after(SystemClock(), 20.0, "test"))
    found = [each async for each in plane().embeddings("sim/sim-embed")(EmbeddingRequest(inputs=("a",)), ctx)]
    assert isinstance(found[-1], EmbeddingAnswer)
    assert vault.asked == [(FIRST, "sk-one-0000")]


async def test_a_call_under_way_finishes_on_the_old_value_and_the_next_begins_with_the_new_one(
    sim: Simulator, vault: Vault, plane: Plane, calls: OpenCalls
) -> None:
    """Two valid credentials overlap."""
    made = plane()
    async with Tasks("test") as tasks:
        slow = tasks.start(said(made.target(SLOW)), "slow")
        await until(lambda: calls.count(["sk-one-0000"]) == 1)
        await until(lambda: used(sim))
        vault.values[FIRST] = "sk-two-0000"
        assert await said(made.target(QUICK))
        assert calls.count(["sk-one-0000"]) == 1
        assert await slow
    assert len(set(used(sim))) == 2
    assert calls.count(["sk-one-0000", "sk-two-0000"]) == 0


async def test_a_revoked_credential_begins_no_call_and_the_next_one_takes_over(
    sim: Simulator, vault: Vault, plane: Plane
) -> None:
    """`more_api_keys` are asked at once; without any the call fails and nobody is asked."""
    vault.revoked.add("sk-one-0000")
    assert await said(plane(SECOND).target(QUICK))
    assert len(used(sim)) == 1
    sim.requests.clear()
    with pytest.raises(SecretRevoked):
        await said(plane().target(QUICK))
    assert used(sim) == []


async def test_a_revoked_credential_whose_reference_has_a_new_value_is_no_error(
    sim: Simulator, vault: Vault, plane: Plane
) -> None:
    """The backend is asked before the call fails."""
    vault.revoked.add("sk-one-0000")
    vault.fresh[FIRST] = "sk-two-0000"
    assert await said(plane().target(QUICK))
    assert vault.asked == [(FIRST, None)]


async def test_a_call_that_is_cut_ends_at_once_and_an_agents_answer_goes_on_with_the_next_credential(
    sim: Simulator, vault: Vault, plane: Plane, calls: OpenCalls
) -> None:
    """In the middle of the text; the whole answer comes in the end, said by calls of both credentials."""
    made = plane(SECOND)
    whole = await said(made.target(SLOW))
    sim.requests.clear()
    async with Tasks("test") as tasks:
        run = tasks.start(said(made.chain(TierConfig(chain=(SLOW,)))), "run")
        await until(lambda: calls.count(["sk-one-0000"]) == 1)
        await until(lambda: used(sim))
        await asyncio.sleep(0.2)
        vault.revoked.add("sk-one-0000")
        assert calls.cut(["sk-one-0000"]) == 1
        await until(lambda: calls.count(["sk-two-0000"]) == 1)
        assert calls.count(["sk-one-0000"]) == 0
        assert await run == whole
    assert len(set(used(sim))) == 2


@pytest.mark.parametrize("model", ["sim/sim-text?hang_ms=-1", SLOW], ids=["before a word", "in the middle"])
async def test_a_plain_call_that_is_cut_is_told_so(
    sim: Simulator, vault: Vault, plane: Plane, calls: OpenCalls, model: str
) -> None:
    """Nobody else may be asked for it; the error says what happened, and the gate is not blamed."""
    made = plane()
    async with Tasks("test") as tasks:
        call = tasks.start(_told(made.target(model)), "call")
        await until(lambda: used(sim))
        await asyncio.sleep(0.1)
        vault.revoked.add("sk-one-0000")
        assert calls.cut(["sk-one-0000"]) == 1
        error = await call
    assert isinstance(error, CredentialEnded)
    assert [gate.state for gate in made.gates("sim")] == ["closed"]


async def _told(call: ModelCall) -> Exception | None:
    try:
        await said(call)
    except Exception as error:
        return error
    return None
