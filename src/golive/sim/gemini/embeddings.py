"""Gemini's embedContent and batchEmbedContents.

Vectors shorter than the full ones are cut and not brought to unit length again, as the vendor does it.
Source: https://ai.google.dev/api/embeddings, as of 2026.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from golive.sim import tokens
from golive.sim.embeddings import FULL_DIMENSIONS
from golive.sim.gemini.request import as_message, invalid, read_object
from golive.sim.protocol import Request
from golive.sim.script import Script
from golive.sim.vendor import Embedding

MAX_TEXTS = 100


class EmbedContent:
    """The dialect, for one text or for a batch."""

    def __init__(self, *, batch: bool) -> None:
        self._batch = batch

    def read(self, request: Request, model: str) -> Embedding:
        return read_embedding(request.body, model, batch=self._batch)

    def write(self, asked: Embedding, vectors: Sequence[Sequence[float]], script: Script) -> bytes:
        found = [{"values": vector[: asked.dimensions]} for vector in vectors]
        return msgspec.json.encode({"embeddings": found} if self._batch else {"embedding": found[0]})


def read_embedding(body: bytes, model: str, *, batch: bool) -> Embedding:
    """The request in a body.

    Raises:
        Rejected: with the status and the error the vendor answers.
    """
    raw = read_object(body)
    requests = raw.get("requests") if batch else [raw]
    if not isinstance(requests, list) or not requests:
        raise invalid("* BatchEmbedContentsRequest.requests: at least one request is required")
    if len(requests) > MAX_TEXTS:
        raise invalid(f"* BatchEmbedContentsRequest.requests: at most {MAX_TEXTS} requests can be in one batch")
    read = [_read(as_message(one, f"requests[{at}]"), model, named=batch) for at, one in enumerate(requests)]
    texts = tuple(text for text, _ in read)
    if len({dimensions for _, dimensions in read}) > 1:
        raise invalid("output_dimensionality must be the same in all requests of a batch")
    return Embedding(model, texts, read[0][1], sum(tokens.count(text) for text in texts))


def _read(raw: dict[str, Any], model: str, *, named: bool) -> tuple[str, int]:
    if named and raw.get("model") != f"models/{model}":
        raise invalid("* BatchEmbedContentsRequest.model: the model of every request must be that of the batch")
    parts = as_message(raw.get("content"), "content").get("parts")
    if not isinstance(parts, list) or not parts:
        raise invalid("* EmbedContentRequest.content: contents is not specified")
    texts = [as_message(part, "content.parts").get("text") for part in parts]
    text = "\n".join(one for one in texts if isinstance(one, str))
    if not text:
        raise invalid("* EmbedContentRequest.content: content is empty")
    dimensions = raw.get("outputDimensionality") or FULL_DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= FULL_DIMENSIONS:
        raise invalid(f"output_dimensionality must be between 1 and {FULL_DIMENSIONS}")
    return text, dimensions
