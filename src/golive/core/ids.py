"""Identifiers that sort by the time they were made."""

import hashlib

from golive.core.chance import Chance
from golive.core.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]  # ten bits a lookup


class Ids:
    """Makes identifiers such as `run_01jd3k…`: a prefix, 48 bits of milliseconds, 82 random bits.

    Each sorts behind those this object made before, also within a millisecond and after the clock was set back:
    runs of one conversation are told apart in time by their ids.

    Source: the ULID specification (https://github.com/ulid/spec), with lower case and a prefix; within a millisecond it
    goes on by a random step instead of by one, so that nobody guesses a neighbour.
    """

    def __init__(self, clock: Clock, chance: Chance) -> None:
        self._clock = clock
        self._chance = chance
        self._last = 0

    def new(self, prefix: str) -> str:
        """A fresh identifier; it sorts behind every earlier one with the same prefix."""
        drawn = int.from_bytes(self._chance.token(11), "big")
        value = (int(self._clock.now() * 1000) << 82) | (drawn >> 6)
        if value >> 82 <= self._last >> 82:
            value = self._last + 1 + (drawn >> 24)
        self._last = value
        return _written(prefix, value)


def derived(prefix: str, at: float, *names: str) -> str:
    """The one identifier of what `names` say together, at `at` (wall time, seconds): whoever makes it, makes the same.

    It sorts by `at` among the others, to the millisecond.
    """
    drawn = hashlib.sha256("\0".join((prefix, repr(at), *names)).encode()).digest()
    return _written(prefix, (int(at * 1000) << 82) | (int.from_bytes(drawn[:11], "big") >> 6))


def _written(prefix: str, value: int) -> str:
    pairs = _PAIRS
    return f"{prefix}_" + "".join([pairs[(value >> shift) & 1023] for shift in range(120, -1, -10)])
