"""Metrics of tokens of OpenID Connect issuers."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from golive.telemetry.series import Counters, Gauges, Labels

MAX_SERIES = 1_000


class TokenMetrics:
    """Registers themselves; labels are names out of the configuration, and reasons out of a fixed list."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._accepted = Counters(
            "golive_tokens_accepted", "Tokens taken, by whether they were verified now or remembered",
            ("issuer", "how"), MAX_SERIES,
        )  # fmt: skip
        self._refused = Counters(
            "golive_tokens_refused", "Tokens refused, by reason; no issuer where none of ours is named",
            ("issuer", "reason"), MAX_SERIES,
        )  # fmt: skip
        self._age = Gauges("golive_token_keys_age_seconds", "Since an issuer's keys were last read", ("issuer",))
        for family in (self._accepted, self._refused, self._age):
            registry.register(family)

    def follow_ages(self, ages: Callable[[], Mapping[Labels, float]]) -> None:
        """Sets where the age of each issuer's keys is read whenever metrics are."""
        self._age.read = ages

    def accepted(self, issuer: str, remembered: bool) -> None:
        """A token was taken."""
        self._accepted.add(1, (issuer, "remembered" if remembered else "verified"))

    def refused(self, issuer: str, reason: str) -> None:
        """A token was not taken."""
        self._refused.add(1, (issuer, reason))
