"""What is wrong with a JSON Schema, and where: its form alone, as the meta-schemas of the drafts give it.

Takes what draft 2020-12 allows, and the older drafts' `items` as a list, `exclusiveMinimum` as a boolean and so on.
Keywords that no draft knows are allowed, as the drafts allow them. Leaves to the provider which part of JSON Schema it
serves, and whether an answer follows.

Source: https://json-schema.org/draft/2020-12/schema and the drafts before it, back to 4 (2026-11-20).
"""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
SHOWN_CHARACTERS = 60
"""Of a value that cannot stand where it does."""


class Fault(NamedTuple):
    """`pointer`: where, as a URI fragment such as `#/properties/age/type`; `message`: what, a sentence."""

    pointer: str
    message: str


Step = tuple[str | int, ...]
Inner = Iterator[tuple[Step, Any]]
"""Steps from a schema to a value below it that must be a schema again."""


def parse(text: str) -> Any:
    """The JSON value of `text`.

    Raises:
        ValueError: it is not JSON, or holds a number or half a character that JSON cannot pass on.
        RecursionError: it is nested too deeply.
    """
    value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number that JSON knows")
    return value


def first_fault(schema: Any) -> Fault | None:
    """The first thing that keeps the value from being a JSON Schema, from the top; None: it is one."""
    waiting: list[tuple[Step, Any]] = [((), schema)]
    while waiting:
        at, here = waiting.pop()
        if isinstance(here, bool):
            continue
        if not isinstance(here, dict):
            return Fault(_pointer(at), f"a schema is an object or a boolean, not {_shown(here)}.")
        below: list[tuple[Step, Any]] = []
        for keyword, value in here.items():
            wrong = _wrong(keyword, value, schema)
            if wrong:
                return Fault(_pointer((*at, keyword)), f"`{keyword}` must be {wrong}, and is {_shown(value)}.")
            below += [((*at, keyword, *step), inner) for step, inner in _schemas(keyword, value)]
        waiting += reversed(below)
    return None


def _wrong(keyword: str, value: Any, root: Any) -> str:
    """What the keyword's value must be and is not; empty when it is."""
    if keyword == "$ref" and isinstance(value, str):
        return "" if _leads_somewhere(value, root) else "a reference to a part of this file that is there"
    for keywords, fits, words in _FORMS:
        if keyword in keywords and not fits(value):
            return words
    return ""


def _schemas(keyword: str, value: Any) -> Inner:
    """What below the keyword must be a schema."""
    if keyword in _MAPS and isinstance(value, dict):
        for name, inner in value.items():
            if keyword != "dependencies" or not isinstance(inner, list):
                yield (name,), inner
    elif keyword in _LISTS or (keyword == "items" and isinstance(value, list)):
        yield from (((number,), inner) for number, inner in enumerate(value))
    elif keyword in _ONES:
        yield (), value


_ONES = frozenset({
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def _is_type(value: Any) -> bool:
    return value in TYPES if isinstance(value, str) else _are_names(value) and value and set(value) <= set(TYPES)


def _are_dependencies(value: Any) -> bool:
    return isinstance(value, dict) and all(_are_names(names) for names in value.values())


_FORMS: tuple[tuple[frozenset[str], Callable[[Any], Any], str], ...] = (
    (_LISTS, lambda value: isinstance(value, list) and value, "a list of at least one schema"),
    (_MAPS, lambda value: isinstance(value, dict), "an object of schemas"),
    (frozenset({"type"}), _is_type, f"one or several of {', '.join(TYPES)}"),
    (frozenset({"enum", "examples"}), lambda value: isinstance(value, list), "a list"),
    (frozenset({"items"}), lambda value: value != [], "a schema"),
    (frozenset({"required"}), _are_names, "a list of different names"),
    (frozenset({"dependentRequired"}), _are_dependencies, "an object of lists of different names"),
    (frozenset({"maximum", "minimum"}), _is_number, "a number"),
    (
        frozenset({"exclusiveMaximum", "exclusiveMinimum"}),
        lambda value: isinstance(value, bool) or _is_number(value),
        "a number",
    ),
    (frozenset({"multipleOf"}), lambda value: _is_number(value) and value > 0, "a number above 0"),
    (
        frozenset({
            "maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength",
            "minProperties",
        }),
        _is_count,
        "a whole number, 0 or more",
    ),
    (
        frozenset({"deprecated", "readOnly", "uniqueItems", "writeOnly"}),
        lambda value: isinstance(value, bool),
        "true or false",
    ),
    (
        frozenset({
            "$anchor", "$comment", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema", "contentEncoding",
            "contentMediaType", "description", "format", "pattern", "title",
        }),
        lambda value: isinstance(value, str),
        "text",
    ),
)  # fmt: skip
"""(keywords, what their value must satisfy, in words). What must be a schema itself is looked at by itself."""


def _leads_somewhere(reference: str, root: Any) -> bool:
    """Whether a reference into this file finds something; of other references nothing can be said."""
    if not reference.startswith("#/"):
        return True
    here = root
    for part in reference[2:].split("/"):
        key = _unescaped(part)
        if isinstance(here, list) and key.isdecimal() and int(key) < len(here):
            here = here[int(key)]
        elif isinstance(here, dict) and key in here:
            here = here[key]
        else:
            return isinstance(root, dict) and "$id" in json.dumps(root)  # it may begin at another schema's root
    return True


def _unescaped(part: str) -> str:
    from urllib.parse import unquote

    return unquote(part).replace("~1", "/").replace("~0", "~")


def _pointer(steps: Step) -> str:
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
