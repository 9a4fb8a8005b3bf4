"""Says what is wrong with a value, where it stands and what to write instead; gathers all of it into one error.

Never shows a value that may be a secret: not where a reference to one is expected, not under a telling name, not when
it looks like a key of one of the usual vendors.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from golive.config.section import PATTERN_WORDS, Section
from golive.config.suggest import did_you_mean, nearest
from golive.config.tree import (
    KeyPath,
    annotation_at,
    dotted,
    every_path,
    expected,
    field_at,
    is_secret,
    plain,
    section,
)
from golive.core.errors import ConfigError

REFERENCE_REMEDY = (
    "Put the secret into an environment variable and write `env:NAME`, or into a file and write `file:PATH`; "
    "settings hold references only."
)
_TELLING_NAME = re.compile(r"key|token|secret|passw|pepper|credential|auth", re.IGNORECASE)
_PUBLIC = frozenset({"trusted_keys"})
"""Named so, and shown to everybody."""
_TELLING_VALUE = re.compile(r"^(sk-|pk-|gh[pousr]_|github_pat_|xox|AKIA|AIza|eyJ|Bearer |-----BEGIN)|://[^/\s]*@")
_SHOWN_CHARACTERS = 60


class Problem(Struct, frozen=True):
    """One thing that is wrong: the setting, what it holds (redacted), where, why, and what to do."""

    key: str
    value: str
    origin: str
    message: str
    remedy: str = ""

    def line(self) -> str:
        """All of it on one line."""
        return f"{self.origin}: {self.message} {self.remedy}".rstrip()


def raise_all(kind: type[ConfigError], problems: Sequence[Problem]) -> None:
    """Raises one error of the kind that tells every problem; nothing when there is none."""
    if problems:
        raise error_of(kind, problems)


def error_of(kind: type[ConfigError], problems: Sequence[Problem]) -> ConfigError:
    """One error of the kind that tells every problem, one a line; there is at least one."""
    first = problems[0]
    fields: dict[str, Any] = {"key": first.key, "value": first.value, "origin": first.origin}
    fields["problems"] = tuple(problems)
    if len(problems) == 1:
        return kind(f"{first.origin}: {first.message}", remedy=first.remedy, **fields)
    listed = "\n".join(f"  {problem.line()}" for problem in problems)
    return kind(f"{len(problems)} faults in what was configured:\n{listed}", **fields)


def of_validation(error: ValidationError, model: type[Section], origin_of: Callable[[KeyPath], str]) -> list[Problem]:
    """Every fault that the schema found, in our words; `origin_of` says where a path was set ("golive.toml:7")."""
    return [
        _problem(found, model, origin_of)
        for found in error.errors(include_url=False)
        if not _counts_only_what_fits(found)
    ]


def _counts_only_what_fits(found: Any) -> bool:
    """Whether a list or table is only too short because entries of it, which are told by themselves, do not fit."""
    return found["type"] == "too_short" and bool(len(found["input"]) >= found["ctx"]["min_length"])


def _problem(found: Any, model: type[Section], origin_of: Callable[[KeyPath], str]) -> Problem:
    loc = [part for part in found["loc"] if part != "[key]"]
    path: KeyPath = tuple(part for part in loc if isinstance(part, str))
    key = dotted(path) + "".join(f"[{part}]" for part in loc if isinstance(part, int))
    value = found.get("input")
    if found["type"] == "extra_forbidden":
        return Problem(key, "", origin_of(path), *unknown_key(model, path))
    if found["type"] == "missing":
        return Problem(key, "", origin_of(path), f"`{key}` is missing.", f"It must be {_wanted(model, path, found)}.")
    if "[key]" in found["loc"]:
        words = PATTERN_WORDS.get(found.get("ctx", {}).get("pattern", ""), "another name")
        return Problem(key, "", origin_of(path), f"`{path[-1]}` is no name for [{dotted(path)}].", f"Use {words}.")
    if found["type"] in ("too_short", "too_long"):
        few = found["type"] == "too_short"
        bound = found["ctx"]["min_length" if few else "max_length"]
        message = f"`{key}` must have at {'least' if few else 'most'} {bound} entr{'y' if bound == 1 else 'ies'}."
        return Problem(key, "", origin_of(path), message)
    field = field_at(model, path)
    if field is not None and is_secret(field):
        message = f"`{key}` must be a reference to a secret, and what stands there (not shown) is none."
        return Problem(key, "", origin_of(path), message, REFERENCE_REMEDY)
    message = f"`{key}` must be {_wanted(model, path, found)}, but is {shown(path, value)}."
    return Problem(key, shown(path, value), origin_of(path), message, _remedy(path, value))


def _wanted(model: type[Section], path: KeyPath, found: Any) -> str:
    field = field_at(model, path)
    if field is None:
        return expected(annotation_at(model, path))
    if found["loc"] and isinstance(found["loc"][-1], int):
        return expected(plain(field.annotation).__args__[0])
    return expected(field.annotation, field.metadata)


def _remedy(path: KeyPath, value: Any) -> str:
    if path and path[-1] == "version" and not isinstance(value, str):
        return "Put it in quotes."
    return ""


def unknown_key(model: type[Section], path: KeyPath) -> tuple[str, str]:
    """Message and remedy for a key that the schema does not know: the nearest sibling, or the same name elsewhere."""
    message = f"unknown key `{dotted(path)}`."
    parent = section(annotation_at(model, path[:-1]))
    siblings = list(parent.model_fields) if parent is not None else []
    near = nearest(path[-1], siblings)
    if near is not None:
        return message, f"Did you mean `{dotted((*path[:-1], near))}`?"
    elsewhere = [dotted(other) for other, _ in every_path(model) if other[-1] == path[-1]]
    if elsewhere:
        return message, "Did you mean " + " or ".join(f"`{name}`" for name in elsewhere[:3]) + "?"
    return message, did_you_mean(path[-1], siblings)


def shown(path: KeyPath, value: Any) -> str:
    """The value as it may be printed: short, and never a secret."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, str):
        if _TELLING_VALUE.search(value) or _tells(path):
            return "a text that is not shown, for it may hold a secret"
        cut = value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"
        return "the text " + json.dumps(cut, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value}"[:_SHOWN_CHARACTERS]
    return f"the {type(value).__name__} {value}"


def _tells(path: KeyPath) -> bool:
    """Whether a setting's name says that it holds a secret; [auth] says so of nothing in it."""
    parts = path[1:] if path[:1] == ("auth",) else path
    return any(_TELLING_NAME.search(part) for part in parts if part not in _PUBLIC)


def tuples(data: Any) -> Any:
    """Parsed TOML with its lists made tuples, which is what a frozen schema holds."""
    if isinstance(data, dict):
        return {key: tuples(value) for key, value in data.items()}
    return tuple(tuples(value) for value in data) if isinstance(data, list) else data
