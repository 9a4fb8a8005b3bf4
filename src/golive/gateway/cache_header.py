"""The header by which a client of a plain model asks for kept answers: `x-golive-cache-ttl-s`."""

from golive.core.errors import InvalidRequest
from golive.gateway.exchange import Exchange
from golive.gateway.routes import Param

HEADER = "x-golive-cache-ttl-s"
MAX_TTL_S = 86_400.0
CACHE_PARAM = Param(
    HEADER, "header", "Plain models: for how long an equal request may be given this answer, seconds; 0: not at all."
)


def cache_ttl_s(exchange: Exchange) -> float | None:
    """How long the answer may be kept and how old a kept one may be, seconds; None: the client does not say.

    Raises:
        InvalidRequest: it is no number of seconds from 0 to a day.
    """
    told = exchange.header(HEADER.encode())
    if told is None:
        return None
    try:
        seconds = float(told)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_TTL_S:
        raise InvalidRequest(
            f"{HEADER} is {told[:40]!r}, which is no time to keep an answer.",
            remedy=f"Send seconds from 0 (keep nothing) to {MAX_TTL_S:.0f}, or leave it out.", field=HEADER,
            value=told[:40],
        )  # fmt: skip
    return seconds
