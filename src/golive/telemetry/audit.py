"""Metrics of the audit log: what waits to be written, what was lost, what was signed."""

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry


class AuditMetrics(Collector):
    """Registers itself; asks at each scrape."""

    def __init__(
        self, registry: CollectorRegistry, waiting: Callable[[], int], dropped: Callable[[], int],
        signed: Callable[[], int],
    ) -> None:  # fmt: skip
        self._asked = (waiting, dropped, signed)
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The three families."""
        waiting, dropped, signed = (ask() for ask in self._asked)
        yield GaugeMetricFamily(
            "golive_audit_waiting", "Entries of the audit log that are not durable yet; at 10,000 requests are refused",
            value=waiting,
        )  # fmt: skip
        yield CounterMetricFamily(
            "golive_audit_dropped", "Entries of the audit log that were lost (audit.on_full)", value=dropped
        )
        yield CounterMetricFamily("golive_audit_checkpoints", "Ends of chains that were signed", value=signed)
