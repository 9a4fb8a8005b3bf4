"""Metrics of the HTTP edge: connections, those that were turned away, and the certificate."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from golive.telemetry.series import Counters, Gauge

MAX_SERIES = 100


class EdgeMetrics:
    """Made before there is a registry, for the socket is; `join` registers them."""

    def __init__(self) -> None:
        self._refused = Counters(
            "golive_connections_refused", "Connections and requests refused before anybody knew who asked, by reason",
            ("reason",), MAX_SERIES,
        )  # fmt: skip
        self._reloads = Counters(
            "golive_tls_reloads", "Readings of a changed certificate: ok, or refused, and the old one stayed",
            ("result",), MAX_SERIES,
        )  # fmt: skip
        self._connections: Callable[[], int] = lambda: 0
        self._expires: Callable[[], float] | None = None

    def follow(self, connections: Callable[[], int]) -> None:
        """Sets where the number of open connections is read."""
        self._connections = connections

    def follow_certificate(self, expires_in_s: Callable[[], float]) -> None:
        """Sets where the time left to the certificate in use is read, seconds."""
        self._expires = expires_in_s

    def refused(self, reason: str) -> None:
        """Somebody was turned away."""
        self._refused.add(1, (reason,))

    def reloaded(self, result: str) -> None:
        """A changed certificate was read."""
        self._reloads.add(1, (result,))

    def join(self, registry: CollectorRegistry) -> None:
        """Registers the families."""
        registry.register(self._refused)
        registry.register(Gauge("golive_connections", "Open connections", self._connections))
        if (expires := self._expires) is not None:
            registry.register(self._reloads)
            registry.register(
                Gauge("golive_tls_expires_seconds", "Time left to the certificate in use, seconds", expires)
            )
