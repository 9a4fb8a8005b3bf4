"""Answers that are kept for a while and given again to an equal request of the same tenant and agent version.

Owns what is equal, what may be kept and for how long, and how much memory that takes. It stands around the whole chain,
so that an answer is given again also while every provider is out. A miss goes through `coalesce.py`: equal calls at the
same time are one. Only in memory: a restart begins with nothing.
"""

import sys
from collections import OrderedDict
from collections.abc import AsyncGenerator
from hashlib import blake2b
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct, structs

from golive.core.clock import Clock
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelCall,
    ModelEvent,
    ModelRequest,
    Opened,
    Retracted,
    UsageReported,
)
from golive.models.coalesce import Flights, free_of_cost

STRUCT_BYTES = 64
"""What one event or batch takes beside its texts."""
RAW_BYTES = 128
"""What a piece of JSON takes beside its bytes."""
ENTRY_BYTES = 1_024
"""What one answer takes beside its batches: its key, what it cost, its place."""
LARGEST_SHARE = 4
"""An answer larger than a fourth of the cache is not kept: it would push out too many others."""

_encode = msgspec.json.Encoder().encode
_BEFORE_THE_ANSWER = (Opened, UsageReported, Metered)
_decode = msgspec.json.Decoder(Any).decode


class KeptAnswer(Struct, frozen=True):
    """A whole answer: its batches as they came, without what it cost; that is `metered`."""

    batches: tuple[tuple[ModelEvent, ...], ...]
    metered: Metered
    size: int


class Kept(Protocol):
    """Something to be kept; `size` is what it takes in memory, bytes."""

    @property
    def size(self) -> int: ...


K = TypeVar("K", bound=Kept)


class KeptAnswers:
    """Answers by key, at most `max_bytes` of them; the one that was used longest ago makes way."""

    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[Kept, float, str]] = OrderedDict()
        """By key: the answer, until when it is kept, whose it is."""
        self.bytes = 0
        self.largest = max_bytes // LARGEST_SHARE
        """Bytes of the largest answer that is kept."""

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes, kind: type[K]) -> K | None:
        """The answer of that kind, unless its time is over."""
        found = self._kept.get(key)
        if found is None or not isinstance(found[0], kind):
            return None
        answer, until = found[0], found[1]
        if self._clock.monotonic() >= until:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: Kept, ttl_s: float, tenant: str) -> None:
        """Keeps an answer of at most `largest` bytes for `ttl_s` from now; it is the tenant's."""
        self._drop(key)
        while self._kept and self.bytes + answer.size > self._max_bytes:
            self._drop(next(iter(self._kept)))
        self._kept[key] = (answer, self._clock.monotonic() + ttl_s, tenant)
        self.bytes += answer.size

    def forget(self, tenant: str) -> None:
        """Keeps nothing of the tenant any more."""
        for key in [key for key, found in self._kept.items() if found[2] == tenant]:
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self.bytes -= found[0].size


class CachedCall:
    """A `ModelCall` around a `ModelCall`.

    Args:
        name: tells apart what is asked (a target, the chains of a tier): the same name answers equally.
        ttl_s: how long an answer is kept, seconds.
        deterministic_only: leave requests alone that do not ask for the same answer each time.
    """

    def __init__(
        self, call: ModelCall, *, name: str, ttl_s: float, deterministic_only: bool, cache: KeptAnswers,
        flights: Flights, clock: Clock,
    ) -> None:  # fmt: skip
        self._call = call
        self._name = name
        self._ttl_s = ttl_s
        self._deterministic_only = deterministic_only
        self._cache = cache
        self._flights = flights
        self._clock = clock

    def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        """As the call inside; a kept answer ends with a `Metered` that says so."""
        # A call that goes on with a broken answer is none of its own.
        if ctx.attempts or (self._deterministic_only and not is_deterministic(request)):
            return self._call(request, ctx)
        return self._answer(request, ctx)

    async def _answer(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        started = self._clock.monotonic()
        key = key_of(ctx, "answer", self._name, request)
        kept = self._cache.get(key, KeptAnswer)
        if kept is None:
            # Only readers that can take back the same may share a call: it may have to begin its answer anew.
            shared_by = key + ctx.retracts.encode()
            stream = self._flights.stream(shared_by, ctx, lambda shared: self._recorded(key, request, shared))
            try:
                async for events in stream:
                    yield events
            finally:
                await stream.aclose()
            return
        first_token_ms = (self._clock.monotonic() - started) * 1000
        for batch in kept.batches:
            yield list(batch)
        latency_ms = (self._clock.monotonic() - started) * 1000
        yield [structs.replace(kept.metered, first_token_ms=first_token_ms, latency_ms=latency_ms)]

    async def _recorded(
        self, key: bytes, request: ModelRequest, ctx: CallContext
    ) -> AsyncGenerator[list[ModelEvent], None]:
        recording = _Recording(self._cache.largest)
        stream = self._call(request, ctx)
        try:
            async for events in stream:
                recording.take(events)
                yield events
        finally:
            await stream.aclose()
        answer = recording.answer()
        if answer is not None:
            self._cache.put(key, answer, self._ttl_s, ctx.tenant)


def key_of(ctx: CallContext, kind: str, name: str, request: Struct) -> bytes:
    """Equal for equal requests of one tenant and version, of one kind and to what is called `name`."""
    return blake2b(_encode((ctx.tenant, ctx.version, kind, name, request)), digest_size=32).digest()


def is_deterministic(request: ModelRequest) -> bool:
    """Whether the request asks for the same answer each time: temperature 0, or a seed."""
    given: dict[str, Any] = {"temperature": request.temperature, "seed": request.seed}
    for name, value in given.items():
        if value is None and name in request.extra:
            given[name] = _decode(request.extra[name])
    return given["temperature"] == 0 or given["seed"] is not None


class _Recording:
    """What has come of an answer, from its last attempt on; nothing once it is clear that it will not be kept."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._batches: list[tuple[ModelEvent, ...]] = []
        self._metered: Metered | None = None
        self._size = 0
        self._choices: set[int] = set()
        self._finished: dict[int, str] = {}
        self._given_up = False

    def take(self, events: list[ModelEvent]) -> None:
        """Takes in a batch."""
        if self._given_up:
            return
        taken: list[ModelEvent] = []
        for event in events:
            if isinstance(event, Retracted):
                self._given_up = True
            elif isinstance(event, AttemptStarted):
                self._given_up = self._given_up or bool(self._choices)  # put together from several attempts
                self._batches, self._size, taken = [], 0, [AttemptStarted(1, event.target)]
            elif isinstance(event, Metered):
                self._metered = structs.replace(free_of_cost(event), attempt=1)
            elif not isinstance(event, AttemptFailed):
                taken.append(self._seen(event))
        if taken:
            self._size += STRUCT_BYTES + sum(_footprint(event) for event in taken)
            self._batches.append(tuple(taken))
        if self._given_up or self._size > self._largest:
            self._given_up = True
            self._batches = []

    def _seen(self, event: ModelEvent) -> Any:
        """Notes which choices have something, and why they ended; the event no longer leans on the network's buffer."""
        if isinstance(event, Finished):
            self._finished[event.choice] = event.reason
        elif not isinstance(event, _BEFORE_THE_ANSWER):
            self._choices.add(getattr(event, "choice", 0))
        return _on_its_own(event)

    def answer(self) -> KeptAnswer | None:
        """The answer, if it is whole: each of its choices was ended by the model itself, and its cost is known."""
        metered = self._metered
        whole = self._finished and self._choices <= self._finished.keys()
        if self._given_up or metered is None or not whole:
            return None
        if any(reason not in ("stop", "tool_calls") for reason in self._finished.values()):
            return None
        return KeptAnswer(tuple(self._batches), metered, self._size + ENTRY_BYTES)


def _on_its_own(value: Any) -> Any:
    """The struct with its raw JSON copied, which else would keep a whole network read in memory."""
    changes: dict[str, Any] = {}
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if isinstance(field, Raw):
            changes[name] = field.copy()
        elif isinstance(field, Struct):
            own = _on_its_own(field)
            if own is not field:
                changes[name] = own
    return structs.replace(value, **changes) if changes else value


def _footprint(value: Any) -> int:
    """Bytes of memory, about."""
    if isinstance(value, Struct):
        return STRUCT_BYTES + sum(_footprint(getattr(value, name)) for name in value.__struct_fields__)
    return RAW_BYTES + len(memoryview(value)) if isinstance(value, Raw) else sys.getsizeof(value)
