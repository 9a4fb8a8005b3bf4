"""What a server says of its hold on runs: those that it took over, and those that it lost to other servers."""

from collections.abc import Sequence

from golive.core.errors import StoreUnavailable
from golive.telemetry.durable import DurableMetrics
from golive.telemetry.logs import Log

SHOWN = 20
"""Ids of runs in a line of the log; the count is of all."""


class HoldLog:
    """One server's: lines in the log, and counters."""

    def __init__(self, log: Log, metrics: DurableMetrics) -> None:
        self._log = log
        self._metrics = metrics

    def taken_over(self, runs: Sequence[str]) -> None:
        """This server goes on with runs that others left."""
        self._metrics.taken_over(len(runs))
        self._log.warning("runs.taken_over", count=len(runs), runs=list(runs[:SHOWN]))

    def store(self, error: StoreUnavailable | None, seconds: float) -> None:
        """The store is lost (why), or back (None) after so many seconds."""
        if error is not None:
            self._metrics.store_lost()
            self._log.error("store.lost", code=error.code, message=error.message, remedy=error.remedy)
        else:
            self._log.warning("store.back", seconds=round(seconds, 1))

    def lost(self, runs: Sequence[str], lapsed: bool) -> None:
        """Others have runs of this server; where its hold had lapsed, nobody meant it: it was frozen, or cut off."""
        if runs:
            self._metrics.lost(len(runs))
            tell = self._log.warning if lapsed else self._log.info
            tell("runs.lost", count=len(runs), runs=list(runs[:SHOWN]), lapsed=lapsed)
