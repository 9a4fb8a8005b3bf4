"""What stands before one model of one provider, asked with one credential: its circuit breaker and its pauses.

A provider that says "not before" (Retry-After, or a limit header that is down to nothing) is left alone until then. One
that says so with a 429 is not broken, and its breaker stays as it was.
"""

from collections.abc import Callable
from typing import NamedTuple

from golive.core.breaker import Breaker, BreakerPolicy, State, Ticket
from golive.core.clock import Clock
from golive.core.errors import GoliveError, ModelRateLimited
from golive.models.failures import blames_provider
from golive.models.rate_limits import spent_s

PROBE_WAIT_S = 1.0
"""How soon to ask again while a probe is under way."""
MAX_PAUSE_S = 3_600.0
"""Longest pause taken on a provider's word; what is longer is asked again then."""
MAX_SPENT_PAUSE_S = 10.0
"""Longest pause because a limit is down to nothing: vendors say when it is whole again, and some is back before."""


class GateState(NamedTuple):
    """A gate as people are shown it. `wait_s`: seconds until it may be tried, 0 when it may be now. `supervises`: the
    agent whose supervisor alone it is before (`bounded.py`); `target` is then the first of that tier's chain."""

    target: str
    credential: str
    state: State
    opened: int
    wait_s: float
    supervises: str = ""


Moved = Callable[["Gate", State], None]
"""Told when a breaker's state changes, with the one before."""


class Gate:
    """Admission to one (provider, model, credential), or to one agent's supervisor."""

    __slots__ = ("_breaker", "_clock", "_moved", "_until", "credential", "supervises", "target")

    def __init__(
        self, target: str, credential: str, policy: BreakerPolicy, clock: Clock, moved: Moved, supervises: str = ""
    ) -> None:
        """`credential` is its reference, never its value; "" where there is none. `supervises`: as in `GateState`."""
        self.target = target
        self.credential = credential
        self.supervises = supervises
        self._breaker = Breaker(policy)
        self._clock = clock
        self._moved = moved
        self._until = 0.0

    @property
    def state(self) -> GateState:
        """As of now."""
        breaker, wait_s = self._breaker, round(self.wait_s(), 3)
        return GateState(self.target, self.credential, breaker.state, breaker.opened, wait_s, self.supervises)

    def wait_s(self) -> float:
        """Seconds until an attempt may be made; 0: now."""
        if not self._until and self._breaker.state == "closed":
            return 0.0
        return max(self.pause_s(), self.closed_s())

    def pause_s(self) -> float:
        """Seconds that the provider asked to be left alone for."""
        return max(self._until - self._clock.monotonic(), 0.0)

    def closed_s(self) -> float:
        """Seconds until the breaker lets an attempt through."""
        wait_s = self._breaker.wait_s(self._clock.monotonic())
        return PROBE_WAIT_S if not wait_s and self._breaker.probing else wait_s

    def admit(self) -> Ticket | None:
        """Leave for one attempt, which must end in one of the three below; None: not now."""
        now = self._clock.monotonic()
        if now < self._until:
            return None
        before = self._breaker.state
        ticket = self._breaker.admit(now)
        self._tell(before)
        return ticket

    def succeeded(self, ticket: Ticket) -> None:
        """A whole answer came."""
        before = self._breaker.state
        self._breaker.succeeded(ticket)
        self._tell(before)

    def failed(self, ticket: Ticket, error: GoliveError) -> None:
        """The attempt ended with `error`, which may or may not speak against the provider.

        Where it opened the breaker, the error's field `breaker` is "opened".
        """
        before, now = self._breaker.state, self._clock.monotonic()
        wait_s = error.fields.get("retry_after_s")
        if wait_s:
            self.pause(wait_s)
        if isinstance(error, ModelRateLimited) and wait_s:
            self._breaker.given_up(ticket)
        elif blames_provider(error):
            self._breaker.failed(ticket, now)
        else:
            self._breaker.given_up(ticket)
        self._tell(before, error)

    def given_up(self, ticket: Ticket) -> None:
        """The attempt was abandoned."""
        self._breaker.given_up(ticket)

    def pause(self, seconds: float) -> None:
        """Nothing is to be tried for so long."""
        self._until = max(self._until, self._clock.monotonic() + min(seconds, MAX_PAUSE_S))

    def reset(self) -> bool:
        """Closes the breaker and forgets failures and pauses; whether anything was not open to everybody."""
        before, shut = self._breaker.state, self.wait_s() > 0
        self._until = 0.0
        self._breaker.reset()
        self._tell(before)
        return shut or before != "closed"

    def limits_seen(self, header: Callable[[str], str | None]) -> None:
        """Looks at what an answer's headers say is left of the vendor's limits; `header` gives one by its name."""
        if wait_s := spent_s(header, self._clock.now()):
            self.pause(min(wait_s, MAX_SPENT_PAUSE_S))

    def _tell(self, before: State, error: GoliveError | None = None) -> None:
        if self._breaker.state != before:
            self._moved(self, before)
            if error is not None:  # a failure that moves it opens it
                error.fields["breaker"] = "opened"
