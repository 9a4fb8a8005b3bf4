"""The only place that draws random numbers."""

import os
import random
from typing import Protocol


class Chance(Protocol):
    """Where randomness comes from: the operating system in production, a seed in the simulated world."""

    def token(self, size: int) -> bytes:
        """`size` random bytes, fit for identifiers and secrets."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A float drawn evenly from [low, high)."""
        ...


class SystemChance:
    """Unpredictable randomness from the operating system."""

    def token(self, size: int) -> bytes:
        return os.urandom(size)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)


class SeededChance:
    """The same draws for the same seed; never for secrets that leave a test or a simulation."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)
