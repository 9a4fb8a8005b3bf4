"""One absolute point in time by which something must be over; handed down, spent, never extended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from golive.core.clock import Clock
from golive.core.errors import DeadlineExceeded


class Deadline(NamedTuple):
    """A point on the clock's monotonic scale, and the name of the limit that set it."""

    at: float
    limit: str
    seconds: float

    @classmethod
    def after(cls, clock: Clock, seconds: float, limit: str) -> "Deadline":
        """The deadline `seconds` from now; `limit` names the setting, for the error's text."""
        return cls(clock.monotonic() + seconds, limit, seconds)

    def sooner(self, other: "Deadline") -> "Deadline":
        """Whichever of the two comes first: a layer may tighten what it was given, never loosen it."""
        return self if self.at <= other.at else other

    def remaining(self, clock: Clock) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - clock.monotonic())

    def error(self) -> DeadlineExceeded:
        """What to raise when it has passed."""
        return DeadlineExceeded(limit=self.limit, seconds=self.seconds)

    @asynccontextmanager
    async def enforced(self, clock: Clock) -> AsyncIterator[None]:
        """Cancels the block at the deadline.

        Raises:
            DeadlineExceeded: the block was still running at the deadline.
        """
        scope = asyncio.timeout(self.remaining(clock))
        try:
            async with scope:
                yield
        except TimeoutError:
            if scope.expired():
                raise self.error() from None
            raise
