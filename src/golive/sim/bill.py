"""What the simulated provider would have charged, by its own count and its own prices.

Truth for tests of golive's metering: aborted and cut calls are billed for what was produced, as vendors do.
"""

from collections import deque
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

MAX_LINES = 100_000
INPUT_CENTIMICROUSD = 100
CACHED_CENTIMICROUSD = 25
CACHE_WRITE_CENTIMICROUSD = 125
OUTPUT_CENTIMICROUSD = 400
"""Hundredths of a micro-dollar a token: 1.00, 0.25, 1.25 and 4.00 USD a million tokens."""

Ending = Literal["completed", "aborted by client", "cut", "failed"]


class Line(Struct, frozen=True):
    """One call. Tokens as the simulator counts them.

    `input_tokens` includes those read from its cache and those written to it, `output_tokens` the reasoning ones.
    """

    id: str
    model: str
    state: Ending
    stream: bool
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_microusd: int
    at: float
    cache_write_tokens: int = 0


class Totals(Struct):
    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0
    cache_write_tokens: int = 0


def price(input_tokens: int, cached_tokens: int, output_tokens: int, cache_write_tokens: int = 0) -> int:
    """Micro-dollars for one call, rounded up."""
    cost = (
        (input_tokens - cached_tokens - cache_write_tokens) * INPUT_CENTIMICROUSD
        + cache_write_tokens * CACHE_WRITE_CENTIMICROUSD
        + cached_tokens * CACHED_CENTIMICROUSD
        + output_tokens * OUTPUT_CENTIMICROUSD
    )
    return -(-cost // 100)


class Bill:
    """The lines of all calls (the newest `MAX_LINES` are kept) and their totals (never forgotten).

    A request that the vendor would refuse as invalid is no call.
    """

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=MAX_LINES)
        self.totals = Totals()

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def lines(self) -> list[Line]:
        """Oldest first, in the order the calls ended."""
        return list(self._lines)

    @property
    def cost_microusd(self) -> int:
        """The sum owed."""
        return self.totals.cost_microusd

    def add(
        self, *, call: str, model: str, state: Ending, stream: bool, input_tokens: int, cached_tokens: int,
        output_tokens: int, at: float, cache_write_tokens: int = 0,
    ) -> None:  # fmt: skip
        """Enters one call that has ended. A `failed` call is free."""
        if state == "failed":
            input_tokens = cached_tokens = output_tokens = cache_write_tokens = 0
        cost = price(input_tokens, cached_tokens, output_tokens, cache_write_tokens)
        self._lines.append(
            Line(call, model, state, stream, input_tokens, cached_tokens, output_tokens, cost, at, cache_write_tokens)
        )
        totals = self.totals
        totals.calls += 1
        totals.input_tokens += input_tokens
        totals.cached_tokens += cached_tokens
        totals.output_tokens += output_tokens
        totals.cost_microusd += cost
        totals.cache_write_tokens += cache_write_tokens

    def clear(self) -> None:
        """Begins anew."""
        self._lines.clear()
        self.totals = Totals()
