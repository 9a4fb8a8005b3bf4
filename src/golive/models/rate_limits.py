"""What is left of a vendor's rate limits, from the headers of its answers.

Source: https://platform.claude.com/docs/en/api/rate-limits (`anthropic-ratelimit-*`, dates by RFC 3339) and
https://platform.openai.com/docs/guides/rate-limits (`x-ratelimit-*`, durations such as 6m0s), both November 2026. Groq,
xAI, Azure and other compatible servers send OpenAI's names, some of them with bare seconds.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from golive.models.vendor_errors import MAX_RETRY_AFTER_S

MAX_DIGITS = 15
"""Of a number of requests or tokens; a longer one is no limit."""

_FORMS = (
    ("anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset"),
    ("x-ratelimit-remaining-{}", "x-ratelimit-reset-{}"),
)
_PIECE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|us|µs|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_BARE = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")


class RateLimits(NamedTuple):
    """What is left, and after how many seconds it is whole again (0 to MAX_RETRY_AFTER_S). None: not known.

    Tokens are those of the tightest limit as the vendor states it; with Anthropic input and output together.
    """

    requests_remaining: int | None = None
    requests_reset_s: float | None = None
    tokens_remaining: int | None = None
    tokens_reset_s: float | None = None


def limits(header: Callable[[str], str | None], now: float) -> RateLimits:
    """Reads the limits of one answer. What is absent or cannot be read is None.

    Args:
        header: a header's value by its lower-case name.
        now: wall time, seconds, for dates.
    """
    return RateLimits(*_of("requests", header, now), *_of("tokens", header, now))


def _of(kind: str, header: Callable[[str], str | None], now: float) -> tuple[int | None, float | None]:
    for remaining, reset in _FORMS:
        left, wait = header(remaining.format(kind)), header(reset.format(kind))
        if left is not None or wait is not None:
            return _count(left), _wait_s(wait, now)
    return None, None


def _count(value: str | None) -> int | None:
    if value is None or not value.isascii() or not value.isdigit() or len(value) > MAX_DIGITS:
        return None
    return int(value)


def _wait_s(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    seconds = _date(value, now) if "T" in value or "t" in value else _duration(value)
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _duration(value: str) -> float | None:
    """Go's notation of durations (1h2m3.5s, 20ms), or bare seconds."""
    if _BARE.fullmatch(value):
        return float(value)
    seconds, at = 0.0, 0
    while piece := _PIECE.match(value, at):
        seconds += float(piece[1]) * _SECONDS[piece[2]]
        at = piece.end()
    return seconds if at and at == len(value) else None


def _date(value: str, now: float) -> float | None:
    try:
        date = datetime.fromisoformat(value.upper())
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
