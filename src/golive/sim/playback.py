"""Lets an answer travel: in its own time, in the pieces the script wants, breaking off where the script says.

Driven by the loop's timers, without a task per answer. Reports exactly once how the answer ended and what was produced.
"""

import asyncio
from collections.abc import Callable

from golive.sim.bill import Ending
from golive.sim.protocol import Connection, chunk
from golive.sim.script import FOREVER, Script
from golive.sim.vendor import Events

LAST_WORDS_S = 0.005
"""Between the last write and a cut, so that what was sent arrives before the reset does."""

_GAP = b"\n\n"

Done = Callable[[Ending, int], None]


class Playback:
    """What all answers share: a timer, a client that may leave, one report at the end."""

    def __init__(self, connection: Connection, script: Script, done: Done) -> None:
        self._connection = connection
        self._script = script
        self._done: Done | None = done
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        connection.on_gone = self._gone

    def produced(self) -> int:
        """Tokens billed so far."""
        raise NotImplementedError

    def begin(self) -> None:
        """Answers, after the silence the script asks for."""
        if self._script.hang_ms:
            self._after(self._script.hang_ms, self.answer)
        else:
            self.answer()

    def answer(self) -> None:
        """Sends the first byte and goes on from there."""
        raise NotImplementedError

    def _after(self, delay_ms: float, act: Callable[[], None]) -> None:
        if delay_ms != FOREVER:
            self._timer = self._loop.call_later(delay_ms / 1000, act)

    def _gone(self, by_client: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._report("aborted by client" if by_client else "cut")

    def _report(self, ending: Ending) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(ending, self.produced())

    def _cut(self) -> None:
        self._connection.on_gone = self._connection.on_drain = None
        self._report("cut")
        act = self._connection.reset if self._script.cut == "reset" else self._connection.close
        self._timer = self._loop.call_later(LAST_WORDS_S, act)


class StreamPlayback(Playback):
    """A streamed answer."""

    def __init__(
        self, connection: Connection, script: Script, done: Done, events: Events, headers: bytes,
        last_words: Callable[[int], bytes],
    ) -> None:  # fmt: skip
        """`last_words` makes the vendor's error event, given the number of entries before it."""
        super().__init__(connection, script, done)
        self._last_words = last_words
        self._events = events.events
        self._end = events.end
        self._produced = events.produced
        self._trailer = events.steps.index(events.steps[-1]) + 1
        self._head = connection.stream_head(headers, events.content_type)
        self._at = 0
        self._due = 0.0
        self._pieces: list[bytes] = []
        self._stall_at = _position(events, script.stall_after)
        self._cut_at = _position(events, script.cut_after)
        if script.malformed is not None:
            position = _position(events, script.malformed_after)
            if position is not None:
                self._spoil(position, script.malformed)
        connection.on_drain = self._drained
        self._waiting = False

    def _spoil(self, position: int, how: str) -> None:
        before, gap, event = self._events[position].removesuffix(_GAP).rpartition(_GAP)
        self._events[position] = before + gap + _spoiled(event, how) + _GAP

    def produced(self) -> int:
        return self._produced[self._at - 1] if self._at else 0

    def answer(self) -> None:
        self._due = self._loop.time() + self._script.first_token_ms / 1000
        if self._script.first_token_ms:
            self._connection.write(self._head)
            self._head = b""
            self._timer = self._loop.call_at(self._due, self._advance)
        else:
            self._advance()

    def _advance(self) -> None:
        """Writes the next burst, and sets the time of the one after."""
        script, start, total = self._script, self._at, len(self._events)
        # The first write carries the role chunk, which is no token, in front.
        end = total if script.burst == 0 else start + script.burst + (start == 0)
        if end >= self._trailer:  # finish_reason and usage take no time of their own
            end = total
        for stop in (self._stall_at, self._cut_at):
            if stop is not None and start <= stop < end:
                end = stop
        if end > start:
            self._at = end
            self._send(b"".join(self._events[start:end]))
        else:
            self._next()

    def _next(self) -> None:
        if self._at == self._stall_at:
            self._stall_at = None
            self._due = self._loop.time() + max(0.0, self._script.stall_ms) / 1000
            self._after(self._script.stall_ms, self._advance)
        elif self._at == self._cut_at:
            self._broken_off()
        elif self._at >= len(self._events):
            self._finish()
        elif self._connection.paused:
            self._waiting = True
        elif self._script.pace_ms:
            self._due += self._script.pace_ms / 1000
            self._timer = self._loop.call_at(self._due, self._advance)
        else:
            self._timer = self._loop.call_soon(self._advance)

    def _send(self, data: bytes) -> None:
        if not data:  # a stream without anything before its first token; an empty chunk would end it
            self._next()
            return
        if self._script.bytes_per_write:
            size = self._script.bytes_per_write
            self._pieces = [data[start : start + size] for start in range(0, len(data), size)]
            self._pieces.reverse()
            self._send_piece()
            return
        last = self._at >= len(self._events) and self._cut_at is None and self._stall_at is None
        if last:  # the end travels with the last token: one write less for every answer
            data = self._head + chunk(data + self._end) + b"0\r\n\r\n"
            self._head = b""
            self._connection.write(data)
            self._report("completed")
            self._connection.answered()
            return
        self._connection.write(self._head + chunk(data))
        self._head = b""
        self._next()

    def _send_piece(self) -> None:
        self._connection.write(self._head + chunk(self._pieces.pop()))
        self._head = b""
        self._timer = self._loop.call_soon(self._send_piece if self._pieces else self._next)

    def _drained(self) -> None:
        if self._waiting:
            self._waiting = False
            self._due = self._loop.time()
            self._advance()

    def _finish(self) -> None:
        if self._end:
            self._connection.write(chunk(self._end))
        self._report("completed")
        self._connection.end_stream()

    def _broken_off(self) -> None:
        if self._head:
            self._connection.write(self._head)
            self._head = b""
        if self._script.cut in ("end", "error"):
            if self._script.cut == "error":
                self._connection.write(chunk(self._last_words(self._at)))
            self._connection.on_gone = None
            self._report("cut")
            self._connection.end_stream()
        else:
            self._cut()


class WholePlayback(Playback):
    """An answer in one piece, after the time its tokens take."""

    def __init__(
        self, connection: Connection, script: Script, done: Done, body: bytes, headers: bytes, *, tokens: int
    ) -> None:
        super().__init__(connection, script, done)
        self._body = body
        self._headers = headers
        self._tokens = tokens
        self._began: float | None = None
        self._finished = False

    def produced(self) -> int:
        if self._finished:
            return self._tokens
        if self._began is None:
            return 0
        if not self._script.pace_ms:
            return 0 if self._script.first_token_ms else self._tokens
        spent_ms = (self._loop.time() - self._began) * 1000 - self._script.first_token_ms
        return max(0, min(self._tokens, int(spent_ms / self._script.pace_ms)))

    def answer(self) -> None:
        self._began = self._loop.time()
        script = self._script
        wait_ms = script.first_token_ms + script.pace_ms * self._tokens
        if script.stall_after is not None and script.stall_ms == FOREVER:
            return
        wait_ms += script.stall_ms if script.stall_after is not None else 0.0
        if wait_ms:
            self._after(wait_ms, self._write)
        else:
            self._write()

    def _write(self) -> None:
        self._finished = True
        script, body = self._script, self._body
        if script.cut_after is not None and script.cut == "end":
            body = _spoiled(body, "json")
        elif script.malformed is not None:
            body = _spoiled(body, script.malformed)
        if script.cut_after is not None and script.cut != "end":
            self._connection.respond(200, body[: len(body) // 2], headers=self._headers, announce=len(body))
            self._cut()
            return
        self._report("cut" if script.cut_after is not None else "completed")
        self._connection.respond(200, body, headers=self._headers)


class ErrorPlayback(Playback):
    """An error, after the silence the script asks for."""

    def __init__(
        self, connection: Connection, script: Script, done: Done, status: int, body: bytes, headers: bytes
    ) -> None:
        super().__init__(connection, script, done)
        self._status = status
        self._body = body
        self._headers = headers

    def produced(self) -> int:
        return 0

    def answer(self) -> None:
        self._report("failed")
        self._connection.respond(self._status, self._body, headers=self._headers)


def _spoiled(data: bytes, how: str) -> bytes:
    return data[: len(data) * 2 // 3].rstrip() if how == "json" else data.replace(b':"', b':"\xff\xfe', 1)


def _position(events: Events, after: int | None) -> int | None:
    """The index of the event that would follow `after` tokens (the role chunk is none); None if it never gets there."""
    total = events.steps[-1]
    if after is None or after > total:
        return None
    if after == total:  # before finish_reason
        return max(1, events.steps.index(total) + 1)
    return next(index for index, step in enumerate(events.steps) if step > after)
