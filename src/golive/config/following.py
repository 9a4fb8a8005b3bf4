"""Whether a value follows a JSON Schema, in bounded time: the answer is a model's, and with it anybody's.

Nothing is fetched; every keyword that is applied is a step, and steps are counted; patterns are matched in linear time,
which is why they know no look-around and no back-references. `format` is a note, as the drafts have it by default.
jsonschema is loaded with the first schema, and not before: that takes some 0.2 s and 30 MiB. A small answer takes
0.2 ms then.

Source: https://json-schema.org/draft/2020-12/json-schema-validation and the drafts before it, back to 4 (2026-11-20).
"""

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from pydantic_core import SchemaError, SchemaValidator, core_schema

MAX_STEPS = 50_000
"""Keywords applied to one value; some 0.3 s of the event loop at worst."""
SHOWN_CHARACTERS = 200
"""Of a place in the value: its names are the model's."""

_DRAFTS = ("Draft202012Validator", "Draft201909Validator", "Draft7Validator", "Draft6Validator", "Draft4Validator")
_Keyword = Callable[[Any, Any, Any, Any], Any]


class Mismatch(NamedTuple):
    """The first thing by which a value does not follow. `at`: where in it, `rule`: where in the schema (both JSON
    pointers, "" for the whole); `missing`: names that `required` asks for."""

    at: str
    rule: str
    missing: tuple[str, ...] = ()


class Undecided(Exception):
    """Holding the value against the schema takes more steps or deeper ones than a value may, or leads nowhere."""


class Unusable(Exception):
    """The schema cannot be held against anything; the message says why."""


class Follows:
    """One schema, made ready."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Takes a schema in which `json_schema.first_fault` finds none.

        Raises:
            Unusable: no draft takes it as a whole, or its patterns cannot be matched in linear time.
        """
        from referencing import Registry

        self._steps = _Steps()
        kind = _draft(schema)
        patterns, names = _patterns(schema)
        for pattern in patterns:
            _matcher(pattern)
        if {"patternProperties", "unevaluatedProperties"} <= names:
            raise Unusable("`patternProperties` beside `unevaluatedProperties` cannot be matched in linear time")
        self._validator = _counting(kind, self._steps)(schema, registry=Registry())

    def mismatch(self, value: Any) -> Mismatch | None:
        """Where it does not follow; None: it does.

        Raises:
            Undecided: that could not be found out.
        """
        from referencing.exceptions import Unresolvable

        self._steps.left = MAX_STEPS
        try:
            found = next(self._validator.iter_errors(value), None)
        except (RecursionError, ArithmeticError, Unresolvable) as error:
            raise Undecided from error
        if found is None:
            return None
        missing: tuple[str, ...] = ()
        if found.validator == "required" and isinstance(found.instance, dict):
            missing = tuple(name for name in found.validator_value if name not in found.instance)
        return Mismatch(_pointer(found.absolute_path), _pointer(found.absolute_schema_path), missing)


class _Steps:
    """How many are left of the value's."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def take(self, number: int) -> None:
        self.left -= number
        if self.left < 0:
            raise Undecided


def _library() -> Any:
    return import_module("jsonschema")


def _draft(schema: dict[str, Any]) -> Any:
    """The draft that the schema names, or else the newest that takes it."""
    jsonschema = _library()
    drafts = [getattr(jsonschema, name) for name in _DRAFTS]
    if "$schema" in schema:
        drafts = [jsonschema.validators.validator_for(schema, drafts[0])]
    no_formats = jsonschema.FormatChecker(())  # of patterns it would ask Python, which knows others
    for draft in drafts:
        try:
            draft.check_schema(schema, format_checker=no_formats)
        except (jsonschema.SchemaError, RecursionError):
            continue
        return draft
    raise Unusable("no draft of JSON Schema takes it as a whole")


def _counting(draft: Any, steps: _Steps) -> Any:
    """The draft's validator, each of whose keywords costs a step, and those of unbounded work are our own."""

    def counted(name: str, keyword: _Keyword) -> _Keyword:
        def apply(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
            sized = isinstance(instance, list | dict) and name in _BY_SIZE
            steps.take(1 + (len(instance) if sized else 0) + (len(value) if name == "enum" else 0))
            return keyword(validator, value, instance, schema)

        return apply

    return _library().validators.extend(
        draft, {name: counted(name, _OWN.get(name, keyword)) for name, keyword in draft.VALIDATORS.items()}
    )


_BY_SIZE = frozenset({"uniqueItems", "additionalProperties", "patternProperties"})


@cache
def _matcher(pattern: str) -> SchemaValidator:
    """Tells whether a text has a match of the pattern in it.

    Raises:
        Unusable: it cannot be matched in linear time.
    """
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        raise Unusable(
            f"the pattern {pattern[:SHOWN_CHARACTERS]!r} cannot be matched in linear time; look-around and "
            "back-references cannot"
        ) from None


def _patterns(schema: dict[str, Any]) -> tuple[list[str], set[str]]:
    """Every text that may be a pattern of the schema, and every name in it."""
    waiting: list[Any] = [schema]
    patterns, names = list[str](), set[str]()
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting += here
        elif isinstance(here, dict):
            names |= here.keys()
            if isinstance(here.get("pattern"), str):
                patterns.append(here["pattern"])
            if isinstance(here.get("patternProperties"), dict):
                patterns += here["patternProperties"]
            waiting += here.values()
    return patterns, names


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _matcher(pattern).isinstance_python(instance):
        yield _error("does not match")


def _pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, below in patterns.items():
            for name, value in instance.items():
                if _matcher(pattern).isinstance_python(name):
                    yield from validator.descend(value, below, path=name, schema_path=pattern)


def _additional_properties(validator: Any, below: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    patterns = [_matcher(pattern) for pattern in schema.get("patternProperties", {})]
    for name, value in instance.items():
        if name in schema.get("properties", {}) or any(pattern.isinstance_python(name) for pattern in patterns):
            continue
        if below is False:
            yield _error("one too many")
        elif below is not True:
            yield from validator.descend(value, below, path=name)


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[Any]:
    if wanted and isinstance(instance, list) and len({_key(item) for item in instance}) < len(instance):
        yield _error("stands there twice")


def _key(value: Any) -> Any:
    """Equal for what JSON Schema takes for equal: 1 and 1.0, and not 1 and true."""
    if isinstance(value, dict):
        return "object", frozenset((name, _key(item)) for name, item in value.items())
    if isinstance(value, list):
        return "array", tuple([_key(item) for item in value])
    return isinstance(value, bool), value


def _error(message: str) -> Any:
    return _library().ValidationError(message)


_OWN: dict[str, _Keyword] = {
    "pattern": _pattern, "patternProperties": _pattern_properties, "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}  # fmt: skip


def _pointer(path: Any) -> str:
    pointer = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
    return pointer if len(pointer) <= SHOWN_CHARACTERS else pointer[: SHOWN_CHARACTERS - 1] + "…"
