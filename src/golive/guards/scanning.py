"""Finds credentials where they lie: in a source tree, a configuration, a database, a log.

Three signs, from the surest on: a value that is known to be secret; a well-known shape; a text of high entropy that is
assigned to a name which calls itself a secret. What is plainly no secret (a placeholder, a reference, an example, a
name) is no finding, and a line that says `golive: no secret` is taken at its word. A finding never holds the value.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from golive.guards.redact import MIN_SECRET_CHARS, SHAPES

PRAGMA = "golive: no secret"
CHUNK_BYTES = 1_048_576
OVERLAP_BYTES = 8_192
"""Read twice, so that nothing is cut in two; longer than any credential but a key's file."""
MOST_FINDINGS = 1_000
MOST_BYTES = 1 << 34
SKIPPED = frozenset({
    ".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache",
    ".pytest_cache", ".hypothesis", ".import_linter_cache", "site-packages", ".tools",
})  # fmt: skip
"""Folders that are not looked into: what others wrote, and what tools made."""
MIN_ENTROPY = 3.5
"""Bits a character from which on an assigned text counts as random; of hex digits three, for they have four at most."""
MIN_HEX_ENTROPY = 3.0
MIN_SHAPE_ENTROPY = 3.0
"""A shape whose rest is less random than that is an example, such as sk-xxxxxxxxxxxxxxxxxxxx."""
_MOST_CHARS = 512

_SHAPE = re.compile("|".join(f"(?P<k{number}>{shape})" for number, shape in enumerate(SHAPES.values())))
_HINT = re.compile(r"gl_|[srp]k[-_]|gh[pousr]_|github_|glpat-|xox|AKIA|ASIA|AIza|hf_|hv[sbr]\.|whsec_|eyJ|BEGIN")
"""What every shape begins with, more or less: most files have none of it."""
_KINDS = list(SHAPES)
_ASSIGNED = re.compile(
    r"(?i)(?:key|secret|passw(?:or)?d|token|credential)[a-z0-9_]{0,20}[\"']?\s{0,4}(?::\s{0,4}str\s{0,4})?(?:=>|[=:])\s{0,4}"
    r"(?P<quote>[\"'`]?)(?P<value>[A-Za-z0-9+/_=.~!@#$%^&*-]{12,512})(?P=quote)"
)
_TELLING = re.compile(r"(?i)(?:api|private|access|signing|master|auth)[_-]?key|secret|passw(?:or)?d|token|credential")
"""Names of things that are secret; `key` alone is the name of much that is not."""
_BEFORE = re.compile(r"[A-Za-z0-9_.-]{0,40}$")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"'`]*:(?P<value>[^\s/@\"'`]{6,200})@(?P<host>[^\s/\"'`]+)")
_NO_SECRET = re.compile(
    r"(?i)^(?:env|file|aws-sm|vault):|example|placeholder|change[-_]?me|dummy|redacted|your[-_]|insert[-_]|x{5,}|\*{3,}"
    r"|\.\.\.|^\$|^<|^%|^\{|0{6,}|1234567|abcdef"
)
_NAME = re.compile(r"^[A-Za-z_][A-Za-z_.]*$|^[a-z0-9]+(?:[-_.][a-z0-9]+){1,}$|^[A-Z0-9]+(?:_[A-Z0-9]+)+$")
"""An identifier, a file's name, words with dashes: not random, whatever its letters say."""
_KEY_BODY = re.compile(r"[A-Za-z0-9+/]{40,}")
_DOCUMENTED = re.compile(r"(?i)^(?:pass(?:word|wd)?|pwd?|secret|tiger|user|token|key|\w*password\w*)$")
_HEX = re.compile(r"^[0-9a-fA-F]+$")


class Leak(Struct, frozen=True, kw_only=True):
    """A credential that lies where it must not. `kind` says what it looks like, `name` what it is assigned to, or which
    known secret it is; `line` counts from 1 (in a binary file: the byte, and `binary`)."""

    path: str
    line: int
    kind: str
    name: str = ""
    binary: bool = False

    def __str__(self) -> str:
        place = f"{self.path}, byte {self.line}" if self.binary else f"{self.path}:{self.line}"
        return f"{place}: {self.kind}" + (f" ({self.name})" if self.name else "")


class Scanner:
    """Looks through files. `known`: values that are secret, by what they are called; `spared`: files that are where
    secrets belong."""

    def __init__(
        self, known: Mapping[str, str] | None = None, spared: Sequence[Path] = (), most_bytes: int = MOST_BYTES
    ) -> None:
        self._known = {name: value for name, value in (known or {}).items() if len(value) >= MIN_SECRET_CHARS}
        self._spared = {path.resolve() for path in spared}
        self._most_bytes = most_bytes
        self.files = 0
        self.bytes = 0
        self.whole = True
        """Whether all was read; not where there was more than `most_bytes`, or too much was found."""

    def scan(self, paths: Sequence[Path]) -> list[Leak]:
        """Every finding in the files, and in the folders below these, in order; at most `MOST_FINDINGS`. Blocks."""
        found: list[Leak] = []
        for path in paths:
            for file in _files(path):
                found += self.file(file, str(file))
                if len(found) >= MOST_FINDINGS or self.bytes >= self._most_bytes:
                    self.whole = False
                    return found[:MOST_FINDINGS]
        return found

    def file(self, path: Path, shown: str) -> list[Leak]:
        """The findings in one file; none in one that is spared or cannot be read."""
        if path.resolve() in self._spared:
            return []
        found: dict[Leak, None] = {}
        try:
            with path.open("rb") as file:
                self.files += 1
                start, lines, kept = 0, 1, b""
                binary = False
                while data := file.read(CHUNK_BYTES):
                    self.bytes += len(data)
                    binary = binary or b"\0" in data[:8_192]
                    whole = kept + data
                    for at, kind, name in self.text(whole.decode("latin-1"), binary=binary):
                        line = start + at if binary else lines + whole.count(b"\n", 0, at)
                        found[Leak(path=shown, line=line, kind=kind, name=name, binary=binary)] = None
                    kept = whole[-OVERLAP_BYTES:]
                    passed = len(whole) - len(kept)
                    lines += whole.count(b"\n", 0, passed)
                    start += passed
        except OSError:
            return []
        return list(found)

    def text(self, text: str, *, binary: bool = False) -> Iterator[tuple[int, str, str]]:
        """The findings in a text: where, what kind, and which name. In a binary one names and values mean nothing."""
        seen: set[int] = set()
        for name, value in self._known.items():
            at = text.find(value.encode().decode("latin-1"))
            if at >= 0:
                seen.add(at)
                yield at, "known secret", name
        for match in _SHAPE.finditer(text) if _HINT.search(text) else ():
            kind = _KINDS[int(str(match.lastgroup)[1:])]
            if match.start() not in seen and _is_shape(match.group()) and not _waived(text, match.start()):
                seen.add(match.start())
                yield match.start(), kind, ""
        if binary:
            return
        for match in _URL.finditer(text) if "://" in text else ():
            if _is_password(match["value"]) and not _waived(text, match.start()):
                yield match.start(), "password in an address", match["host"][:60]
        for match in _ASSIGNED.finditer(text):
            at = match.start("value")
            if at in seen or not is_random(match["value"], match["quote"]):
                continue
            before = _BEFORE.search(text, max(match.start() - 40, 0), match.start())
            name = (before.group() if before else "") + text[match.start() : match.start("quote")].rstrip("\"' :=>")
            if _TELLING.search(name) and not _waived(text, at):
                yield at, "random text", name[-60:]


def entropy(text: str) -> float:
    """Shannon's, of the text's characters, in bits each."""
    if not text:
        return 0.0
    counts = [text.count(each) for each in set(text)]
    return -sum(each / len(text) * math.log2(each / len(text)) for each in sorted(counts))


def is_random(value: str, quote: str = '"') -> bool:
    """Whether an assigned text looks like a secret, and not like a name, a reference, an example or an expression.

    Args:
        quote: what it stands in; without any, as in a .env file, it must be letters and digits alone.
    """
    if _NO_SECRET.search(value) or _NAME.match(value):
        return False
    if not quote and not re.fullmatch(r"[A-Za-z0-9+/_=-]+", value):
        return False
    if not (any(each.isdigit() for each in value) and any(each.isalpha() for each in value)):
        return False
    if _HEX.match(value):
        return len(value) >= 24 and entropy(value) >= MIN_HEX_ENTROPY
    return len(value) >= 16 and entropy(value) >= MIN_ENTROPY


def _is_shape(value: str) -> bool:
    """Whether it may be a real one: an example is less random, or says what it is."""
    if value.startswith("-----BEGIN"):
        return _KEY_BODY.search(value[:400]) is not None  # the words alone stand in every text about keys
    rest = re.split(r"[-_.]", value, maxsplit=1)[-1] or value
    return len(value) <= 4_096 and not _NO_SECRET.search(value) and entropy(rest[:_MOST_CHARS]) >= MIN_SHAPE_ENTROPY


def _is_password(value: str) -> bool:
    """Passwords need not be random; what stands for one is none."""
    return not _NO_SECRET.search(value) and not _DOCUMENTED.match(value) and "{" not in value


def _waived(text: str, at: int) -> bool:
    """Whether the line says that there is no secret in it."""
    start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    return PRAGMA in text[start : len(text) if end < 0 else end]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    try:
        entries = sorted(path.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            continue
        if entry.is_dir():
            if entry.name not in SKIPPED:
                yield from _files(entry)
        elif entry.is_file():
            yield entry
