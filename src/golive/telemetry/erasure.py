"""Metrics of what goes: erasures that were asked for, those that are not finished, runs whose time was over."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from golive.telemetry.series import Counters

MAX_SERIES = 100


class ErasureMetrics(Collector):
    """Registers itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._erasures = Counters(
            "golive_erasures", "Erasures of a user or a tenant that were carried out", ("kind", "outcome"),
            MAX_SERIES,
        )  # fmt: skip
        self._pruned = Counters("golive_runs_pruned", "Runs that were removed because their time was over", (), 1)
        self.unfinished = 0
        """As of the last look at the store."""
        for family in (self._erasures, self._pruned, self):
            registry.register(family)
        self._pruned.add(0, ())

    def erased(self, kind: str, proved: bool) -> None:
        """An erasure of a "user" or a "tenant" was carried out."""
        self._erasures.add(1, (kind, "proved" if proved else "not_proved"))

    def pruned(self, runs: int) -> None:
        """So many runs were removed."""
        self._pruned.add(runs, ())

    def collect(self) -> Iterable[Metric]:
        """The gauge as of now."""
        yield GaugeMetricFamily(
            "golive_erasures_unfinished", "Erasures that were begun and are not proved yet", value=self.unfinished
        )
