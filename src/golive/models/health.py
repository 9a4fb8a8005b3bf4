"""Whether providers answer: what real calls saw last, and a bounded probe where they saw nothing lately or failed.

Owns memory and probing of provider health; `/health` and its words are the gateway's.
"""

import asyncio
from typing import NamedTuple

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import (
    DeadlineExceeded,
    GoliveError,
    ModelAuthFailed,
    ModelError,
    ModelMalformed,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
)
from golive.core.health import Dependency
from golive.models.transport import Response, Transport, TransportError

PROBE_S = 2.0
"""Longest probe."""
PROBE_KEPT_S = 5.0
"""A probe's result stands this long, however often health is asked."""
FRESH_S = 60.0
"""A success seen by a real call counts as health this long; then a probe asks again."""

_DOWN = (ModelUnreachable, ModelUnavailable, ModelTimeout, ModelAuthFailed, ModelMalformed)
"""Errors that say something about the provider; the others are about one request."""


class _Seen(NamedTuple):
    at: float
    state: Dependency


class ProviderHealth:
    """The state of one provider."""

    def __init__(self, provider: str, clock: Clock) -> None:
        self.provider = provider
        self._clock = clock
        self._used: _Seen | None = None
        self._probed: _Seen | None = None
        self._probing = asyncio.Lock()

    def observe(self, error: GoliveError | None, latency_ms: float) -> None:
        """Notes how a real call began."""
        if error is None:
            self._note_up(latency_ms)
        elif isinstance(error, _DOWN):
            self._used = _Seen(self._clock.monotonic(), self._down(latency_ms, _detail(error)))
        elif isinstance(error, ModelError):
            self._note_up(latency_ms)  # it answered: the complaint was about the request

    async def check(self, transport: Transport, url: str, headers: dict[str, str]) -> Dependency:
        """The state now; asks the provider only when nothing recent says that it is up."""
        known = self._recent()
        if known is not None:
            return known
        async with self._probing:  # callers that come meanwhile share the result
            known = self._recent()
            if known is not None:
                return known
            state = await self._probe(transport, url, headers)
            self._probed = _Seen(self._clock.monotonic(), state)
            return state

    def _recent(self) -> Dependency | None:
        now = self._clock.monotonic()
        used, probed = self._used, self._probed
        if used is not None and used.state.state == "up" and now - used.at < FRESH_S:
            return used.state
        if probed is not None and now - probed.at < PROBE_KEPT_S and (used is None or probed.at >= used.at):
            return probed.state
        return None

    async def _probe(self, transport: Transport, url: str, headers: dict[str, str]) -> Dependency:
        started = self._clock.monotonic()
        response: Response | None = None
        try:
            async with Deadline.after(self._clock, PROBE_S, "health probe").enforced(self._clock):
                response = await transport.send("GET", url, headers, None, connect_s=PROBE_S)
        except DeadlineExceeded:
            return self._down((self._clock.monotonic() - started) * 1000, f"no answer within {PROBE_S:g} s")
        except TransportError as error:
            return self._down((self._clock.monotonic() - started) * 1000, str(error)[:200])
        finally:
            if response is not None:
                response.close()
        latency_ms = (self._clock.monotonic() - started) * 1000
        if response.status in (401, 403):
            return self._down(latency_ms, "credential refused")
        if response.status >= 500:
            return self._down(latency_ms, f"answered {response.status}")
        return Dependency(self.provider, "provider", "up", round(latency_ms, 3))

    def _note_up(self, latency_ms: float) -> None:
        self._used = _Seen(self._clock.monotonic(), Dependency(self.provider, "provider", "up", round(latency_ms, 3)))

    def _down(self, latency_ms: float, detail: str) -> Dependency:
        return Dependency(self.provider, "provider", "down", round(latency_ms, 3), detail)


def _detail(error: GoliveError) -> str:
    if isinstance(error, ModelAuthFailed):
        return "credential refused"
    status = error.fields.get("status")
    return f"answered {status}" if status is not None else error.code
