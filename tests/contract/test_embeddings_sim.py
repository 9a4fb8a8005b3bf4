"""Embeddings against the simulator, which shares no code with the call: over real sockets, through the plane."""

import base64
import struct
from collections.abc import AsyncIterator

import msgspec
import pytest

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import ModelAuthFailed, ModelBadRequest, ModelNotFound
from golive.models.call import CallContext
from golive.models.embedding_wire import EmbeddingRequest
from golive.models.embeddings import EmbeddingAnswer
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.server import Simulator
from tests.unit.test_models_embeddings import answered

CLOCK = SystemClock()
TEXTS = ("hello", "you there")
DIALECTS = {"openai-chat": "/v1", "openai-responses": "/v1", "gemini": "/v1beta", "anthropic": "/v1"}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(clock=CLOCK, api_keys=("key-1",))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def plane(sim: Simulator) -> AsyncIterator[ModelPlane]:
    providers = {
        name: ProviderConfig.model_validate(
            {"dialect": name, "base_url": sim.base_url.removesuffix("/v1") + path, "api_key": "env:KEY"}
        )
        for name, path in DIALECTS.items()
    }
    providers["wrong"] = ProviderConfig(base_url=sim.base_url, api_key="env:WRONG")
    config = GoliveConfig(providers=providers, prices={"*": PriceConfig(input_usd_per_mtok=1, output_usd_per_mtok=0)})
    made = ModelPlane(config, {"env:KEY": "key-1", "env:WRONG": "key-2"}.__getitem__, HttpTransport(), CLOCK)
    yield made
    await made.close()


async def embed(plane: ModelPlane, ref: str, *, packed: bool = False) -> EmbeddingAnswer:
    request = EmbeddingRequest(inputs=TEXTS, base64=packed)
    return await answered(plane.embeddings(ref)(request, CallContext(Deadline.after(CLOCK, 20.0, "test"))))


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses", "gemini"])
async def test_vectors_come_as_numbers_or_packed(plane: ModelPlane, sim: Simulator, dialect: str) -> None:
    """One for each text, the same either way; never cheaper than the provider's own bill."""
    plain = await embed(plane, f"{dialect}/sim-embed")
    numbers = [msgspec.json.decode(vector, type=list[float]) for vector in plain.vectors]
    assert len(numbers) == 2
    assert numbers[0] != numbers[1]
    packed = [
        base64.b64decode(msgspec.json.decode(vector))
        for vector in (await embed(plane, f"{dialect}/sim-embed", packed=True)).vectors
    ]
    unpacked = [list(struct.unpack(f"<{len(data) // 4}f", data)) for data in packed]
    assert [pytest.approx(vector, abs=1e-6) for vector in numbers] == unpacked
    billed = sim.bill.lines[0].input_tokens
    assert plain.metered.usage.input_tokens >= billed > 0
    assert plain.metered.estimated == (dialect == "gemini")
    assert plain.metered.estimated or plain.metered.usage.input_tokens == billed


async def test_what_a_provider_refuses(plane: ModelPlane, sim: Simulator) -> None:
    """A wrong key, a model that is none for embeddings, and a dialect that has none."""
    with pytest.raises(ModelAuthFailed):
        await embed(plane, "wrong/sim-embed")
    with pytest.raises(ModelNotFound):
        await embed(plane, "gemini/nothing")
    asked = sim.requests_seen
    with pytest.raises(ModelBadRequest, match="which has no embeddings"):
        await embed(plane, "anthropic/sim-embed")
    assert sim.requests_seen == asked
