"""Stand-ins for an agent's tools that have an effect: each enters into a file what it does, where drills count it.

There is one for each way in which a tool declares what is to become of a call whose outcome a crash took. Where the
agent has a tool that declares it so, the stand-in bears its name and its settings; else it is one of ours.
"""

import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from golive.checklist import twin_config
from golive.config.agents import AGENT_FILE, TOOLS_FILE
from golive.config.schema import AgentConfig, ToolConfig

Way = Literal["status", "idempotent", "nothing"]
"""What the tool declares: a status function; that a call may be repeated under its key; nothing, so that a person is
asked."""
Pause = Literal["never", "before", "after"]
"""Where the stand-in waits, so that a crash meets it there: before its effect, or after it."""
ARGUMENT = "pause"
"""By which the scripted model says so."""
LEDGER_FILE = "effects.tsv"
HOLD_FILE = "hold"
"""So long as it is there, pauses last."""
LEAST_CONCURRENCY = 16
"""Of a worker, so that all who pause can do so at once; more where more is configured."""
SHORTEST_S = 10.0
"""A tool with less time than this (timeout_s) cannot be caught in its pause, and one of ours stands in for it."""

_OURS: dict[Way, tuple[str, dict[str, object]]] = {
    "status": ("golive_check_mail", {"status": "golive_check_mailed"}),
    "idempotent": ("golive_check_write", {"idempotent": True}),
    "nothing": ("golive_check_pay", {}),
}
"""Names, and [tools.NAME], of stand-ins for agents that have no such tool."""

_HEAD = '''"""Stand-ins that `golive check` wrote: each enters what it does into a file, and does nothing else."""

import fcntl as _fcntl
import os as _os
import time as _time
import typing as _typing

from golive.tools.context import ToolContext as _ToolContext

_LEDGER = {ledger!r}
_HOLD = {hold!r}
_Pause = _typing.Literal{pauses!r}


def _golive_done(file: _typing.IO[str], key: str) -> bool:
    file.seek(0)
    return any(line.split("\\t")[:4:3] == ["done", key] for line in file)


def _golive_enter(what: str, ctx: _ToolContext, once: bool = False) -> None:
    with open(_LEDGER, "a+") as file:
        _fcntl.flock(file, _fcntl.LOCK_EX)
        if not (once and _golive_done(file, ctx.idempotency_key)):
            file.write("\\t".join((what, ctx.run, ctx.tool, ctx.idempotency_key, str(_os.getpid()))) + "\\n")
            file.flush()


def _golive_wait() -> None:
    while _os.path.exists(_HOLD):
        _time.sleep(0.01)


def _golive_do(ctx: _ToolContext, pause: _Pause, once: bool) -> str:
    _golive_enter("begun", ctx)
    if pause == "before":
        _golive_wait()
    _golive_enter("done", ctx, once)
    if pause == "after":
        _golive_wait()
    _golive_enter("left", ctx)
    return "carried out"
'''
_TOOL = '''

def {name}(ctx: _ToolContext, {argument}: _Pause = "never") -> str:
    """Stands in place of a tool that has an effect."""
    return _golive_do(ctx, {argument}, once={once!r})
'''
_STATUS = '''

def {name}(ctx: _ToolContext) -> str | None:
    """Whether the call was carried out, by the file."""
    _golive_enter("asked", ctx)
    with open(_LEDGER) as file:
        return "carried out" if _golive_done(file, ctx.idempotency_key) else None
'''
_UNDO = '''

def {name}(ctx: _ToolContext) -> None:
    """Stands in place of what takes a call back."""
    _golive_enter("undone", ctx)
'''


class Entry(NamedTuple):
    """A line of the file. `what`: begun, done, left, asked (its status), undone. `pid`: of the worker."""

    what: str
    run: str
    tool: str
    key: str
    pid: int


def way_of(settings: ToolConfig) -> Way:
    """What the tool's settings declare; a status function is asked before anything else."""
    if settings.status is not None:
        return "status"
    return "idempotent" if settings.idempotent else "nothing"


def chosen(agent: AgentConfig, names: Iterable[str]) -> dict[Way, str]:
    """The tool that stands for each way: the first of the agent's own that declares it so, else one of ours."""
    found: dict[Way, str] = {}
    for name in names:
        settings = agent.tools.get(name, ToolConfig())
        never_asks = way_of(settings) == "nothing" and settings.on_unknown == "tell"
        if settings.timeout_s >= SHORTEST_S and not never_asks:
            found.setdefault(way_of(settings), name)
    return {way: found.get(way, _OURS[way][0]) for way in get_args(Way)}


def write(folder: Path, agent: AgentConfig, names: Iterable[str], *, timeout_s: float | None = None) -> None:
    """Puts a tools.py of stand-ins into the agent's folder, in place of whatever is there, and ours into agent.toml.

    Args:
        folder: the agent's, in a twin; the files that stand-ins write and look for lie two folders above it.
        names: the agent's own tools.
        timeout_s: of all stand-ins, in place of what is configured.
    """
    own = dict.fromkeys(names)
    ours = {name: settings for name, settings in _OURS.values() if name not in own}
    settings = {name: agent.tools.get(name, ToolConfig()) for name in {**own, **agent.tools}}
    settings |= {name: ToolConfig.model_validate(declared) for name, declared in ours.items()}
    root = folder.parent.parent
    text = _HEAD.format(ledger=str(root / LEDGER_FILE), hold=str(root / HOLD_FILE), pauses=list(get_args(Pause)))
    for name, each in settings.items():
        text += _TOOL.format(name=name, argument=ARGUMENT, once=each.idempotent)
    functions = {each.status: _STATUS for each in settings.values() if each.status is not None}
    functions |= {each.undo: _UNDO for each in settings.values() if each.undo is not None}
    text += "".join(template.format(name=name) for name, template in functions.items())
    (folder / TOOLS_FILE).write_text(text, encoding="utf-8")
    shortened = {} if timeout_s is None else {"timeout_s": timeout_s}
    concurrency = max(agent.worker.concurrency, LEAST_CONCURRENCY)
    _declare(folder / AGENT_FILE, ours, dict.fromkeys(settings, shortened), concurrency)
    (root / LEDGER_FILE).touch()


def _declare(
    path: Path, ours: Mapping[str, object], changed: Mapping[str, Mapping[str, object]], concurrency: int
) -> None:
    declared = tomllib.loads(path.read_text(encoding="utf-8"))
    tools = declared.get("tools", {}) | ours
    declared["tools"] = {name: {**tools.get(name, {}), **settings} for name, settings in changed.items()}
    declared["worker"] = declared.get("worker", {}) | {"concurrency": concurrency}
    path.write_text(twin_config.toml(declared), encoding="utf-8")


class Ledger:
    """The file, as drills read it, and the pauses of whoever writes it."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the twin's."""
        self._file = folder / LEDGER_FILE
        self._hold = folder / HOLD_FILE

    def hold(self) -> None:
        """From now on pauses last."""
        self._hold.touch()

    def release(self) -> None:
        """Whoever pauses goes on."""
        self._hold.unlink(missing_ok=True)

    def entries(self, run: str | None = None) -> list[Entry]:
        """What was entered, in order; of one run, where it is named."""
        lines = (line.split("\t") for line in self._file.read_text(encoding="utf-8").splitlines())
        found = [Entry(what, of, tool, key, int(pid)) for what, of, tool, key, pid in lines]
        return [entry for entry in found if run is None or entry.run == run]

    def text(self, run: str) -> str:
        """The entries of a run, for evidence."""
        return "\n".join(f"{entry.what} {entry.tool} {entry.key}" for entry in self.entries(run)) or "nothing"

    def at_work(self) -> list[int]:
        """Workers that live and have begun more than they have left."""
        begun = Counter(entry.pid for entry in self.entries() if entry.what == "begun")
        begun.subtract(entry.pid for entry in self.entries() if entry.what == "left")
        return [pid for pid, calls in begun.items() if calls > 0 and _lives(pid)]

    def alive(self) -> list[int]:
        """Workers that have entered something and that live."""
        return [pid for pid in {entry.pid for entry in self.entries()} if _lives(pid)]


def _lives(pid: int) -> bool:
    """Whether the process can still do something; one that nobody has buried yet (Linux) cannot."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except (OSError, IndexError):
        return not Path("/proc/self/stat").exists()  # elsewhere the signal alone tells
