"""Reads the files people write: bounded, as UTF-8, parsed as TOML with the line of every key. Knows no schema."""

import tomllib
from pathlib import Path
from typing import Any

from msgspec import Struct

from golive.config.positions import doubled, key_lines
from golive.config.problems import Problem
from golive.config.tree import KeyPath, dotted

MAX_FILE_BYTES = 1_048_576
"""Largest golive.toml, agent.toml, prompt.md or schema file."""


class Unreadable(Exception):
    """The file cannot be used at all; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.line())
        self.problem = problem


class Toml(Struct, frozen=True):
    """A parsed file; `name` is what messages call it."""

    name: str
    data: dict[str, Any]
    lines: dict[KeyPath, int]

    def origin(self, path: KeyPath) -> str:
        """File and line of the key, or of the table nearest above it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return f"{self.name}:{self.lines[path[:length]]}"
        return self.name


def read_text(path: Path, name: str, remedy: str = "") -> str:
    """The file's text.

    Raises:
        Unreadable: missing (the remedy is the caller's), no file, larger than `MAX_FILE_BYTES`, not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise Unreadable(Problem("", "", name, f"there is no {path.name}.", remedy)) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}."
        raise Unreadable(Problem("", "", name, message, "Make it a readable file.")) from None
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable(Problem("", "", name, f"is larger than {MAX_FILE_BYTES} bytes.", "Make it shorter."))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"is not UTF-8 at byte {column} of the line (0x{data[error.start]:02x})."
        raise Unreadable(Problem("", "", f"{name}:{line}", message, "Save it as UTF-8.")) from None


def read_toml(path: Path, name: str, remedy: str = "") -> Toml:
    """The file, parsed, with the line of each key.

    Raises:
        Unreadable: as `read_text`, or it is not TOML; the parser's own words name line and column.
    """
    text = read_text(path, name, remedy).replace("\r\n", "\n")
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the parser lets int() raise, too, and recurses over brackets
        if twice := doubled(text):
            raise Unreadable(_stands_twice(name, *twice)) from None
        words = "brackets are nested too deeply" if isinstance(error, RecursionError) else str(error)
        line = getattr(error, "lineno", None)  # Python 3.14 and later; before, only in the words
        origin = f"{name}:{line}" if line else name
        raise Unreadable(Problem("", "", origin, f"is not valid TOML: {words}.", "See https://toml.io.")) from None
    return Toml(name, data, key_lines(text))


def _stands_twice(name: str, path: KeyPath, first: int, second: int) -> Problem:
    return Problem(
        dotted(path), "", f"{name}:{second}", f"the section [{dotted(path)}] stands twice: on line {first} already.",
        "Give one of them another name, or put all of it into one.",
    )  # fmt: skip
