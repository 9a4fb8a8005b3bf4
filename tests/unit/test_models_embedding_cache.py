"""Vectors that are kept."""

import asyncio
from collections.abc import AsyncGenerator

from msgspec import Raw, structs

from golive.config.schema import CacheConfig, GoliveConfig, ProviderConfig
from golive.core.messages import Usage
from golive.models.cache import KeptAnswers
from golive.models.call import CallContext, Metered, ModelEvent
from golive.models.embedding_cache import CachedEmbeddings
from golive.models.embedding_wire import EmbeddingRequest
from golive.models.embeddings import EmbeddingAnswer
from golive.models.plane import ModelPlane
from tests.sim.loop import VirtualClock, simulate
from tests.unit.cache_kit import context
from tests.unit.test_models_embeddings import answered
from tests.unit.test_models_limits import ScriptedNetwork

COST = Metered(1, "a/e", Usage(9), 3, True, False, None, 1_000.0)
TEXTS = EmbeddingRequest(inputs=("one", "two"))


class Embedder:
    """Takes a second for a call; the vectors are views into one answer, as those of a provider are."""

    def __init__(self, size: int = 6) -> None:
        self.calls = 0
        self.size = size

    async def __call__(
        self, request: EmbeddingRequest, ctx: CallContext
    ) -> AsyncGenerator[list[ModelEvent] | EmbeddingAnswer, None]:
        self.calls += 1
        await asyncio.sleep(1.0)
        body = memoryview(b"[" + b"1" * (self.size - 2) + b"]" + b" " * 100)
        answer = EmbeddingAnswer(tuple(Raw(body[: self.size]) for _ in request.inputs), "e", "req_1", COST)
        yield answer.events()
        yield answer


def test_the_same_texts_are_embedded_once() -> None:
    """For one tenant and its time; the same vectors come again in order, at no cost. Other texts, their order,
    the size of vectors and the tenant make other requests."""

    async def main(clock: VirtualClock) -> None:
        model, cache = Embedder(), KeptAnswers(100_000, clock)
        call = CachedEmbeddings(model, name="a/e", ttl_s=60, cache=cache, clock=clock)
        first = await answered(call(TEXTS, context(clock)))
        began = clock.monotonic()
        again = await answered(call(TEXTS, context(clock)))
        assert [bytes(vector) for vector in again.vectors] == [b"[1111]"] * 2
        free = structs.replace(COST, cost_microusd=0, saved_microusd=3, cached=True, latency_ms=0.0)
        assert (first.metered, again.metered, again.model) == (COST, free, "e")
        assert (model.calls, clock.monotonic()) == (1, began)
        for other in (
            EmbeddingRequest(inputs=("two", "one")), EmbeddingRequest(inputs=("one", "two"), dimensions=3),
            EmbeddingRequest(inputs=("one", "two"), base64=True), EmbeddingRequest(inputs=((1, 2),)),
        ):  # fmt: skip
            await answered(call(other, context(clock)))
        await answered(call(TEXTS, context(clock, tenant="other")))
        assert model.calls == 6
        await asyncio.sleep(60)
        await answered(call(TEXTS, context(clock)))
        assert model.calls == 7

    simulate(main)


def test_vectors_count_towards_the_memory_of_kept_answers() -> None:
    """Those that would take more than a fourth are not kept."""

    async def main(clock: VirtualClock) -> None:
        model, cache = Embedder(10_000), KeptAnswers(100_000, clock)
        call = CachedEmbeddings(model, name="a/e", ttl_s=60, cache=cache, clock=clock)
        await answered(call(TEXTS, context(clock)))
        assert 20_000 < cache.bytes < 25_000
        await answered(call(EmbeddingRequest(inputs=("a", "b", "c")), context(clock)))
        assert (len(cache), model.calls) == (1, 2)

    simulate(main)


def test_the_plane_keeps_vectors_where_it_is_asked_to() -> None:
    """By the caller, or by [cache] for all embeddings, which are deterministic; 0 keeps none."""

    async def main(clock: VirtualClock) -> None:
        answer = b'{"data":[{"index":0,"embedding":[1.0]},{"index":1,"embedding":[2.0]}],"usage":{"prompt_tokens":2}}'
        for ttl_s, asked, calls in ((None, None, 2), (None, 60.0, 1), (60.0, None, 1), (60.0, 0.0, 2)):
            network = ScriptedNetwork(answer, kind="application/json")
            config = GoliveConfig(
                providers={"p": ProviderConfig(base_url="http://p/v1")}, cache=CacheConfig(ttl_s=ttl_s)
            )
            plane = ModelPlane(config, lambda reference: reference, network, clock)
            for _ in range(2):
                got = await answered(plane.embeddings("p/m", asked)(TEXTS, context(clock)))
                assert [bytes(vector) for vector in got.vectors] == [b"[1.0]", b"[2.0]"]
            assert len(network.answers) == calls, (ttl_s, asked)

    simulate(main)
