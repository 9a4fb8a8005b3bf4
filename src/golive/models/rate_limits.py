"""What is left of a vendor's rate limits, from the headers of its answers.

Source: https://platform.claude.com/docs/en/api/rate-limits (`anthropic-ratelimit-*`, dates by RFC 3339) and
https://platform.openai.com/docs/guides/rate-limits (`x-ratelimit-*`, durations such as 6m0s), both November 2026. Groq,
xAI, Azure and other compatible servers send OpenAI's names, some of them with bare seconds.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from golive.models.vendor_errors import MAX_RETRY_AFTER_S

MAX_DIGITS = 15
"""Of a number of requests or tokens; a longer one is no limit."""

_HEADERS = tuple(
    (remaining.format(kind), reset.format(kind))
    for remaining, reset in (
        ("x-ratelimit-remaining-{}", "x-ratelimit-reset-{}"),
        ("anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset"),
    )
    for kind in ("requests", "tokens")
)
"""Of each limit: what is left of it, and when it is whole again. With Anthropic, tokens are input and output together,
of the tightest limit."""
_PIECE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|us|µs|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_BARE = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")


def spent_s(header: Callable[[str], str | None], now: float) -> float:
    """Seconds until every limit that is down to nothing is whole again, 0 to MAX_RETRY_AFTER_S; 0: none is.

    Args:
        header: a header's value by its lower-case name; what cannot be read counts as absent.
        now: wall time, seconds, for dates.
    """
    longest_s = 0.0
    for remaining, reset in _HEADERS:
        left = header(remaining)
        if left is not None and _count(left) == 0:
            longest_s = max(longest_s, _wait_s(header(reset), now) or 0.0)
    return longest_s


def _count(value: str) -> int | None:
    if not value.isascii() or not value.isdigit() or len(value) > MAX_DIGITS:
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
