"""Rate-limit headers, as vendors send them and as nobody should."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.models.rate_limits import spent_s

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp()


def test_anthropic_headers() -> None:
    """Counts and dates; the dates become seconds from now, and the longest of the limits that are spent counts."""
    headers = {
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-11-21T12:00:30Z",
        "anthropic-ratelimit-tokens-remaining": "96000",
        "anthropic-ratelimit-tokens-reset": "2026-11-21T14:01:00.500+02:00",
        "anthropic-ratelimit-input-tokens-remaining": "80000",
    }
    assert spent_s(headers.get, NOW) == 30.0
    assert spent_s((headers | {"anthropic-ratelimit-tokens-remaining": "0"}).get, NOW) == 60.5
    assert spent_s((headers | {"anthropic-ratelimit-requests-remaining": "1"}).get, NOW) == 0.0


def test_openai_headers() -> None:
    """Counts and durations."""
    headers = {
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert spent_s(headers.get, NOW) == 360.0
    assert spent_s((headers | {"x-ratelimit-remaining-tokens": "149984"}).get, NOW) == 0.0
    assert spent_s((headers | {"x-ratelimit-remaining-requests": "00"}).get, NOW) == 360.0


def test_no_headers() -> None:
    """A vendor that says nothing has no limit that is spent; one that says no time leaves nothing to wait for."""
    assert spent_s({}.get, NOW) == 0.0
    assert spent_s({"x-ratelimit-remaining-requests": "0"}.get, NOW) == 0.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("20ms", 0.02), ("2m59.56s", 179.56), ("1h2m3s", 3_723.0), ("0s", 0.0), ("10", 10.0), ("1.5", 1.5),
        ("500us", 0.0005), ("900h", 86_400.0), ("2026-11-21T11:00:00Z", 0.0), ("2026-11-21t12:00:05z", 5.0),
        ("500µs", 0.0005), ("90ns", 9e-8),
        ("2026-11-21T12:00:07", 7.0), ("9999-12-31T23:59:59Z", 86_400.0),
        ("", 0.0), ("-1s", 0.0), ("6m0", 0.0), ("m", 0.0), ("nan", 0.0), ("inf", 0.0), ("1e9s", 0.0),
        ("soon", 0.0), ("2026-13-01T00:00:00Z", 0.0), ("T", 0.0), ("0001-01-01T00:00:00+23:59", 0.0),
    ],
)  # fmt: skip
def test_resets(value: str, seconds: float) -> None:
    """Every form of a wait that is documented or met; the rest is no wait, never an exception."""
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": value}
    assert spent_s(headers.get, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "-0", "0.0", "NaN", "\u0660", "0" * 16, "none"])
def test_counts_that_are_none(value: str) -> None:
    """Only a plain whole number is a count, and so says that nothing is left."""
    headers = {"anthropic-ratelimit-requests-remaining": value, "anthropic-ratelimit-requests-reset": "5"}
    assert spent_s(headers.get, NOW) == 0.0


@given(st.text(max_size=40))
def test_any_text(value: str) -> None:
    """Whatever a header holds, a wait is a finite number of seconds up to a day."""
    assert 0 <= spent_s(lambda name: "0" if "remaining" in name else value, NOW) <= 86_400
