"""Functions of tools.py about calls of a tool: one that tells whether a call was carried out, one that takes it back.

Owns what [tools.NAME] names them by, their check against the tool, and their parameters. Leaves calling them to
`executor.py`.
"""

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from golive.core.errors import AgentError
from golive.tools.context import ToolContext
from golive.tools.schema import OPEN, Bound, Tool, is_context, nearest

Role = Literal["call", "status", "undo"]
"""What is wanted about a call of a tool: that it is carried out, asked about, or taken back."""
FILE = "agent.toml"
LIFESPAN = "lifespan"
RESULT = "result"
"""The parameter of an undo function that is given what the tool returned, as text."""


class Named(Struct, array_like=True, frozen=True):
    """The functions that [tools.NAME] names for one tool."""

    tool: str
    status: str | None = None
    undo: str | None = None

    def each(self) -> list[tuple[Role, str]]:
        """Those that there are, by role."""
        both: list[tuple[Role, str | None]] = [("status", self.status), ("undo", self.undo)]
        return [(role, name) for role, name in both if name is not None]


class EffectParameter(NamedTuple):
    """`source`: the tool's argument of that name, the context of the call, or the tool's result."""

    name: str
    source: Literal["argument", "context", "result"]
    positional_only: bool


class EffectFunction:
    """A status or undo function of one tool. Its arguments are the call's own, checked by the tool's signature."""

    def __init__(self, function: Callable[..., Any], tool: Tool, role: Role, path: str) -> None:
        """
        Args:
            path: of tools.py, for messages.

        Raises:
            AgentError: it takes what nobody can give it; names file:line, function, parameter and remedy.
        """
        inner = inspect.unwrap(function)
        self.name = getattr(function, "__name__", role)
        self.function = function
        self.is_async = inspect.iscoroutinefunction(inner) and inspect.iscoroutinefunction(function)
        self._tool = tool
        self._role = role
        self._where = f"{path}:{inner.__code__.co_firstlineno}" if isinstance(inner, types.FunctionType) else path
        if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
            raise self._unusable("it is a generator", "Return what it finds.")
        names = getattr(inner, "__globals__", {})
        self._parameters = [self._parameter(each, names) for each in inspect.signature(function).parameters.values()]

    def bind(self, arguments: bytes, context: Callable[[], ToolContext], result: str) -> Bound:
        """The call's arguments, as this function takes them.

        Raises:
            ToolArgumentsInvalid: they do not fit the tool.
        """
        values = self._tool.values(arguments)
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, source, positional_only in self._parameters:
            value = values[name] if source == "argument" else context() if source == "context" else result
            if positional_only:
                args.append(value)
            else:
                kwargs[name] = value
        return Bound(args, kwargs)

    def _parameter(self, parameter: inspect.Parameter, names: dict[str, Any]) -> EffectParameter:
        name, positional_only = parameter.name, parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        if parameter.kind in OPEN:
            raise self._unusable("nobody fills an open list of arguments", self._choices(), name)
        if _takes_context(parameter, names):
            return EffectParameter(name, "context", positional_only)
        if name == RESULT and self._role == "undo":
            if name in self._tool.arguments:
                reason = f"it would be what {self._tool.name} returned, and is an argument of {self._tool.name} as well"
                raise self._unusable(reason, f"Rename the parameter of {self._tool.name}.", name)
            return EffectParameter(name, "result", positional_only)
        if name not in self._tool.arguments:
            raise self._unusable(f"{self._tool.name} has no such parameter", self._choices(), name)
        return EffectParameter(name, "argument", positional_only)

    def _choices(self) -> str:
        choices = ["`ctx: ToolContext`"] + (["`result: str`"] if self._role == "undo" else [])
        own = ", ".join(self._tool.arguments)
        taken = f"parameters of {self._tool.name} ({own}), " if own else ""
        return f"It may take {taken}{' and '.join(choices)}."

    def _unusable(self, reason: str, remedy: str, parameter: str | None = None) -> AgentError:
        key = setting(self._tool.name, self._role)
        place = f"{self.name} ({key})" + (f", parameter {parameter}" if parameter else "")
        return AgentError(f"{self._where}: {place}: {reason}.", remedy=remedy, origin=self._where, key=key)


def effect_functions(
    module: types.ModuleType, tools: dict[str, Tool], named: Iterable[Named], path: str
) -> dict[tuple[str, Role], EffectFunction]:
    """The functions that are named, by tool and role. Of tools that there are not, nothing.

    Raises:
        AgentError: tools.py has no such function, or it takes what nobody can give it.
    """
    return {
        (each.tool, role): EffectFunction(_find(module, each.tool, role, name, path), tools[each.tool], role, path)
        for each in named
        if each.tool in tools
        for role, name in each.each()
    }


def setting(tool: str, role: Role) -> str:
    """The setting that names the function, such as `tools.pay.undo`."""
    return f"tools.{tool}.{role}"


def declared_at(folder: Path, *key: str) -> str:
    """File and line of a key of the folder's agent.toml, or the file alone where it cannot be read."""
    from golive.config.files import Unreadable, read_toml  # for messages only: a worker's start does not wait for it

    try:
        return read_toml(folder / FILE, str(folder / FILE)).origin(key)
    except Unreadable:
        return str(folder / FILE)


def _find(module: types.ModuleType, tool: str, role: Role, name: str, path: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if callable(found) and not inspect.isclass(found) and name != LIFESPAN:
        return typing.cast(Callable[..., Any], found)
    origin = declared_at(Path(path).parent, "tools", tool, role)
    why = "which is not about calls" if name == LIFESPAN else "and tools.py has no such function"
    others = [
        other for other, value in vars(module).items() if inspect.isfunction(value) and other not in (LIFESPAN, tool)
    ]
    raise AgentError(
        f"{origin}: {setting(tool, role)} names {name}, {why}.",
        remedy=f"Write one, or name another. {nearest(name, others)}" if others else "Write one.",
        origin=origin,
        key=setting(tool, role),
        value=name,
    )


def _takes_context(parameter: inspect.Parameter, names: dict[str, Any]) -> bool:
    """Arguments need no types here, so what does not resolve is no context, and no fault either."""
    if parameter.annotation is inspect.Parameter.empty:
        return False
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return is_context(typing.get_type_hints(holder, globalns=names, include_extras=True)[parameter.name])
    except Exception:  # users' annotations may raise anything
        return False
