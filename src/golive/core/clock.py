"""The only place that reads the system's time."""

import time
from collections.abc import Callable
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


class FastClock:
    """The machine's clocks, going `speed` times as fast from `hurry` on: half an hour's outage in half a minute."""

    def __init__(self, speed: float, since: float | None = None) -> None:
        """How fast, and where it begins.

        Args:
            speed: 1 or more.
            since: when time began to go faster, seconds since the epoch by the machine's clock: a process that goes on
                where an earlier one ended then tells no earlier time than that one did. None: it begins now.
        """
        if not speed >= 1:
            raise ValueError(f"speed {speed:g} is below 1")
        self.speed = 1.0
        """How fast it goes now."""
        self.hurries = False
        self.when_hurried: Callable[[], None] | None = None
        """Called once it goes faster, by whoever has timers."""
        self._wanted = speed
        self._since = self._base = time.monotonic()
        now = time.time()
        ahead = 0.0 if since is None else max(0.0, now - since) * (speed - 1)
        self._epoch = now + ahead - self._base

    def hurry(self) -> None:
        """Until now it went with the machine's; from now on it goes faster."""
        self._base, self._since = self.monotonic(), time.monotonic()
        self.speed, self.hurries = self._wanted, True
        if self.when_hurried is not None:
            self.when_hurried()

    def now(self) -> float:
        return self._epoch + self.monotonic()

    def monotonic(self) -> float:
        return self._base + (time.monotonic() - self._since) * self.speed
