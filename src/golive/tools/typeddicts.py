"""Lets tools annotate with `typing.TypedDict` on Python 3.11, which pydantic refuses there.

Pydantic wants `typing_extensions.TypedDict` below Python 3.12, because the older class forgets which inherited keys are
required (https://docs.pydantic.dev/latest/errors/usage_errors/#typed-dict-version). We rebuild what stands directly in
a signature from its own type hints; one that hides inside a BaseModel or dataclass stays refused, with a remedy.
"""

import sys
import types
import typing
from typing import Any, get_args, get_origin

import typing_extensions

_NEEDED = sys.version_info < (3, 12)


def rebuild(annotation: Any) -> Any:
    """`annotation` with every `typing.TypedDict` in it replaced by an equal one that pydantic accepts."""
    return _rebuild(annotation, {}) if _NEEDED else annotation


def _rebuild(annotation: Any, done: dict[Any, Any]) -> Any:
    if isinstance(annotation, type) and typing.is_typeddict(annotation):
        if type(annotation).__module__ != "typing":
            return annotation
        if annotation not in done:
            done[annotation] = annotation  # a recursive one is left as it is, and refused by pydantic
            done[annotation] = _equal(annotation, done)
        return done[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if not args or origin is typing.Literal:
        return annotation
    if origin is typing.Annotated:
        return typing.Annotated[(_rebuild(args[0], done), *args[1:])]
    new = tuple(_rebuild(arg, done) if not isinstance(arg, list) else arg for arg in args)
    if all(after is before for after, before in zip(new, args, strict=True)):
        return annotation
    if origin is types.UnionType or origin is typing.Union:
        return typing.Union[new]  # noqa: UP007 - built from a tuple
    return origin[new] if hasattr(origin, "__class_getitem__") else annotation


def _equal(old: Any, done: dict[Any, Any]) -> Any:
    fields = {}
    for name, hint in typing.get_type_hints(old, include_extras=True).items():
        marked = get_origin(hint) in (typing.Required, typing.NotRequired)
        kind = _rebuild(get_args(hint)[0] if marked else hint, done)
        required = get_origin(hint) is typing.Required if marked else name in old.__required_keys__
        fields[name] = kind if required else typing_extensions.NotRequired[kind]
    build: Any = typing_extensions.TypedDict
    new = build(old.__name__, fields)
    new.__doc__, new.__module__ = old.__doc__, old.__module__
    return new
