"""Metrics of secrets: how old each is, how many are to be replaced, backends that could not be asked, revocations."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from golive.telemetry.series import Counters

MAX_SERIES = 100


class Aged(Protocol):
    """What is read of a secret."""

    @property
    def reference(self) -> str: ...
    @property
    def age_days(self) -> float | None: ...
    @property
    def remind(self) -> bool: ...
    @property
    def state(self) -> str: ...


class SecretMetrics(Collector):
    """Registers itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._cards: Callable[[], Sequence[Aged]] = lambda: ()
        self._failures = Counters(
            "golive_secret_fetch_failures", "Secrets that a backend did not give, by backend", ("backend",), MAX_SERIES
        )
        self._revoked = Counters("golive_secrets_revoked", "Credentials that were revoked", (), MAX_SERIES)
        for family in (self._failures, self._revoked, self):
            registry.register(family)
        self._revoked.add(0, ())

    def follow(self, cards: Callable[[], Sequence[Aged]]) -> None:
        """Sets where the secrets are read whenever metrics are."""
        self._cards = cards

    def failed(self, backend: str) -> None:
        """A backend did not give a secret."""
        self._failures.add(1, (backend,))

    def revoked(self) -> None:
        """A credential was revoked."""
        self._revoked.add(1, ())

    def describe(self) -> Iterable[Metric]:
        """The families, without values."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """The families as of now."""
        age, due, away = families = self._families()
        cards = self._cards()
        for card in cards:
            if card.age_days is not None:
                age.add_metric([card.reference], card.age_days)
        due.add_metric([], sum(card.remind for card in cards))
        away.add_metric([], sum(card.state in ("stale", "lost", "never") for card in cards))
        return families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily("golive_secret_age_days", "Days since a secret was replaced", labels=["reference"]),
            GaugeMetricFamily("golive_secrets_due", "Secrets that are to be replaced soon, or should have been"),
            GaugeMetricFamily("golive_secrets_away", "Secrets whose backend cannot be asked, or that are missing"),
        )
