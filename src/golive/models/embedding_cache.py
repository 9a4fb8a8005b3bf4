"""Embeddings that are kept for a while: the same texts have the same vectors, so that nothing else need be asked.

The whole request is what is equal, its texts in their order. Shares the memory of kept answers (`cache.py`).
"""

from collections.abc import AsyncGenerator

from msgspec import Struct, structs

from golive.core.clock import Clock
from golive.models.cache import ENTRY_BYTES, RAW_BYTES, KeptAnswers, key_of
from golive.models.call import CallContext, ModelEvent
from golive.models.coalesce import free_of_cost
from golive.models.embedding_wire import EmbeddingRequest
from golive.models.embeddings import Embed, EmbeddingAnswer


class KeptVectors(Struct, frozen=True):
    """An answer, at no cost."""

    answer: EmbeddingAnswer
    size: int


class CachedEmbeddings:
    """A call for embeddings around a call for embeddings; the arguments are those of `CachedCall`."""

    def __init__(self, call: Embed, *, name: str, ttl_s: float, cache: KeptAnswers, clock: Clock) -> None:
        self._call = call
        self._name = name
        self._ttl_s = ttl_s
        self._cache = cache
        self._clock = clock

    async def __call__(
        self, request: EmbeddingRequest, ctx: CallContext
    ) -> AsyncGenerator[list[ModelEvent] | EmbeddingAnswer, None]:
        """As the call inside; the `metered` of a kept answer says that it is one."""
        started = self._clock.monotonic()
        key = key_of(ctx, "embeddings", self._name, request)
        kept = self._cache.get(key, KeptVectors)
        if kept is not None:
            latency_ms = (self._clock.monotonic() - started) * 1000
            metered = structs.replace(kept.answer.metered, latency_ms=latency_ms)
            answer = structs.replace(kept.answer, metered=metered)
            yield answer.events()
            yield answer
            return
        inner = self._call(request, ctx)
        try:
            async for told in inner:
                if isinstance(told, EmbeddingAnswer):
                    self._keep(key, told, ctx.tenant)
                yield told
        finally:
            await inner.aclose()

    def _keep(self, key: bytes, answer: EmbeddingAnswer, tenant: str) -> None:
        size = ENTRY_BYTES + sum(RAW_BYTES + len(memoryview(vector)) for vector in answer.vectors)
        if size <= self._cache.largest:
            vectors = tuple(vector.copy() for vector in answer.vectors)
            alike = structs.replace(answer, vectors=vectors, metered=free_of_cost(answer.metered))
            self._cache.put(key, KeptVectors(alike, size), self._ttl_s, tenant)
