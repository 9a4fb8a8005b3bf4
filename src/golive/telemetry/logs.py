"""The server's own log: events with past-tense names and fields, one line each, on standard error.

Owns how a line is made and where it goes. What must not stand in it is decided by the `redact` function handed in.
Lines of other libraries (uvicorn, asyncio) come the same way, as the event `library.logged`. Logging never raises: a
full disk under the log must not end the runs that the log tells of.
"""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TextIO

import msgspec

from golive.core.clock import Clock, SystemClock
from golive.telemetry.console import coloured, plain

Level = Literal["debug", "info", "warning", "error"]
Redact = Callable[[Any], Any]
Told = Callable[[Mapping[str, Any]], str]

_LEVELS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encode = msgspec.json.Encoder(enc_hook=repr).encode


class Log(Protocol):
    """What the rest of golive logs to: an event's name, and its fields. `exc_info` is an exception, or True for the
    one being handled; its traceback becomes the field `exception`."""

    def bind(self, **fields: Any) -> "Log": ...
    def debug(self, event: str, /, **fields: Any) -> None: ...
    def info(self, event: str, /, **fields: Any) -> None: ...
    def warning(self, event: str, /, **fields: Any) -> None: ...
    def error(self, event: str, /, **fields: Any) -> None: ...


def configure(
    level: Level = "info",
    style: Literal["auto", "json", "console"] = "auto",
    redact: Redact | None = None,
    out: TextIO | None = None,
    clock: Clock | None = None,
) -> Log:
    """Sets the log up and returns it.

    Args:
        level: least severe events written.
        style: "auto" writes coloured lines to a terminal and JSON elsewhere.
        redact: applied to every event and its fields, traces included, last of all.
        out: where to; standard error when absent.
        clock: the lines' time; the system's when absent.
    """
    stream = out or sys.stderr
    console = style == "console" or (style == "auto" and stream.isatty())
    told = (coloured if stream.isatty() else plain) if console else _json
    log = _Log(_Lines(stream), told, _LEVELS[level], redact, clock or SystemClock(), {})
    _take_in_libraries(log, _LEVELS[level])
    return log


class _Log:
    """Makes lines of events: time and level first, then the event and its fields as they were given."""

    def __init__(
        self, lines: "_Lines", told: Told, least: int, redact: Redact | None, clock: Clock, fields: dict[str, Any]
    ) -> None:
        self._lines = lines
        self._told = told
        self._least = least
        self._redact = redact
        self._clock = clock
        self._fields = fields

    def bind(self, **fields: Any) -> "_Log":
        known = {**self._fields, **fields}
        return _Log(self._lines, self._told, self._least, self._redact, self._clock, known)

    def debug(self, event: str, /, **fields: Any) -> None:
        self._write("debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        self._write("error", event, fields)

    def _write(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        if _LEVELS[level] < self._least:
            return
        line = {"event": event, **self._fields, **fields}
        if trace := _trace(line.pop("exc_info", None)):
            line["exception"] = trace
        if self._redact is not None:
            line = self._redact(line)
        at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="microseconds")
        self._lines.write(self._told({"at": at.replace("+00:00", "Z"), "level": level, **line}))


def _trace(raised: Any) -> str:
    """Of an exception, of the one being handled (True), or of the standard library's triple."""
    error = sys.exception() if raised is True else raised[1] if isinstance(raised, tuple) else raised
    return "".join(traceback.format_exception(error)).rstrip("\n") if error is not None else ""


def _json(line: Mapping[str, Any]) -> str:
    try:
        return _encode(line).decode()
    except (UnicodeEncodeError, RecursionError):  # half a surrogate pair, or a structure without end
        return json.dumps({name: str(value) for name, value in line.items()})


class _Lines:
    """Writes lines; what cannot be written (a full disk, a closed pipe) is counted and told once it can be again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # Past Python's own buffers: they keep what failed and write it later, after lines that say it was lost.
        self._raw = getattr(getattr(stream, "buffer", None), "raw", None)
        self._lost = 0
        self._torn = False
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Writes one line, or drops it."""
        with self._lock:
            text = f"{line}\n"
            if self._lost:
                told = _encode({"level": "warning", "event": "log.lost", "lines": self._lost}).decode()
                text = f"{told}\n{text}"
            try:
                self._write(text)
            except (OSError, ValueError):  # ValueError: the stream is closed, or its encoding lacks a character
                self._lost += 1
            else:
                self._lost = 0

    def _write(self, text: str) -> None:
        if self._raw is None:
            self._stream.write(text)
            self._stream.flush()
            return
        data = ("\n" + text if self._torn else text).encode(errors="backslashreplace")
        while data:
            written = self._raw.write(data)
            if written is None:  # a pipe that does not block, and is full
                raise BlockingIOError
            self._torn = written != len(data)
            data = data[written:]


class _Library(logging.Handler):
    """Hands the standard library's log records on to ours."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"library": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        (self._log.error if record.levelno >= logging.ERROR else self._log.warning)("library.logged", **fields)


def _take_in_libraries(log: Log, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _Library)]
    root.addHandler(_Library(log))
    root.setLevel(max(level, logging.WARNING))
