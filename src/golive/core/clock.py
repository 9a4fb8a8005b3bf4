"""The only place that reads the system's time."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from: the system in production, a virtual loop in the simulated world."""

    def now(self) -> float:
        """Wall time in seconds since the Unix epoch, UTC; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back; the scale of every deadline."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
