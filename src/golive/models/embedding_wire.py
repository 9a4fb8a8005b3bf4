"""Embeddings as they stand on the wire: OpenAI's POST /embeddings and Gemini's batchEmbedContents.

Sources: https://platform.openai.com/docs/api-reference/embeddings and https://ai.google.dev/api/embeddings, read
November 2026.
"""

import binascii
from array import array
from base64 import b64decode, b64encode
from math import isfinite
from sys import byteorder
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import ModelBadRequest, ModelError, ModelMalformed
from golive.models.dialect import Dialect, Target
from golive.models.openai_wire import token_count
from golive.models.vendor_errors import Origin, from_stream

MAX_DIMENSIONS = 65_536
"""Longest vector that is read."""

_encode = msgspec.json.Encoder().encode
_KEPT = frozenset({"model", "input", "encoding_format"})
"""Keys golive itself answers for; `extra` cannot replace them."""
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """Texts whose vectors are wanted. `extra` goes verbatim to a target whose dialect is `dialect`, and to no other."""

    inputs: tuple[str | tuple[int, ...], ...]
    """Each a text, or its tokens where the caller has the model's own tokenizer."""
    dimensions: int | None = None
    base64: bool = False
    """Vectors as base64 of little-endian 32-bit floats (OpenAI's `encoding_format`) instead of arrays of numbers."""
    dialect: str = "openai-chat"
    extra: dict[str, Raw] = {}


class Embedded(NamedTuple):
    """What an answer says. `input_tokens` is 0 where the vendor does not count."""

    vectors: tuple[Raw, ...]
    model: str
    input_tokens: int


class EmbeddingWire(Protocol):
    """How one vendor is asked for embeddings. Implementations: OpenAI's, Gemini's."""

    def path(self, dialect: Dialect, model: str) -> str:
        """Where requests go, behind `base_url`."""
        ...

    def encode(self, request: EmbeddingRequest, dialect: Dialect, target: Target) -> bytes:
        """The request's body.

        Raises:
            ModelBadRequest: the vendor cannot be asked this.
        """
        ...

    def decode(self, body: bytes, request: EmbeddingRequest, origin: Origin) -> Embedded:
        """The vectors, one for each input, in the order of the inputs.

        Raises:
            ModelMalformed: the body is no answer to the request. Other ModelError: it is an error.
        """
        ...


class OpenAIEmbeddings:
    """See `EmbeddingWire`."""

    def path(self, dialect: Dialect, model: str) -> str:
        return "/embeddings"

    def encode(self, request: EmbeddingRequest, dialect: Dialect, target: Target) -> bytes:
        wire: dict[str, Any] = {"model": target.model, "input": request.inputs}
        if request.base64:
            wire["encoding_format"] = "base64"
        if request.dimensions is not None:
            wire["dimensions"] = request.dimensions
        wire.update(_own(request, dialect))
        return _encode(wire)

    def decode(self, body: bytes, request: EmbeddingRequest, origin: Origin) -> Embedded:
        answer = _read(body, _OpenAIAnswer, origin)
        if answer.error:
            raise from_stream(origin, answer.error)
        data = answer.data or []
        if all(type(datum.index) is int for datum in data):
            data.sort(key=lambda datum: datum.index)
        vectors = _vectors([datum.embedding for datum in data], request, origin)
        usage = answer.usage if isinstance(answer.usage, dict) else {}
        tokens = token_count(usage.get("prompt_tokens")) or token_count(usage.get("total_tokens"))
        return Embedded(vectors, answer.model if isinstance(answer.model, str) else "", tokens)


class GeminiEmbeddings:
    """See `EmbeddingWire`. Gemini counts no tokens of embeddings."""

    def path(self, dialect: Dialect, model: str) -> str:
        return dialect.path(model, streamed=False).rpartition(":")[0] + ":batchEmbedContents"

    def encode(self, request: EmbeddingRequest, dialect: Dialect, target: Target) -> bytes:
        name = target.model if "/" in target.model else f"models/{target.model}"
        more: dict[str, Any] = {"model": name, **_own(request, dialect)}
        if request.dimensions is not None:
            more["outputDimensionality"] = request.dimensions
        wires = []
        for place, text in enumerate(request.inputs):
            if not isinstance(text, str):
                raise Origin(target.provider, target.model).error(
                    ModelBadRequest, f"takes texts and no tokens (input[{place}]).", remedy="Send the text.", sent=False
                )
            wires.append({**more, "content": {"parts": [{"text": text}]}})
        return _encode({"requests": wires})

    def decode(self, body: bytes, request: EmbeddingRequest, origin: Origin) -> Embedded:
        answer = _read(body, _GeminiAnswer, origin)
        if answer.error:
            raise from_stream(origin, answer.error)
        vectors = _vectors([embedding.values for embedding in answer.embeddings or ()], request, origin)
        return Embedded(vectors, "", 0)


class _OpenAIDatum(Struct):
    embedding: Raw = Raw()
    index: Any = None


class _OpenAIAnswer(Struct):
    data: list[_OpenAIDatum] | None = None
    model: Any = None
    usage: Any = None
    error: Any = None


class _GeminiEmbedding(Struct):
    values: Raw = Raw()


class _GeminiAnswer(Struct):
    embeddings: list[_GeminiEmbedding] | None = None
    error: Any = None


_Answer = TypeVar("_Answer", _OpenAIAnswer, _GeminiAnswer)
_WIRES: dict[str, EmbeddingWire] = {
    "openai-chat": OpenAIEmbeddings(), "openai-responses": OpenAIEmbeddings(), "gemini": GeminiEmbeddings(),
}  # fmt: skip


def wire_of(dialect: Dialect, target: Target) -> EmbeddingWire:
    """How a target of this dialect is asked.

    Raises:
        ModelBadRequest: the dialect has no embeddings (Anthropic's).
    """
    wire = _WIRES.get(dialect.name)
    if wire is None:
        raise Origin(target.provider, target.model).error(
            ModelBadRequest, f"speaks {dialect.name}, which has no embeddings.", sent=False,
            remedy=f"Use a model whose provider speaks one of: {', '.join(sorted(_WIRES))}.",
        )  # fmt: skip
    return wire


def _own(request: EmbeddingRequest, dialect: Dialect) -> dict[str, Raw]:
    if request.dialect.partition("-")[0] != dialect.name.partition("-")[0]:
        return {}
    return {key: raw for key, raw in request.extra.items() if key not in _KEPT}


def _read(body: bytes, kind: type[_Answer], origin: Origin) -> _Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except _UNREADABLE as error:
        how = origin.redact(str(error), 200)
        raise origin.error(ModelMalformed, f"sent a body that is not the dialect's JSON ({how}).") from None


def _vectors(raws: list[Raw], request: EmbeddingRequest, origin: Origin) -> tuple[Raw, ...]:
    """Each vector in the form that was asked for; what cannot be one is refused."""
    if len(raws) != len(request.inputs):
        raise _malformed(origin, f"sent {len(raws)} vectors for {len(request.inputs)} inputs.")
    return tuple(_vector(raw, place, request.base64, origin) for place, raw in enumerate(raws))


def _vector(raw: Raw, place: int, base64: bool, origin: Origin) -> Raw:
    """Servers that do not know `encoding_format` answer with numbers, and those that always pack, with base64."""
    try:
        given = msgspec.json.decode(raw, type=list[float] | str)
        packed = b64decode(given, validate=True) if isinstance(given, str) else None
    except (*_UNREADABLE, binascii.Error, ValueError):
        raise _malformed(origin, f"sent a vector (number {place}) that is none.") from None
    size = len(given) if packed is None else len(packed) / 4
    if not 1 <= size <= MAX_DIMENSIONS or size != int(size):
        raise _malformed(origin, f"sent a vector (number {place}) of {size:g} dimensions.")
    if packed is None and not base64:
        return raw.copy()
    floats = array("f")
    if packed is None:
        floats.extend(given)
    else:
        floats.frombytes(packed)
        if byteorder == "big":
            floats.byteswap()
    if not all(map(isfinite, floats)):
        raise _malformed(origin, f"sent a vector (number {place}) that holds no numbers.")
    if not base64:
        return Raw(_encode(floats.tolist()))
    if packed is not None:
        return raw.copy()
    if byteorder == "big":
        floats.byteswap()
    return Raw(_encode(b64encode(floats.tobytes()).decode()))


def _malformed(origin: Origin, message: str) -> ModelError:
    return origin.error(ModelMalformed, message)
