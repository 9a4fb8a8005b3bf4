"""How long to wait before trying again, and how much of all traffic may be trying again at all. Pure."""

from typing import NamedTuple

from golive.core.chance import Chance


class BackoffPolicy(NamedTuple):
    """1, 2, 4 … seconds up to `most_s`, each times 0.5 to 1.5 at random, for so many `retries`."""

    retries: int = 3
    first_s: float = 1.0
    most_s: float = 60.0

    def wait_s(self, retry: int, chance: Chance) -> float:
        """Seconds before retry number `retry`, which counts from 1."""
        return min(self.most_s, self.first_s * 2.0 ** min(retry - 1, 60)) * chance.uniform(0.5, 1.5)


class RetryBudget:
    """Keeps retries a share of the traffic: every call pays `share` in, every retry takes 1 out.

    So an outage of everything multiplies what the providers see by 1 + share and not by 1 + retries. `reserve` lets a
    server with little traffic retry at all, and bounds what a quiet hour can save up.
    """

    __slots__ = ("_balance", "_reserve", "_share")

    def __init__(self, share: float = 0.2, reserve: float = 10.0) -> None:
        self._share = share
        self._reserve = reserve
        self._balance = reserve

    def called(self) -> None:
        """A first attempt was made."""
        self._balance = min(self._reserve, self._balance + self._share)

    def take(self) -> bool:
        """Leave for one retry."""
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True
