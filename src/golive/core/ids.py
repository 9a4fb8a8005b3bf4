"""Identifiers that sort by the time they were made."""

from golive.core.chance import Chance
from golive.core.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]  # ten bits a lookup


class Ids:
    """Makes identifiers such as `run_01jd3k…`: a prefix, 48 bits of milliseconds, 82 random bits.

    Source: the ULID specification (https://github.com/ulid/spec), with lower case and a prefix.
    """

    def __init__(self, clock: Clock, chance: Chance) -> None:
        self._clock = clock
        self._chance = chance

    def new(self, prefix: str) -> str:
        """A fresh identifier; two made in different milliseconds sort in the order they were made."""
        value = (int(self._clock.now() * 1000) << 82) | (int.from_bytes(self._chance.token(11), "big") >> 6)
        pairs = _PAIRS
        return f"{prefix}_" + "".join([pairs[(value >> shift) & 1023] for shift in range(120, -1, -10)])
