"""Metrics and log events of tenants: who was not let in, what was ended for it, how many there are in which state."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from golive.telemetry.logs import Log
from golive.telemetry.series import Counters

MAX_SERIES = 1_000


class Standing(Protocol):
    """What is read of a tenant."""

    @property
    def state(self) -> str: ...


class TenantMetrics(Collector):
    """Registers itself."""

    def __init__(self, registry: CollectorRegistry, log: Log) -> None:
        self._log = log
        self._rows: Callable[[], Sequence[Standing]] = lambda: ()
        self._refused = Counters(
            "golive_tenant_refusals", "Requests and runs not let in, by why", ("tenant", "reason"), MAX_SERIES
        )
        self._ended = Counters(
            "golive_tenant_runs_ended", "Runs ended since their tenant or user is out", ("tenant", "reason"), MAX_SERIES
        )
        for family in (self._refused, self._ended, self):
            registry.register(family)

    def follow(self, rows: Callable[[], Sequence[Standing]]) -> None:
        """Sets where the tenants are read whenever metrics are."""
        self._rows = rows

    def refused(self, tenant: str, reason: str) -> None:
        """Somebody of a tenant was not let in, or nothing more of it was begun."""
        self._refused.add(1, (tenant, reason))

    def ended(self, tenant: str, user: str | None, run: str, reason: str) -> None:
        """A run was ended since its tenant, or user, is not let in any more."""
        self._ended.add(1, (tenant, reason))
        self._log.info("tenant.run_ended", tenant=tenant, user=user, run=run, reason=reason)

    def not_ended(self, what: str, error: BaseException) -> None:
        """A run, or what waits of a tenant, could not be ended now: it is tried again."""
        self._log.warning("tenant.run_not_ended", what=what, error=str(error))

    def describe(self) -> Iterable[Metric]:
        """The family, without values."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        """The family as of now."""
        family = self._family()
        counts = Counter(row.state for row in self._rows())
        for state in ("active", "suspended", "erased"):
            family.add_metric([state], counts[state])
        return [family]

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily("golive_tenants", "Tenants, by their state", labels=["state"])
