"""Walks the schema: which setting stands at a path, what it expects, whether it refers to a secret.

A path is a tuple of key parts as in TOML: ("providers", "openai", "base_url"). Values and files are others' business.
"""

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from golive.config.section import PATTERN_WORDS, REFERENCE, Section

KeyPath = tuple[str, ...]

_BARE = re.compile(r"^[A-Za-z0-9_-]+$")
_TYPE_WORDS = {str: "text", bool: "true or false"}


def dotted(path: KeyPath) -> str:
    """The path as one writes it in TOML, such as `prices."sim/*".input_usd_per_mtok`."""
    return ".".join(part if _BARE.match(part) else '"' + part.replace('"', '\\"') + '"' for part in path)


def plain(annotation: Any) -> Any:
    """The annotation without `Annotated` and `| None`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, UnionType):
            annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
        else:
            return annotation


def is_optional(annotation: Any) -> bool:
    """Whether None is a value of it."""
    return get_origin(annotation) in (Union, UnionType) and type(None) in get_args(annotation)


def section(annotation: Any) -> type[Section] | None:
    """The section class an annotation stands for, if any."""
    found = plain(annotation)
    return found if isinstance(found, type) and issubclass(found, Section) else None


def entry(annotation: Any) -> Any | None:
    """What the entries of a table with free names are (`dict[Name, X]` gives X), or None."""
    found = plain(annotation)
    return get_args(found)[1] if get_origin(found) is dict else None


def annotation_at(model: type[Section], path: KeyPath) -> Any | None:
    """What stands at the path: a section, a table with free names, or a value's type; None: nothing may stand there."""
    here: Any = model
    for part in path:
        fields = section(here)
        if fields is not None:
            if part not in fields.model_fields:
                return None
            here = fields.model_fields[part].annotation
        else:
            here = entry(here)
            if here is None:
                return None
    return here


def field_at(model: type[Section], path: KeyPath) -> FieldInfo | None:
    """The setting at the path; None where there is none, or where a free name or nothing stands."""
    if not path:
        return None
    parent = section(annotation_at(model, path[:-1]))
    return parent.model_fields.get(path[-1]) if parent is not None else None


def every_path(model: type[Section], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every setting there can be, in the schema's order; free names are given as `NAME`."""
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        inner, free = section(field.annotation), entry(field.annotation)
        if inner is not None:
            yield from every_path(inner, path)
        elif free is not None and (inner := section(free)) is not None:
            yield from every_path(inner, (*path, "NAME"))
        else:
            yield path, field


def is_secret(field: FieldInfo) -> bool:
    """Whether the setting holds a reference to a secret."""
    return any(getattr(rule, "pattern", None) == REFERENCE for rule in _rules(field.annotation, field.metadata))


def expected(annotation: Any, rules: list[Any] | None = None) -> str:
    """What a value must be, in words, such as "a whole number from 0 to 65535"."""
    rules = _rules(annotation, rules or [])
    kind = plain(annotation)
    for rule in rules:
        if getattr(rule, "pattern", None) in PATTERN_WORDS:
            return PATTERN_WORDS[rule.pattern]
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{option}"' for option in get_args(kind))
    if get_origin(kind) is tuple:
        return f"a list; each entry {expected(get_args(kind)[0])}"
    if get_origin(kind) is dict or section(kind) is not None:
        return "a table"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _bounds(rules)
    return _TYPE_WORDS.get(kind, "something else")


def _rules(annotation: Any, own: list[Any]) -> list[Any]:
    """The constraints on a value: the field's own, and those inside `Annotated` and `| None`."""
    rules = list(own)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for extra in args[1:]:
            rules.extend(extra.metadata if isinstance(extra, FieldInfo) else [extra])
        rules.extend(_rules(args[0], []))
    elif origin in (Union, UnionType):
        for arg in args:
            rules.extend(_rules(arg, []))
    return rules


def _bounds(rules: list[Any]) -> str:
    low = high = ""
    for rule in rules:
        for name, words in (("ge", "from {:g}"), ("gt", "above {:g}")):
            if getattr(rule, name, None) is not None:
                low = " " + words.format(getattr(rule, name))
        if getattr(rule, "le", None) is not None:
            high = f" to {rule.le}" if low.startswith(" from") else f" and at most {rule.le}"
    return low + high
