"""The circuit breaker's law, pure: what may be tried, after what went wrong. Knows no clock; time is handed in.

Closed: everything may be tried; so many failed attempts in a row open it. Open: nothing may, for a while. Half-open:
one attempt at a time is let through as a probe; so many successes close it, a failure opens it again.

An attempt's outcome counts only in the state under which it was admitted: a slow answer from before the outage does not
close a breaker, and a late failure does not reopen one.
"""

from typing import Literal, NamedTuple

State = Literal["closed", "open", "half_open"]


class BreakerPolicy(NamedTuple):
    """When to open, how long to stay so (seconds), and how many probes must succeed."""

    failures: int = 5
    open_s: float = 30.0
    successes: int = 3


class Ticket(NamedTuple):
    """Leave for one attempt; `turn` is the state's number under which it was given."""

    turn: int
    probe: bool


class Breaker:
    """One dependency's breaker. Every admitted attempt must end in exactly one of `succeeded`, `failed`, `given_up`."""

    __slots__ = ("_failures", "_opened_at", "_policy", "_successes", "_turn", "opened", "probing", "state")

    def __init__(self, policy: BreakerPolicy = BreakerPolicy()) -> None:  # noqa: B008  # immutable
        self._policy = policy
        self._turn = 0
        self._failures = 0
        self._successes = 0
        self._opened_at = 0.0
        self.probing = False
        """A probe is under way."""
        self.state: State = "closed"
        """As of the last call; an open one becomes half-open when its time is over and somebody asks."""
        self.opened = 0
        """How often it has opened."""

    def admit(self, now: float) -> Ticket | None:
        """Leave for one attempt, or None: do not try. `now` in seconds, never going back."""
        if self.state == "closed":
            return Ticket(self._turn, probe=False)
        if self.state == "open":
            if now < self._opened_at + self._policy.open_s:
                return None
            self._enter("half_open")
        if self.probing:
            return None
        self.probing = True
        return Ticket(self._turn, probe=True)

    def wait_s(self, now: float) -> float:
        """Seconds until an attempt may be admitted; 0 also while a probe is under way."""
        return max(0.0, self._opened_at + self._policy.open_s - now) if self.state == "open" else 0.0

    def succeeded(self, ticket: Ticket) -> None:
        """The attempt worked."""
        if not self._counts(ticket):
            return
        if self.state == "closed":
            self._failures = 0
            return
        self._successes += 1
        if self._successes >= self._policy.successes:
            self._enter("closed")

    def failed(self, ticket: Ticket, now: float) -> None:
        """The attempt failed by the dependency's fault."""
        if not self._counts(ticket):
            return
        self._failures += 1
        if self.state == "half_open" or self._failures >= self._policy.failures:
            self._opened_at = now
            self.opened += 1
            self._enter("open")

    def reset(self) -> None:
        """Closes it by hand: somebody knows that the dependency is well. Attempts under way do not count."""
        self._enter("closed")

    def given_up(self, ticket: Ticket) -> None:
        """The attempt says nothing about the dependency: it was cancelled, or the request itself was at fault."""
        self._counts(ticket)

    def _counts(self, ticket: Ticket) -> bool:
        if ticket.turn != self._turn:
            return False
        if ticket.probe:
            self.probing = False
        return True

    def _enter(self, state: State) -> None:
        self.state = state
        self._turn += 1
        self._failures = self._successes = 0
        self.probing = False
