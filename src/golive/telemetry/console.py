"""A log line as people read it in a terminal: time, level, event, then `name=value`, a traceback below."""

from collections.abc import Mapping
from typing import Any

_LEVEL_WIDTH = 7
_EVENT_WIDTH = 24
"""Most events are shorter, so that their fields stand below each other."""

_RESET, _BOLD, _DIM, _CYAN, _MAGENTA = "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[35m"
_LEVEL_COLOURS = {"debug": "\x1b[32m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}


def coloured(line: Mapping[str, Any]) -> str:
    """The line for a terminal that shows colours."""
    at, level, event, fields, trace = _parts(line)
    told = "".join(f" {_CYAN}{name}{_RESET}={_MAGENTA}{value}{_RESET}" for name, value in fields)
    colour = _LEVEL_COLOURS.get(level.strip(), "")
    return f"{_DIM}{at}{_RESET} [{_BOLD}{colour}{level}{_RESET}] {_BOLD}{event}{_RESET}{told}{trace}"


def plain(line: Mapping[str, Any]) -> str:
    """The line without colours."""
    at, level, event, fields, trace = _parts(line)
    told = "".join(f" {name}={value}" for name, value in fields)
    return f"{at} [{level}] {event}{told}{trace}"


def _parts(line: Mapping[str, Any]) -> tuple[str, str, str, list[tuple[str, str]], str]:
    rest = dict(line)
    at, level, event = (str(rest.pop(name, "")) for name in ("at", "level", "event"))
    trace = rest.pop("exception", "")
    fields = [(name, _shown(value)) for name, value in sorted(rest.items())]
    return at, f"{level:<{_LEVEL_WIDTH}}", f"{event:<{_EVENT_WIDTH}}", fields, f"\n{trace}" if trace else ""


def _shown(value: Any) -> str:
    """A word as it stands, anything else quoted: what clients and tools sent must not steer the terminal."""
    word = isinstance(value, str) and value.isprintable() and value and not set(value) & {" ", '"', "'", "="}
    return str(value) if word else repr(value)
