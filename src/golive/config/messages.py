"""Checks `[messages]` of agent.toml: its keys, its languages, and the placeholders of each text."""

from collections.abc import Iterator, Mapping
from typing import Any

from golive.config.files import Toml
from golive.config.languages import may_be_spoken
from golive.config.problems import Problem, shown
from golive.config.suggest import did_you_mean
from golive.config.tree import KeyPath, dotted
from golive.core.words import WAYS, fault

_LANGUAGE_KEY = "language"


def message_problems(messages: Mapping[str, Any], toml: Toml) -> Iterator[Problem]:
    """All that is wrong with an agent's messages."""
    for key, value in messages.items():
        path: KeyPath = ("messages", key)
        if key == _LANGUAGE_KEY:
            if not isinstance(value, str) or not may_be_spoken(value):
                yield _problem(path, value, toml, "must be a language tag, such as `en` or `pt-BR`")
        elif key in WAYS:
            yield from _words(path, value, toml)
        elif isinstance(value, Mapping):
            if may_be_spoken(key):
                yield from _variant(path, value, toml)
            else:
                yield _problem(path, value, toml, "is no language", "Use a tag such as `de` or `pt-BR`.")
        else:
            yield _unknown(path, toml, {_LANGUAGE_KEY, *WAYS})


def _variant(path: KeyPath, variant: Mapping[str, Any], toml: Toml) -> Iterator[Problem]:
    for key, value in variant.items():
        if key in WAYS:
            yield from _words((*path, key), value, toml)
        else:
            yield _unknown((*path, key), toml, set(WAYS))


def _words(path: KeyPath, value: Any, toml: Toml) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield _problem(path, value, toml, f"must be text, but is {shown(path, value)}")
        return
    wrong = fault(path[-1], value)
    if wrong:
        names = ", ".join(f"{{{name}}}" for name in WAYS[path[-1]].placeholders)
        remedy = f"There may stand {names}." if names else "Write a sentence without placeholders."
        yield _problem(path, value, toml, wrong, f"{remedy} A brace of your own is written twice: {{{{ or }}}}.")


def _unknown(path: KeyPath, toml: Toml, known: set[str]) -> Problem:
    message = f"unknown key `{dotted(path)}`."
    return Problem(dotted(path), "", toml.origin(path), message, did_you_mean(path[-1], known))


def _problem(path: KeyPath, value: Any, toml: Toml, wrong: str, remedy: str = "") -> Problem:
    return Problem(dotted(path), shown(path, value), toml.origin(path), f"`{dotted(path)}` {wrong}.", remedy)
