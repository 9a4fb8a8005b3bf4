"""Metrics of browsers that log in."""

from prometheus_client import CollectorRegistry

from golive.telemetry.series import Counters

MAX_SERIES = 200


class LoginMetrics:
    """Registers itself; labels are names out of the configuration and of a fixed list."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._logins = Counters(
            "golive_logins",
            "Logins of browsers, by how (link, or the issuer's name) and outcome (begun, refused)",
            ("via", "outcome"), MAX_SERIES,
        )  # fmt: skip
        registry.register(self._logins)

    def add(self, via: str, outcome: str) -> None:
        """One more."""
        self._logins.add(1, (via, outcome))
