"""The state of one thing golive depends on, as /health reports it."""

from typing import Literal

from msgspec import Struct


class BreakerInfo(Struct, frozen=True, omit_defaults=True):
    """A circuit breaker that is not closed, or a target that is closed and asked to be left alone (`paused`).

    `credential` is its reference; `wait_s`: seconds until it may be tried; `opened`: how often it has opened.
    """

    target: str
    state: Literal["open", "half_open", "paused"]
    wait_s: float
    credential: str = ""
    opened: int = 0


class Dependency(Struct, frozen=True, omit_defaults=True):
    """`state`: up, down, or unknown (not used or probed yet). `latency_ms` of the last use or probe."""

    name: str
    kind: Literal["store", "provider", "worker"]
    state: Literal["up", "down", "unknown"]
    latency_ms: float | None = None
    detail: str = ""
    breakers: tuple[BreakerInfo, ...] = ()
