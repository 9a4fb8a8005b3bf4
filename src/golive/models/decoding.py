"""What the decoders of all dialects share: the state of an answer, how its bytes are taken in, how it ends.

Owns the framing of streams and of whole bodies, and what becomes of a body that is no answer at all. What an event or a
body means is the dialect's: a decoder is one of `Streamed` and `Whole` on top of the dialect's own `Answer`, as
attributes of one object and not of several, since they are read with every read.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from golive.core.errors import ModelCut, ModelError, ModelMalformed
from golive.models.call import FinishReason, ModelEvent
from golive.models.sse import EventTooLong, ServerEvent, Splitter
from golive.models.vendor_errors import Origin

MAX_WHOLE_BYTES = 67_108_864
"""Longest answer that is not streamed."""
MAX_SHOWN = 200
"""Characters of a body that is no answer which its error shows."""
MAX_WORD = 60
"""Characters of a vendor's word that are shown."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for JSON that is none, is not UTF-8, or is nested without end."""

Unrecognised = Callable[[str, str | None, str], None]
"""Told of an answer that was kept although nobody knows the reason it ended for: its `provider/model`, the vendor's id
of the request, and the vendor's word, redacted and cut."""


def unheard(target: str, request_id: str | None, word: str) -> None:
    """An `Unrecognised` that tells nobody."""


def is_stream(content_type: str, *, streamed: bool) -> bool:
    """Whether an answer is to be read as server-sent events.

    Args:
        streamed: whether a stream was asked for, which counts where the content type does not say.
    """
    return "event-stream" in content_type or (streamed and "json" not in content_type)


class Answer:
    """The state of an answer; see `dialect.Decoder`. `_splitter` is a stream's, `_parts` and `_size` are a body's."""

    __slots__ = (
        "_content_type", "_opened", "_origin", "_parts", "_size", "_splitter", "_unrecognised", "began", "closed",
        "complete", "failure",
    )  # fmt: skip

    def __init__(self, origin: Origin, content_type: str = "", unrecognised: Unrecognised = unheard) -> None:
        self._origin = origin
        self._content_type = content_type
        self._unrecognised = unrecognised
        self._opened = False
        self.began = False
        self.complete = False
        self.closed = False
        self.failure: ModelError | None = None

    def _fail(self, kind: type[ModelError], message: str, **fields: Any) -> None:
        """Keeps the first failure, and ends the reading."""
        if self.failure is None:
            self.failure = self._origin.error(kind, message, **fields)
        self.closed = True

    def _cut(self, how: str) -> None:
        self._fail(ModelCut, f"broke its answer off: {how}.")

    def _not_json(self, what: str, error: Exception) -> None:
        how = self._origin.redact(str(error), MAX_SHOWN)
        self._fail(ModelMalformed, f"sent {what} that is not the dialect's JSON ({how}).")

    def _unknown_end(self, what: str, word: str) -> FinishReason | None:
        """How an answer finishes whose vendor ends it with a word that is not known.

        What was said stands, as cut short: nothing claims that it is whole. None, and a failure, where nothing was.

        Args:
            what: the vendor's name of the field.
        """
        shown = self._origin.redact(word, MAX_WORD)
        if not self.began:
            self._fail(ModelMalformed, f"said nothing, and ended with {what} {shown!r}, which is not known.")
            return None
        self._unrecognised(f"{self._origin.provider}/{self._origin.model}", self._origin.request_id, shown)
        return "length"

    def _shown_type(self) -> str:
        return repr(self._origin.redact(self._content_type, MAX_WORD)) if self._content_type else "none"


class Streamed(Answer, ABC):
    """Reads server-sent events."""

    __slots__ = ()
    END: ClassVar[str]
    """What stands at the end of a whole answer."""

    def __init__(self, origin: Origin, content_type: str = "", unrecognised: Unrecognised = unheard) -> None:
        super().__init__(origin, content_type, unrecognised)
        self._splitter = Splitter()

    def feed(self, data: bytes) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        if self.closed:
            return events
        try:
            payloads = self._splitter.feed(data)
        except EventTooLong:
            self._fail(ModelMalformed, "sent a single event of more than 8 MiB.")
            return events
        for payload in payloads:
            self._take(payload, events)
        return events

    def end(self) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        if self.closed:
            return events
        for payload in self._splitter.end():
            self._take(payload, events, last=True)
        if not self.complete and not self.closed:
            self._ended(events)
        self.closed = True
        return events

    @abstractmethod
    def _take(self, event: ServerEvent | bytes, events: list[ModelEvent], last: bool = False) -> None:
        """What one event means; nothing once `closed` is set. `last`: the body ended inside it."""

    def _ended(self, events: list[ModelEvent]) -> None:
        """The body has ended, and the answer is not whole: broken off, or none at all, such as a proxy's page."""
        strange = self._splitter.strange
        if not strange or self._opened:
            self._cut(f"its stream ended without {self.END}")
            return
        shown = self._origin.redact(strange.decode("utf-8", "replace"), MAX_SHOWN)
        self._fail(
            ModelMalformed, f"sent no stream of its dialect: content type {self._shown_type()}, beginning {shown!r}."
        )


class Whole(Answer, ABC):
    """Reads one body."""

    __slots__ = ()

    def __init__(self, origin: Origin, content_type: str = "", unrecognised: Unrecognised = unheard) -> None:
        super().__init__(origin, content_type, unrecognised)
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[ModelEvent]:
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_WHOLE_BYTES:
            self._parts.clear()
            self._fail(ModelMalformed, "sent an answer of more than 64 MiB.")
        return []

    def end(self) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        if self.closed:
            return events
        try:
            self._read(b"".join(self._parts), events)
        except UNREADABLE as error:
            what = "a body" if "json" in self._content_type else f"a body of content type {self._shown_type()}"
            self._not_json(what, error)
        self.closed = True
        return events

    @abstractmethod
    def _read(self, body: bytes, events: list[ModelEvent]) -> None:
        """What the body means. Raises what `UNREADABLE` lists when it cannot be read."""
