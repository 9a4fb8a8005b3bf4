"""Vectors of texts: seeded, of unit length, and nearer to each other the more words the texts share."""

import math
from collections.abc import Sequence
from hashlib import blake2b

from golive.core.chance import SeededChance
from golive.sim import tokens

FULL_DIMENSIONS = 3_072
_SPREAD = 16
"""A word adds to so many of the first `_DENSE` dimensions."""
_DENSE = 256
_NOISE = 0.02


def vectors(seed: int, model: str, texts: Sequence[str]) -> list[list[float]]:
    """A vector of `FULL_DIMENSIONS` for each text; the same text, model and seed give the same one.

    The words stand in front, so that a vector that is cut short is still near to its neighbours.
    """
    return [_vector(f"{seed}\0{model.partition('?')[0]}", text) for text in texts]


def unit(vector: Sequence[float]) -> list[float]:
    """The vector at unit length."""
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def _vector(kind: str, text: str) -> list[float]:
    noise = SeededChance(int.from_bytes(_digest(f"{kind}\0{text}", 8), "big")).token(FULL_DIMENSIONS)
    vector = [(byte - 127.5) * _NOISE / 127.5 for byte in noise]
    for word in tokens.split(text.lower()):
        for at in _digest(f"{kind}\0{word.strip()}", _SPREAD):
            vector[at % _DENSE] += 1.0 if at & 1 else -1.0
    return unit(vector)


def _digest(text: str, size: int) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
