"""Whether providers answer: what real calls saw last, and a bounded probe where they saw nothing lately or failed.

What a refused probe means its dialect says: Google answers an invalid key with 400, as it does a bad request. A 404 is
no sign of life: a wrong address gives it as well, so that it is held against what calls were answered. Owns memory and
probing of provider health; `/health` and its words are the gateway's.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import (
    DeadlineExceeded,
    GoliveError,
    ModelAuthFailed,
    ModelError,
    ModelMalformed,
    ModelNotFound,
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
MAX_PROBE_BYTES = 65_536
"""How much of a refused probe's body is read."""
FRESH_S = 60.0
"""A success seen by a real call counts as health this long; then a probe asks again."""

_DOWN = (ModelUnreachable, ModelUnavailable, ModelTimeout, ModelAuthFailed, ModelMalformed)
"""Errors that say something about the provider; the others are about one request."""

Refusal = Callable[[int, Callable[[str], str | None], bytes], ModelError]
"""The error that an answer of status 300 and above stands for: its status, its headers by name, its body."""


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
        self._answered = False
        """A call has been answered, since the server started, by something else than a 404."""
        self._missed = False
        """A call has been answered by a 404."""
        self._probing = asyncio.Lock()

    def observe(self, error: GoliveError | None, latency_ms: float) -> None:
        """Notes how a real call began."""
        if error is None:
            self._note_up(latency_ms)
        elif isinstance(error, _DOWN):
            self._used = _Seen(self._clock.monotonic(), self._down(latency_ms, _detail(error)))
        elif isinstance(error, ModelNotFound):
            self._missed = True  # no such model, or nothing at all at this address: a probe may tell
        elif isinstance(error, ModelError):
            self._note_up(latency_ms)  # it answered: the complaint was about the request

    async def check(self, transport: Transport, url: str, headers: dict[str, str], refusal: Refusal) -> Dependency:
        """The state now; asks the provider only when nothing recent says that it is up."""
        known = self._recent()
        if known is not None:
            return known
        async with self._probing:  # callers that come meanwhile share the result
            known = self._recent()
            if known is not None:
                return known
            state = await self._probe(transport, url, headers, refusal)
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

    async def _probe(self, transport: Transport, url: str, headers: dict[str, str], refusal: Refusal) -> Dependency:
        started = self._clock.monotonic()
        deadline = Deadline.after(self._clock, PROBE_S, "health probe")
        response: Response | None = None
        try:
            async with deadline.enforced(self._clock):
                response = await transport.send("GET", url, headers, None, connect_s=PROBE_S)
            latency_ms = (self._clock.monotonic() - started) * 1000
            if response.status < 300:
                return self._listed(response, latency_ms)
            body = await self._refused(response, deadline)
        except DeadlineExceeded:
            return self._down((self._clock.monotonic() - started) * 1000, f"no answer within {PROBE_S:g} s")
        except TransportError as error:
            return self._down((self._clock.monotonic() - started) * 1000, str(error)[:200])
        finally:
            if response is not None:
                response.close()
        refused = refusal(response.status, response.header, body)
        if isinstance(refused, ModelAuthFailed) or response.status >= 500:
            return self._down(latency_ms, _detail(refused))
        if response.status == 404:
            return self._nothing_there(latency_ms, "answered 404")
        return Dependency(self.provider, "provider", "up", round(latency_ms, 3))

    def _listed(self, response: Response, latency_ms: float) -> Dependency:
        """What its list of models, or a page in the place of that, says."""
        if (response.header("content-type") or "").lower().startswith("text/html"):
            return self._nothing_there(latency_ms, "answered with a web page")
        return Dependency(self.provider, "provider", "up", round(latency_ms, 3))

    def _nothing_there(self, latency_ms: float, seen: str) -> Dependency:
        """No list of models at this address: some providers have none. Calls tell whether anything else is there."""
        if self._answered:
            return Dependency(self.provider, "provider", "up", round(latency_ms, 3))
        if self._missed:
            return self._down(latency_ms, f"{seen}, and calls answered 404: base_url is wrong, or every model's name")
        detail = f"{seen} in the place of its models; base_url may be wrong"
        return Dependency(self.provider, "provider", "unknown", round(latency_ms, 3), detail)

    async def _refused(self, response: Response, deadline: Deadline) -> bytes:
        """The body of a refusal; b"" where it breaks off, is too long or takes too long: its status says enough."""
        try:
            async with deadline.enforced(self._clock):
                return await response.read(MAX_PROBE_BYTES)
        except (DeadlineExceeded, TransportError):
            return b""

    def _note_up(self, latency_ms: float) -> None:
        self._answered = True
        self._used = _Seen(self._clock.monotonic(), Dependency(self.provider, "provider", "up", round(latency_ms, 3)))

    def _down(self, latency_ms: float, detail: str) -> Dependency:
        return Dependency(self.provider, "provider", "down", round(latency_ms, 3), detail)


def _detail(error: GoliveError) -> str:
    if isinstance(error, ModelAuthFailed):
        return "credential refused"
    status = error.fields.get("status")
    return f"answered {status}" if status is not None else error.code
