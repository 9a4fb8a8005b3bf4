"""Which attempts of a call are under way: one, or two where a hedge has sent a second request."""

from golive.models.call import AttemptFailed, AttemptStarted


class UnderWay:
    """`attempt` and `target` are those of the attempt that answers, as far as its events have told: the newest that has
    not been given up."""

    __slots__ = ("_open", "attempt", "target")

    def __init__(self) -> None:
        self._open: dict[int, str] = {}
        self.attempt = 1
        self.target = ""

    @property
    def over(self) -> bool:
        """Whether somebody was asked, and every failure has been told."""
        return bool(self.target) and not self._open

    def started(self, event: AttemptStarted) -> None:
        """It has begun."""
        self._open[event.attempt] = self.target = event.target
        self.attempt = event.attempt

    def moved_on(self, event: AttemptFailed) -> None:
        """The call has left it; where another is under way, that one answers."""
        self._open.pop(event.attempt, None)
        if self._open:
            self.attempt, self.target = next(reversed(self._open.items()))

    def clear(self) -> None:
        """None of them is any more; what was told of the last one stands."""
        self._open.clear()
