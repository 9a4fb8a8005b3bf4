"""The server's own log: events with past-tense names and fields, one line each, on standard error.

Owns how a line is made and where it goes. What must not stand in it is decided by the `redact` function handed in.
Lines of other libraries (uvicorn, asyncio) come the same way, as the event `library.logged`. Logging never raises: a
full disk under the log must not end the runs that the log tells of.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, Protocol, TextIO, cast

import msgspec
import structlog

Level = Literal["debug", "info", "warning", "error"]
Redact = Callable[[Any], Any]

_LEVELS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encode = msgspec.json.Encoder(enc_hook=repr).encode


class Log(Protocol):
    """What the rest of golive logs to: an event's name, and its fields."""

    def bind(self, **fields: Any) -> "Log": ...
    def debug(self, event: str, **fields: Any) -> None: ...
    def info(self, event: str, **fields: Any) -> None: ...
    def warning(self, event: str, **fields: Any) -> None: ...
    def error(self, event: str, **fields: Any) -> None: ...


def configure(
    level: Level = "info",
    style: Literal["auto", "json", "console"] = "auto",
    redact: Redact | None = None,
    out: TextIO | None = None,
) -> Log:
    """Sets the log up and returns it.

    Args:
        level: least severe events written.
        style: "auto" writes coloured lines to a terminal and JSON elsewhere.
        redact: applied to every event's fields, traces included, last of all.
        out: where to; standard error when absent.
    """
    stream = out or sys.stderr
    console = style == "console" or (style == "auto" and stream.isatty())
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redacting(redact),
        structlog.dev.ConsoleRenderer(colors=stream.isatty()) if console else _json_line,
    ]
    log = structlog.wrap_logger(
        _Lines(stream),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    _take_in_libraries(cast(Log, log), _LEVELS[level])
    return cast(Log, log)


def _redacting(redact: Redact | None) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    def processor(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return event if redact is None else cast(MutableMapping[str, Any], redact(event))

    return processor


def _json_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """`at`, `level` and `event` first, then the fields as they were given."""
    line = {"at": event.pop("timestamp", None), "level": event.pop("level", None), "event": event.pop("event", None)}
    try:
        return _encode({**line, **event}).decode()
    except (UnicodeEncodeError, RecursionError):  # half a surrogate pair, or a structure without end
        return json.dumps({name: str(value) for name, value in {**line, **event}.items()})


class _Lines:
    """Writes lines; what cannot be written (a full disk, a closed pipe) is counted and told once it can be again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # Past Python's own buffers: they keep what failed and write it later, after lines that say it was lost.
        self._raw = getattr(getattr(stream, "buffer", None), "raw", None)
        self._lost = 0
        self._torn = False
        self._lock = threading.Lock()

    def msg(self, line: str) -> None:
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

    debug = info = warning = error = msg


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
