"""Stand-ins for an agent's tools: the same names in the same workers, and code of ours that mostly dies.

Nothing of the agent's own tools.py is imported or called where they stand. Its settings of each tool (`[tools.NAME]`)
stay, so that limits and what is critical are the user's; but no person is asked (`on_unknown`).
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from golive.checklist import twin_config
from golive.config.agents import AGENT_FILE, TOOLS_FILE
from golive.config.schema import AgentConfig

Death = Literal["raises", "hangs", "dies"]
"""raises: a ConnectionError; hangs: a thread that never returns; dies: the worker process ends at once."""
Fate = Literal[Death, "lives"]
"""lives: the tool gives a result, as tools do."""
ARGUMENT = "fate"
"""By which the scripted model says what becomes of the tool."""

_HEAD = f'''"""Stand-ins that `golive check` wrote: each ends as its argument says."""

import os as _os
import time as _time
import typing as _typing

_Fate = _typing.Literal{list(get_args(Fate))!r}


def _golive_end(fate: _Fate) -> str:
    if fate == "lives":
        return "done"
    if fate == "dies":
        _os._exit(70)
    while fate == "hangs":
        _time.sleep(3600)
    raise ConnectionError("golive check: this tool is out")
'''
_TOOL = '''

def {name}({argument}: _Fate = "raises") -> str:
    """Stands in place of the agent's own {name}."""
    return _golive_end({argument})
'''
_ABOUT_CALLS = '''

def {name}() -> None:
    """Stands in place of the agent's own {name}."""
    raise ConnectionError("golive check: this tool is out")
'''


def write(folder: Path, agent: AgentConfig, names: Iterable[str]) -> None:
    """Puts a tools.py of stand-ins into the agent's folder, in place of whatever is there.

    Args:
        names: the agent's tools; functions that its settings name as `status` or `undo` are out as well.
    """
    about_calls = {name for each in agent.tools.values() for name in (each.status, each.undo) if name is not None}
    text = _HEAD + "".join(_TOOL.format(name=name, argument=ARGUMENT) for name in names)
    text += "".join(_ABOUT_CALLS.format(name=name) for name in sorted(about_calls))
    (folder / TOOLS_FILE).write_text(text, encoding="utf-8")
    if any(each.on_unknown == "ask" for each in agent.tools.values()):
        _tell(folder / AGENT_FILE)


def _tell(path: Path) -> None:
    """No drill of dead tools waits for a person: what becomes of a run is what becomes of it without one."""
    declared = tomllib.loads(path.read_text(encoding="utf-8"))
    for each in declared.get("tools", {}).values():
        each.pop("on_unknown", None)
    path.write_text(twin_config.toml(declared), encoding="utf-8")
