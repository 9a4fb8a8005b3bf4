"""The state of one thing golive depends on, as /health reports it."""

from typing import Literal

from msgspec import Struct


class Dependency(Struct, frozen=True, omit_defaults=True):
    """`state`: up, down, or unknown (not used or probed yet). `latency_ms` of the last use or probe."""

    name: str
    kind: Literal["store", "provider", "worker"]
    state: Literal["up", "down", "unknown"]
    latency_ms: float | None = None
    detail: str = ""
