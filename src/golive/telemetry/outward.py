"""Metrics of what golive does of its own accord: telling webhooks, beginning runs by the clock."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from golive.telemetry.series import TENANT, Counters, Gauges, Histograms, Labels

MAX_SERIES = 2_000
_LATE_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400)


class OutwardMetrics:
    """Registers themselves; labels are names out of the configuration, and tenants as `label` has them."""

    def __init__(self, registry: CollectorRegistry, label: Callable[[str], str] = str) -> None:
        self._label = label
        self._deliveries = Counters(
            "golive_webhook_deliveries", "Attempts to tell a webhook, by result (sent, failed, dead)",
            (TENANT, "webhook", "result"), MAX_SERIES,
        )  # fmt: skip
        self._oldest_due = Gauges(
            "golive_webhook_oldest_due_seconds", "Age of the oldest message that a webhook has not taken", ("webhook",)
        )
        self._scheduled = Counters(
            "golive_scheduled_runs", "Times of schedules, by what came of them (begun, missed, delayed, failed)",
            (TENANT, "schedule", "result"), MAX_SERIES,
        )  # fmt: skip
        self._lateness = Histograms(
            "golive_schedule_lateness_seconds", "From the time of a schedule to its run", (TENANT, "schedule"),
            _LATE_SECONDS, MAX_SERIES,
        )  # fmt: skip
        for family in (self._deliveries, self._oldest_due, self._scheduled, self._lateness):
            registry.register(family)

    def follow_due(self, ages: Callable[[], Mapping[Labels, float]]) -> None:
        """Sets where the age of each webhook's oldest due message is read whenever metrics are."""
        self._oldest_due.read = ages

    def delivery(self, tenant: str, webhook: str, result: str) -> None:
        """An attempt to tell a webhook something of the tenant came to `result`."""
        self._deliveries.add(1, (self._label(tenant), webhook, result))

    def scheduled(self, tenant: str, schedule: str, result: str, late_s: float | None = None) -> None:
        """A time of the tenant's schedule came to `result`; of a run that was begun, so long after that time."""
        tenant = self._label(tenant)
        self._scheduled.add(1, (tenant, schedule, result))
        if late_s is not None:
            self._lateness.observe(max(0.0, late_s), (tenant, schedule))
