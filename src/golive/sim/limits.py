"""How many requests a credential has made to a model in the window that is running."""

from collections import OrderedDict

from golive.sim.vendor import Limit

MAX_KEYS = 10_000


class KeyLimits:
    """Windows of fixed length; each begins with the first request after the one before."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, owner: str, limit: int, window_s: float, now: float) -> tuple[bool, Limit]:
        """Counts one request, if it fits; whether it does, and how things stand then."""
        until, used = self._windows.pop(owner, (now + window_s, 0))
        if until <= now:
            until, used = now + window_s, 0
        fits = used < limit
        used += fits
        self._windows[owner] = (until, used)
        while len(self._windows) > MAX_KEYS:
            self._windows.popitem(last=False)
        return fits, Limit(limit, limit - used, until - now, until)
