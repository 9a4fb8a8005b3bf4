"""Finds the line on which each key of a TOML text stands, so that errors and `config explain` can name it.

The text has been parsed before (by tomllib, which says what it means); this only walks over it again.
"""

import re
import tomllib
from typing import Any

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_HEADER = re.compile(rf"\[\[?[ \t]*({_DOTTED})[ \t]*\]\]?")
_ASSIGNMENT = re.compile(rf"({_DOTTED})[ \t]*=")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*|[\[\]{}\n]|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)


MOST_LOOKS = 10
"""Lines that look like a second header and are none, before it is left at that: each is a parse of what is before."""


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line, from 1, of every table header and every key outside inline tables, by path.

    Args:
        text: valid TOML.
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    at = _end(_BLANK.match(text, 0), 0)
    counted, line = 0, 1
    while at < len(text):
        header = _HEADER.match(text, at) if text[at] == "[" else None
        assignment = None if header else _ASSIGNMENT.match(text, at)
        line += text.count("\n", counted, at)
        counted = at
        if header:
            table = _path(header.group(1))
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], line)
            at = header.end()
        elif assignment:
            path = table + _path(assignment.group(1))
            for length in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:length], line)
            at = _skip_value(text, assignment.end())
        else:
            return lines
        at = _end(_BLANK.match(text, at), at)
    return lines


def doubled(text: str) -> tuple[tuple[str, ...], int, int] | None:
    """The table whose second header makes the text no TOML, with the lines of both headers, from 1."""
    seen: dict[tuple[str, ...], int] = {}
    looks = MOST_LOOKS
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        header = None if line.lstrip().startswith("[[") else _HEADER.match(line.strip())
        if header is None or not _parses(f"{header.group(1)} = 0"):
            continue
        path = _path(header.group(1))
        if path in seen:
            looks -= 1
            if _parses("".join(lines[: number - 1])) and not _parses("".join(lines[:number])):
                return path, seen[path], number
            if not looks:
                return None
        seen.setdefault(path, number)
    return None


def _parses(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _path(keys: str) -> tuple[str, ...]:
    """The parts of a dotted key, quotes and escapes resolved by the parser itself."""
    path: list[str] = []
    here: Any = tomllib.loads(f"{keys} = 0")
    while isinstance(here, dict):
        name, here = next(iter(here.items()))
        path.append(name)
    return tuple(path)


def _skip_value(text: str, at: int) -> int:
    """The place after the value that begins at `at`: the end of the line on which no bracket is open any more."""
    depth = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return len(text)
        first = text[at]
        if first in "[{":
            depth += 1
        elif first in "]}":
            depth -= 1
        elif first == "\n" and depth == 0:
            return at
        at = token.end()
    return at


def _end(match: re.Match[str] | None, otherwise: int) -> int:
    return match.end() if match else otherwise
