"""Rate-limit headers, as vendors send them and as nobody should."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.models.rate_limits import RateLimits, limits

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp()


def test_anthropic_headers() -> None:
    """Counts and dates; the dates become seconds from now."""
    headers = {
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-requests-remaining": "999",
        "anthropic-ratelimit-requests-reset": "2026-11-21T12:00:30Z",
        "anthropic-ratelimit-tokens-remaining": "96000",
        "anthropic-ratelimit-tokens-reset": "2026-11-21T14:01:00.500+02:00",
        "anthropic-ratelimit-input-tokens-remaining": "80000",
    }
    assert limits(headers.get, NOW) == RateLimits(999, 30.0, 96_000, 60.5)


def test_openai_headers() -> None:
    """Counts and durations."""
    headers = {
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert limits(headers.get, NOW) == RateLimits(59, 1.0, 149_984, 360.0)


def test_no_headers() -> None:
    """A vendor that says nothing leaves everything unknown."""
    assert limits({}.get, NOW) == RateLimits(None, None, None, None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("20ms", 0.02), ("2m59.56s", 179.56), ("1h2m3s", 3_723.0), ("0s", 0.0), ("10", 10.0), ("1.5", 1.5),
        ("500us", 0.0005), ("900h", 86_400.0), ("2026-11-21T11:00:00Z", 0.0), ("2026-11-21t12:00:05z", 5.0),
        ("2026-11-21T12:00:07", 7.0), ("9999-12-31T23:59:59Z", 86_400.0),
        ("", None), ("-1s", None), ("6m0", None), ("m", None), ("nan", None), ("inf", None), ("1e9s", None),
        ("soon", None), ("2026-13-01T00:00:00Z", None), ("T", None), ("0001-01-01T00:00:00+23:59", 0.0),
    ],
)  # fmt: skip
def test_resets(value: str, seconds: float | None) -> None:
    """Every form of a wait that is documented or met; the rest is unknown, never an exception."""
    found = limits({"x-ratelimit-reset-tokens": value}.get, NOW).tokens_reset_s
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("value", ["", "-1", "1.0", "NaN", "٣", "9" * 16, "many"])
def test_counts_that_are_none(value: str) -> None:
    """Only a plain whole number is a count."""
    assert limits({"anthropic-ratelimit-requests-remaining": value}.get, NOW).requests_remaining is None


@given(st.text(max_size=40))
def test_any_text(value: str) -> None:
    """Whatever a header holds, a wait is a finite number of seconds up to a day, or unknown."""
    found = limits(lambda name: value, NOW)
    for wait in (found.requests_reset_s, found.tokens_reset_s):
        assert wait is None or (math.isfinite(wait) and 0 <= wait <= 86_400)
