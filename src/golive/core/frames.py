"""Frames: what a subscriber of a run sees, and the cursor that lets it come back.

A run's stream has one canonical length: a text frame counts its characters (Unicode code points), any other frame
counts one. `pos` is the length up to and including the frame, so a subscriber may be cut off and come back anywhere,
also in the middle of what was one delta, and however the text was sliced, the pieces join into the same stream.
"""

from typing import Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import InvalidRequest

Channel = Literal["answer", "draft", "reasoning", "tool", "status"]
TEXT_DELTA = "text.delta"
REASONING_DELTA = "reasoning.delta"
RESET = "text.reset"
ERROR = "error"
"""Event of a frame that counts nothing and is not in the journal: why the stream ends here without the run's end."""

_text_encoder = msgspec.json.Encoder()


class _Text(Struct):
    text: str


_text_decoder = msgspec.json.Decoder(_Text)


class Frame(Struct, frozen=True, gc=False):
    """One thing to show. `event` is its SSE event name, `data` its JSON object, `item` what it belongs to."""

    epoch: int
    pos: int
    item: str
    channel: Channel
    event: str
    data: Raw

    @property
    def is_text(self) -> bool:
        return self.event == TEXT_DELTA or self.event == REASONING_DELTA

    def text(self) -> str:
        """The text of a text frame."""
        return _text_decoder.decode(self.data).text

    def after(self, pos: int) -> "Frame | None":
        """What of this frame lies behind `pos`: all, nothing (None), or the tail of a text frame."""
        if self.pos <= pos:
            return self if self.event == ERROR else None
        if not self.is_text:
            return self
        text = self.text()
        missing = self.pos - pos
        if missing >= len(text):
            return self
        return text_frame(self.epoch, self.pos, self.item, self.channel, text[-missing:])

    def sse(self) -> bytes:
        """The frame as one server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
        return b"id: %d-%d\nevent: %s\ndata: %s\n\n" % (self.epoch, self.pos, self.event.encode(), bytes(self.data))


def text_frame(epoch: int, pos: int, item: str, channel: Channel, text: str) -> Frame:
    """A text frame that ends at `pos`."""
    event = REASONING_DELTA if channel == "reasoning" else TEXT_DELTA
    data = b'{"item":"%s","text":%s}' % (item.encode(), _text_encoder.encode(text))
    return Frame(epoch, pos, item, channel, event, Raw(data))


class Cursor(NamedTuple):
    """Where a subscriber stands: the id of the last frame it saw. (0, 0) is the beginning."""

    epoch: int = 0
    pos: int = 0

    @classmethod
    def parse(cls, value: str) -> "Cursor":
        """Reads a Last-Event-ID.

        Raises:
            InvalidRequest: it is not of the form `epoch-pos`.
        """
        epoch, dash, pos = value.partition("-")
        if not (dash and epoch.isascii() and epoch.isdigit() and pos.isascii() and pos.isdigit() and len(value) <= 40):
            raise InvalidRequest(
                f"Last-Event-ID {value[:60]!r} is not a frame id.",
                remedy="Send back the `id:` of the last event you received (such as 1-42), or leave the header out.",
                field="Last-Event-ID",
                value=value[:60],
            )
        return cls(int(epoch), int(pos))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.pos}"
