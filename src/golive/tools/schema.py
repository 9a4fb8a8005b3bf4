"""A plain typed function as a tool: its JSON Schema, and arguments checked against its signature.

Owns `Tool`. Leaves finding the functions to `loading.py` and running them to `executor.py`.
"""

import difflib
import inspect
import re
import types
import typing
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from golive.core.errors import AgentError, ToolArgumentsInvalid
from golive.tools.context import ToolContext
from golive.tools.docstrings import read_docstring
from golive.tools.typeddicts import rebuild

MAX_PROBLEMS = 10
"""Faulty arguments named in one answer to the model."""
MAX_SHOWN = 80
"""Characters of a faulty value shown to the model."""

OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
"""Kinds of parameters that take any number of arguments."""

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,63}")
_SCHEMA_MAPS = ("properties", "$defs", "patternProperties", "dependentSchemas")


class Bound(NamedTuple):
    """Arguments ready for the call, the context left out."""

    args: list[Any]
    kwargs: dict[str, Any]


class Parameter(NamedTuple):
    """`field` is its name in the pydantic model: users' names could clash with BaseModel's own; "" for the context."""

    name: str
    field: str
    positional_only: bool


class Tool:
    """One function that a model may call."""

    def __init__(self, function: Callable[..., Any], path: str) -> None:
        """
        Raises:
            AgentError: the signature cannot be told to a model; names file:line, function, parameter and remedy.
        """
        inner = inspect.unwrap(function)
        self.name: str = function.__name__
        self.function = function
        self.is_async = inspect.iscoroutinefunction(inner) and inspect.iscoroutinefunction(function)
        self._where = f"{path}:{inner.__code__.co_firstlineno}" if isinstance(inner, types.FunctionType) else path
        self._check_shape(inner)
        documented = read_docstring(function.__doc__)
        self.description = documented.description
        self.parameters: list[Parameter] = []
        fields = self._fields(inspect.signature(function), getattr(inner, "__globals__", {}))
        self._model, schema = self._build(fields, inner.__module__)
        self.schema: bytes = msgspec.json.encode(_described(_untitled(schema), self.parameters, documented.parameters))
        self._validate = self._model.__pydantic_validator__.validate_json

    def bind(self, arguments: bytes, context: Callable[[], ToolContext]) -> Bound:
        """Checks JSON text against the signature. Pydantic's JSON mode: "5" serves as an int, dates come as strings.

        Raises:
            ToolArgumentsInvalid: with a text that tells the model what is wrong with which argument.
        """
        values = self._checked(arguments)
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, field, positional_only in self.parameters:
            value = values[field] if field else context()
            if positional_only:
                args.append(value)
            else:
                kwargs[name] = value
        return Bound(args, kwargs)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The parameters that the model fills."""
        return tuple(parameter.name for parameter in self.parameters if parameter.field)

    def values(self, arguments: bytes) -> dict[str, Any]:
        """What the model's JSON text means, by parameter, defaults included.

        Raises:
            ToolArgumentsInvalid: as `bind`.
        """
        values = self._checked(arguments)
        return {name: values[field] for name, field, _ in self.parameters if field}

    def _checked(self, arguments: bytes) -> dict[str, Any]:
        try:
            values: dict[str, Any] = self._validate(arguments if arguments.strip() else b"{}").__dict__
        except ValidationError as error:
            raise self._invalid(error) from None
        return values

    def _check_shape(self, inner: Callable[..., Any]) -> None:
        if not _NAME.fullmatch(self.name):
            raise self._unusable(
                "its name is not one that providers accept", "Use at most 64 of A-Z, a-z, 0-9 and _, a letter first."
            )
        if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
            raise self._unusable("it is a generator", "Return a list, or begin its name with _ if it is not a tool.")

    def _fields(self, signature: inspect.Signature, names: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for index, parameter in enumerate(signature.parameters.values()):
            positional_only = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
            annotation = self._annotation(parameter, names)
            if is_context(annotation):
                if any(not known.field for known in self.parameters):
                    raise self._unusable("there are two contexts", "Keep one ToolContext.", parameter.name)
                self.parameters.append(Parameter(parameter.name, "", positional_only))
                continue
            field = f"p{index}"
            required = parameter.default is inspect.Parameter.empty
            fields[field] = (
                typing.Annotated[annotation, Field(alias=parameter.name)],
                ... if required else parameter.default,
            )
            self.parameters.append(Parameter(parameter.name, field, positional_only))
        return fields

    def _annotation(self, parameter: inspect.Parameter, names: dict[str, Any]) -> Any:
        if parameter.kind in OPEN:
            raise self._unusable(
                "a model cannot fill an open list of arguments",
                "Name each parameter, or take one typed list[...] or dict[str, ...].",
                parameter.name,
            )
        if parameter.annotation is inspect.Parameter.empty:
            raise self._unusable("it has no type", f"Annotate it, such as `{parameter.name}: str`.", parameter.name)
        # One at a time, so that the error can name the parameter whose annotation does not resolve.
        holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
        try:
            return rebuild(typing.get_type_hints(holder, globalns=names, include_extras=True)[parameter.name])
        except Exception as error:
            raise self._unusable(
                f"its type {parameter.annotation!r} does not resolve ({error})",
                "Import the type at run time, not under `if TYPE_CHECKING:`.",
                parameter.name,
            ) from error

    def _build(self, fields: dict[str, Any], module: str) -> tuple[type[BaseModel], dict[str, Any]]:
        try:
            return _model(self.name, fields, module)
        except Exception as error:  # users' types run code of their own here
            for parameter in self.parameters:
                if parameter.field:
                    self._check_type(parameter, fields[parameter.field], module)
            raise self._unusable(f"its signature has no JSON Schema ({error})", "Use simpler types.") from error

    def _check_type(self, parameter: Parameter, field: Any, module: str) -> None:
        try:
            _model(self.name, {parameter.field: field}, module)
        except Exception as error:
            reason = str(error).split("\n", 1)[0]
            raise self._unusable(
                f"its type cannot be told to a model ({reason})",
                "Use str, int, float, bool, list, dict, Literal, Enum, datetime, a dataclass, TypedDict or BaseModel.",
                parameter.name,
            ) from error

    def _unusable(self, reason: str, remedy: str, parameter: str | None = None) -> AgentError:
        place = f"{self.name}, parameter {parameter}" if parameter else self.name
        return AgentError(f"{self._where}: {place}: {reason}.", remedy=remedy, origin=self._where, key=place)

    def _invalid(self, error: ValidationError) -> ToolArgumentsInvalid:
        problems = error.errors(include_url=False, include_context=False)
        lines = [_problem(problem, self.arguments) for problem in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            lines.append(f"and {len(problems) - MAX_PROBLEMS} more")
        text = "\n".join(f"- {line}" for line in lines)
        message = f"The arguments of {self.name} are not valid:\n{text}"
        return ToolArgumentsInvalid(message, remedy="Correct them and call again.", tool=self.name)


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """`Did you mean a or b?`, or what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name[:100], names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"There are: {', '.join(names[:50])}." if names else "There are none."


def is_context(annotation: Any) -> bool:
    """Whether a parameter of this type is given the call's ToolContext."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    alternatives = [part for part in typing.get_args(annotation) if part is not types.NoneType]
    return annotation is ToolContext or alternatives == [ToolContext]


def _model(name: str, fields: dict[str, Any], module: str) -> tuple[type[BaseModel], dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a default that JSON cannot hold is left out of the schema, which is right
        config = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=False)
        model: type[BaseModel] = create_model(name, __config__=config, __module__=module, **fields)
        return model, model.model_json_schema()


def _described(schema: dict[str, Any], parameters: list[Parameter], descriptions: dict[str, str]) -> dict[str, Any]:
    """Adds the docstring's descriptions where the annotation gave none."""
    properties: dict[str, Any] = schema.setdefault("properties", {})
    for parameter in parameters:
        if parameter.name in properties and parameter.name in descriptions:
            properties[parameter.name].setdefault("description", descriptions[parameter.name])
    return schema


def _untitled(schema: Any) -> Any:
    """Pydantic's titles repeat the names and cost tokens. What users name `title` themselves stays."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _SCHEMA_MAPS:
            kept[key] = {name: _untitled(part) for name, part in value.items()}
        elif key in ("default", "const", "enum", "examples"):
            kept[key] = value
        elif key != "title":
            kept[key] = _untitled(value)
    return kept


def _problem(problem: ErrorDetails, known: tuple[str, ...]) -> str:
    place = ".".join(str(part) for part in problem["loc"])[: MAX_SHOWN * 2]
    if problem["type"] == "json_invalid":
        return f"they are not JSON: {problem['msg'].removeprefix('Invalid JSON: ')}"
    if not place:
        return "they must be one JSON object"
    if problem["type"] == "missing":
        return f"{place}: is required"
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        return f"{place}: there is no such parameter. {nearest(place, known)}"
    value = repr(problem["input"])
    return f"{place}: {problem['msg']} (got {value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + '…'})"
