"""OpenAI's embeddings: what is accepted, and the vectors as numbers or Base64.

Source: https://platform.openai.com/docs/api-reference/embeddings, as of 2026.
"""

from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from golive.sim import tokens
from golive.sim.embeddings import unit
from golive.sim.openai.checks import invalid_value, missing, read_object, token_limit
from golive.sim.protocol import Request
from golive.sim.request import Rejected
from golive.sim.script import Script
from golive.sim.usage import encoded, with_usage
from golive.sim.vendor import Embedding

MAX_TEXTS = 2_048
DIMENSIONS = 1_536


class Embeddings:
    """The dialect."""

    def read(self, request: Request, model: str) -> Embedding:
        return read_embedding(request.body)

    def write(self, asked: Embedding, vectors: Sequence[Sequence[float]], script: Script) -> bytes:
        return write_embedding(asked, vectors, script)


def read_embedding(body: bytes) -> Embedding:
    """The request in a body. Text that comes as token numbers is taken as these numbers' digits.

    Raises:
        Rejected: with the status and the error the vendor answers.
    """
    raw = read_object(body)
    given = raw.get("input")
    if given is None:
        raise missing("input")
    texts, cost = _texts(given)
    encoding = raw.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise invalid_value("encoding_format", encoding, "'float' and 'base64'")
    dimensions = token_limit(raw, "dimensions", 1) or DIMENSIONS
    if dimensions > DIMENSIONS:
        message = f"Invalid value for 'dimensions' = {dimensions}. Must be less than or equal to {DIMENSIONS}."
        raise Rejected(400, message, param="dimensions")
    return Embedding(raw["model"], texts, dimensions, cost, encoding)


def write_embedding(asked: Embedding, vectors: Sequence[Sequence[float]], script: Script) -> bytes:
    """The vectors, shortened to the dimensions asked for and of unit length again."""
    shortened = [unit(vector[: asked.dimensions]) for vector in vectors]
    data = [
        {"object": "embedding", "index": at, "embedding": _base64(vector) if asked.encoding == "base64" else vector}
        for at, vector in enumerate(shortened)
    ]
    body = msgspec.json.encode({"object": "list", "data": data, "model": asked.model})
    used = -asked.input_tokens if script.usage == "negative" else asked.input_tokens
    usage = encoded({"prompt_tokens": used, "total_tokens": used}, script)
    return with_usage(body, b"usage", usage, script)


def _texts(given: Any) -> tuple[tuple[str, ...], int]:
    items = given if isinstance(given, list) else [given]
    if items and all(isinstance(one, int) and not isinstance(one, bool) for one in items):
        items = [items]
    if not items or len(items) > MAX_TEXTS:
        raise _invalid("'$.input' is invalid. It needs 1 to 2048 texts.")
    texts, cost = [], 0
    for one in items:
        if isinstance(one, str) and one:
            texts.append(one)
            cost += tokens.count(one)
        elif isinstance(one, list) and one and all(isinstance(number, int) for number in one):
            texts.append(" ".join(map(str, one)))
            cost += len(one)
        else:
            raise _invalid("'$.input' is invalid. Please check the API reference.")
    return tuple(texts), cost


def _invalid(message: str) -> Rejected:
    return Rejected(400, message, param="input")


def _base64(vector: list[float]) -> str:
    return b64encode(array("f", vector).tobytes()).decode()
