"""Server-sent events out of bytes that come in any pieces.

Owns the framing alone (https://html.spec.whatwg.org/multipage/server-sent-events.html, read 2026-11); what an event's
data means is the dialect's matter.
"""

from typing import NamedTuple

MAX_EVENT_BYTES = 8_388_608
"""Longest single event; a longer one ends the stream as malformed."""
MAX_STRANGE_BYTES = 2_048
"""Most that is kept of what is no event."""
_FIELDS = frozenset({b"", b"event", b"id", b"retry"})
"""How the lines of a block without data may begin; that of a comment is empty."""


class EventTooLong(Exception):
    """One event grew beyond MAX_EVENT_BYTES."""


class ServerEvent(NamedTuple):
    """One event: its data lines joined by newlines, and its name (b"" where the server gave none)."""

    data: bytes
    name: bytes = b""


class Splitter:
    """Cuts a byte stream into the data of its events, whatever the reads were.

    A chunk of the usual kinds (`data: {...}`, blank line; the same behind `event: NAME`) costs a slice or two and a few
    searches.
    """

    __slots__ = ("_rest", "_started", "strange")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._started = False
        self.strange = b""
        """How the first block begins that is nothing of the format, which the standard passes over."""

    def feed(self, data: bytes) -> list[ServerEvent | bytes]:
        """The events that `data` completes; plain bytes where an event is nothing but one data line.

        Raises:
            EventTooLong: an event grew beyond MAX_EVENT_BYTES.
        """
        rest = self._rest
        if not self._started:
            # A byte order mark may stand before the first byte, and may itself be split.
            rest += data
            if b"\xef\xbb\xbf".startswith(rest[:3]) and len(rest) < 3:
                return []
            self._started = True
            data = bytes(rest[3:] if rest.startswith(b"\xef\xbb\xbf") else rest)
            rest.clear()
        if b"\r" in data or (rest and rest[-1] == 13):
            data = self._unify_newlines(data)
        if rest:
            searched = len(rest)
            rest += data
            cut = rest.rfind(b"\n\n", max(0, searched - 1))
            if cut < 0:
                return self._kept()
            whole = bytes(rest[:cut])
            del rest[: cut + 2]
        else:
            cut = data.rfind(b"\n\n")
            if cut < 0:
                rest += data
                return self._kept()
            whole = data[:cut]
            if cut + 2 != len(data):
                rest += data[cut + 2 :]
        return self._events(whole)

    def end(self) -> list[ServerEvent | bytes]:
        """What stands behind the last blank line. The standard drops it; a `[DONE]` there is worth having."""
        rest = bytes(self._rest).rstrip(b"\r\n")
        self._rest.clear()
        return self._events(rest)

    def _unify_newlines(self, data: bytes) -> bytes:
        """CR LF and lone CR become LF. A CR that ends a read waits in the rest: its LF may come with the next one."""
        rest = self._rest
        if rest and rest[-1] == 13:
            rest.pop()
            data = b"\r" + data
        held = data.endswith(b"\r")
        if held:
            data = data[:-1]
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data + b"\r" if held else data

    def _kept(self) -> list[ServerEvent | bytes]:
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLong
        return []

    def _events(self, whole: bytes) -> list[ServerEvent | bytes]:
        found: list[ServerEvent | bytes] = []
        for block in whole.split(b"\n\n"):
            if block.startswith(b"data: ") and b"\n" not in block:
                found.append(block[6:])
            elif (
                block.startswith(b"event: ")
                and block.startswith(b"data: ", end := block.find(b"\n") + 1)
                and block.find(b"\n", end) < 0
            ):
                found.append(ServerEvent(block[end + 6 :], block[7 : end - 1]))
            elif block:
                event = _parse(block)
                if event is not None:
                    found.append(event if event.name else event.data)
                elif not self.strange and not _is_framing(block):
                    self.strange = block[:MAX_STRANGE_BYTES]
        return found


def _parse(block: bytes) -> ServerEvent | None:
    """An event of several lines; None when it carries no data (a comment, an id, a retry hint)."""
    lines: list[bytes] = []
    name = b""
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    return ServerEvent(b"\n".join(lines), name) if lines else None


def _is_framing(block: bytes) -> bool:
    """Whether a block without data is of the format all the same."""
    return not block.strip() or all(line.partition(b":")[0] in _FIELDS for line in block.split(b"\n"))
