"""Imports an agent's `tools.py` and finds the tools in it.

Every public function that the file itself defines is a tool, except `lifespan` and those that [tools.NAME] names as
`status` or `undo`. Runs user code: in a worker, or in the server's own process in inline mode.
"""

import importlib.machinery
import importlib.util
import inspect
import sys
import traceback
import types
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec import Raw

from golive.core.errors import AgentError
from golive.core.messages import ToolSpec
from golive.tools.effects import LIFESPAN, EffectFunction, Named, Role, effect_functions
from golive.tools.schema import OPEN, Tool

FILE = "tools.py"
MOST_PLACES = 8
"""Frames that are named of where something was raised: the innermost."""


class LoadedTools:
    """What a folder's `tools.py` holds. `tools` is sorted by name; a missing file is an empty set."""

    def __init__(
        self,
        tools: dict[str, Tool],
        lifespan: Callable[[], Any] | None,
        path: str,
        effects: dict[tuple[str, Role], EffectFunction] | None = None,
    ) -> None:
        """`effects`: functions about calls of a tool, by its name and what they do."""
        self.tools = tools
        self.effects = effects or {}
        self.lifespan = lifespan
        self.path = path

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(ToolSpec(tool.name, tool.description, Raw(tool.schema)) for tool in self.tools.values())


class _Source(importlib.machinery.SourceFileLoader):
    """Always compiles: cached bytecode is trusted by size and whole seconds, and would miss a quick edit in `dev`."""

    def get_code(self, fullname: str) -> types.CodeType:
        code: types.CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def load_tools(folder: Path, module_name: str, named: Iterable[Named] = ()) -> LoadedTools:
    """Imports `folder/tools.py` as `module_name`. Siblings are importable if the caller put the folder on sys.path.

    Args:
        named: functions that agent.toml names as `status` or `undo` of a tool.

    Raises:
        AgentError: it cannot be imported, or declares something unusable; names file, line and remedy.
    """
    path = folder / FILE
    if not path.is_file():
        return LoadedTools({}, None, str(path))
    module = _import(path, module_name)
    named = tuple(named)
    about_calls = {name for each in named for _, name in each.each()}
    found = [Tool(function, str(path)) for function in _functions(module, about_calls)]
    lifespan = getattr(module, LIFESPAN, None)
    if lifespan is not None:
        _check_lifespan(lifespan, path)
    tools = {tool.name: tool for tool in sorted(found, key=lambda tool: tool.name)}
    return LoadedTools(tools, lifespan, str(path), effect_functions(module, tools, named, str(path)))


def expose(folder: Path) -> None:
    """Makes the siblings of tools.py importable: before installed packages, behind the standard library, parts of which
    are imported late and must not find an agent's json.py."""
    places = (index for index, entry in enumerate(sys.path) if Path(entry).name in ("site-packages", "dist-packages"))
    sys.path.insert(next(places, len(sys.path)), str(folder))


def blame(error: BaseException, folder: Path) -> str:
    """`file:line` where `error` arose: the innermost line inside `folder`, or the innermost of all."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}"
    frames = traceback.extract_tb(error.__traceback__)
    nearest = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)] or frames
    return f"{nearest[-1].filename}:{nearest[-1].lineno}" if nearest else str(folder / FILE)


def describe(error: BaseException) -> str:
    """`TypeName: message`, also for errors whose own `str` fails."""
    try:
        message = str(error)
    except Exception as broken:
        message = f"(its message failed with {type(broken).__name__})"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def places(trace: TracebackType | None) -> str:
    """Where something was raised, the place itself last, and nothing of what was said: `tools.py:12 in refund`."""
    frames = traceback.extract_tb(trace)[-MOST_PLACES:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames)


def _import(path: Path, module_name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, path, loader=_Source(module_name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pydantic look their own module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # also SystemExit: importing tools.py must not end the process
        sys.modules.pop(module_name, None)
        where = blame(error, path.parent)
        raise AgentError(
            f"{path} cannot be imported: {describe(error)} ({where}).",
            remedy=_import_remedy(error),
            origin=where,
            traceback="".join(traceback.format_exception(error)),
        ) from error
    return module


def _import_remedy(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"Install what provides {error.name} into the environment golive runs in, or remove the import."
    if isinstance(error, SystemExit):
        return "Do not end the process while tools.py is imported."
    return "Correct the code at that line."


def _functions(module: types.ModuleType, but: Collection[str]) -> list[Callable[..., Any]]:
    return [
        value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != LIFESPAN
        and name not in but
        and callable(value)
        and not inspect.isclass(value)
        and getattr(value, "__module__", None) == module.__name__
        and getattr(value, "__name__", None) == name
    ]


def _check_lifespan(lifespan: Any, path: Path) -> None:
    remedy = "Write `async def lifespan(): ...; yield state`, without parameters."
    if not callable(lifespan):
        raise AgentError(f"{path}: lifespan is not a function.", remedy=remedy, origin=str(path))
    needed = [
        parameter.name
        for parameter in inspect.signature(lifespan).parameters.values()
        if parameter.default is parameter.empty and parameter.kind not in OPEN
    ]
    if needed:
        raise AgentError(f"{path}: lifespan takes {', '.join(needed)}.", remedy=remedy, origin=str(path))
