"""Writes the reference parts of the documentation out of the code, so that they cannot fall behind it.

Owns the tables of settings, errors, events, roles and metrics; the pages around them include what is written here.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from golive.cli.main import COMMANDS, build
from golive.config.schema import AgentConfig, GoliveConfig
from golive.core import errors
from golive.core.events import BODIES
from golive.core.words import WAYS
from golive.gateway.problems import TABLE
from golive.telemetry.edge import EdgeMetrics
from golive.telemetry.metrics import Metrics
from golive.tenants.roles import BUILT_IN, VERBS

TITLES = {"providers": "NAME", "prices": '"PATTERN"', "capabilities": '"PATTERN"', "models": "TIER", "tools": "NAME",
          "webhooks": "NAME", "schedules": "NAME", "roles": "NAME", "oidc": "NAME",
          "rotation": '"REFERENCE"'}  # fmt: skip
"""What stands for the free name in the heading of a table of sections."""


def write_all(folder: Path) -> None:
    """Writes every part into `folder`, one Markdown file each; an unchanged file is left alone."""
    folder.mkdir(exist_ok=True)
    for name, part in PARTS.items():
        file, text = folder / f"{name}.md", part()
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def configuration() -> str:
    """Every key of golive.toml and agent.toml, with type, default and meaning."""
    lines: list[str] = []
    for title, model in (("golive.toml", GoliveConfig), ("agent.toml", AgentConfig)):
        lines += [f"## {title}", ""]
        lines += _section(model, "")
    return "\n".join(lines) + "\n"


def _section(model: type[BaseModel], path: str) -> Iterator[str]:
    plain = {name: field for name, field in model.model_fields.items() if _inner(field) is None}
    if path:
        meaning = inspect.cleandoc(model.__doc__ or "").partition(": ")[2]
        yield from (f"### `[{path}]`", "", f"{meaning[:1].upper()}{meaning[1:]}", "")
    if plain:
        yield from ("| key | type | default | meaning |", "|---|---|---|---|")
        for name, field in plain.items():
            yield f"| `{name}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |"
        yield ""
    for name, field in model.model_fields.items():
        inner = _inner(field)
        if inner is not None:
            keyed = get_origin(field.annotation) is dict
            yield from _section(inner, f"{path}{'.' if path else ''}{name}{f'.{TITLES[name]}' if keyed else ''}")


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    kind: Any = field.annotation
    if get_origin(kind) is dict:
        kind = get_args(kind)[1]
    return kind if inspect.isclass(kind) and issubclass(kind, BaseModel) else None


def _type(field: FieldInfo) -> str:
    for kind in (field.annotation, *get_args(field.annotation)):
        if get_origin(kind) is tuple:
            entry = get_args(kind)[0]
            if get_origin(entry) is Literal:
                return "list of " + ", ".join(f'`"{value}"`' for value in get_args(entry))
            return "list of numbers" if "float" in str(entry) else "list of strings"
        if get_origin(kind) is Literal:
            return " \\| ".join(f'`"{value}"`' for value in get_args(kind))
    shown = str(field.annotation)
    for name, words in (
        ("int", "integer"),
        ("float", "number"),
        ("bool", "true or false"),
    ):
        if name in shown:
            return words
    return "string"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "absent"
    return f"`{msgspec.json.encode(value).decode()}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def error_codes() -> str:
    """Every error code with its HTTP status, whether a retry helps, and what it means."""
    lines = ["| code | HTTP | retry helps | meaning |", "|---|---|---|---|"]
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.GoliveError) and kind is not errors.GoliveError:
            status, title = TABLE.get(kind.code, TABLE["internal"])
            own = kind.__dict__.get("__doc__")
            meaning = _cell(inspect.cleandoc(own).split("\n\n")[0]) if own else f"{title}."
            lines.append(f"| `{kind.code}` | {status} | {'yes' if kind.retry_helps else 'no'} | {meaning} |")
    return "\n".join(lines[:2] + sorted(lines[2:])) + "\n"


def event_kinds() -> str:
    """Every kind of journal event, with its fields."""
    lines = ["| kind | fields | meaning |", "|---|---|---|"]
    for kind, body in BODIES.items():
        fields = ", ".join(f"`{name}`" for name in body.__struct_fields__)
        lines.append(f"| `{kind}` | {fields} | {_cell(body.__dict__.get('__doc__') or '')} |")
    return "\n".join(lines) + "\n"


def roles() -> str:
    """Which role may do what."""
    lines = [f"| verb | {' | '.join(BUILT_IN)} |", "|---" * (len(BUILT_IN) + 1) + "|"]
    lines += [
        f"| `{verb}` | {' | '.join('yes' if verb in role.verbs else '' for role in BUILT_IN.values())} |"
        for verb in VERBS
    ]
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Every metric of /metrics."""
    lines = ["| metric | type | meaning |", "|---|---|---|"]
    registry, edge = Metrics().registry, EdgeMetrics()
    edge.follow_certificate(lambda: 0.0)
    edge.join(registry)
    for family in sorted(registry.collect(), key=lambda family: family.name):
        suffix = "_total" if family.type == "counter" else ""
        lines.append(f"| `{family.name}{suffix}` | {family.type} | {_cell(family.documentation)} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Every command of the command line, with its arguments and options."""
    lines: list[str] = []
    for name in COMMANDS:
        app = typer.main.get_command(build([name]))
        assert isinstance(app, typer.core.TyperGroup)
        lines += _command(f"golive {name}", app.commands[name])
    return "\n".join(lines) + "\n"


def _command(path: str, command: Any) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    yield from (f"{'###' if path.count(' ') > 1 else '##'} {path}", "", inspect.cleandoc(command.help or ""), "")
    shown = [param for param in command.params if not getattr(param, "hidden", False) and param.name != "help"]
    if shown:
        yield from ("| argument or option | meaning |", "|---|---|")
        for param in shown:
            option = param.param_type_name == "option"
            names = (
                ", ".join(f"`{opt}`" for opt in (*param.opts, *param.secondary_opts)) if option else f"`{param.name}`"
            )
            yield f"| {names} | {_cell(getattr(param, 'help', '') or '')}{_preset(param)} |"
        yield ""
    for name, child in inner.items():
        yield from _command(f"{path} {name}", child)


def _preset(param: Any) -> str:
    value, said = param.default, getattr(param, "show_default", None)
    if isinstance(said, str):
        return f" Default: {_cell(said)}."
    if value in (None, False, (), "") or callable(value) or param.required:
        return ""
    if value is True:
        return f" Default: `{param.opts[0]}`."
    return f" Default: `{value}`."


def words() -> str:
    """Every way of degrading: its key in `[messages]`, when it is told, its English words."""
    lines = ["| key | told when | in English |", "|---|---|---|"]
    lines += [f"| `{key}` | {_cell(way.when)} | {_cell(way.words)} |" for key, way in WAYS.items()]
    return "\n".join(lines) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "configuration": configuration,
    "errors": error_codes,
    "events": event_kinds,
    "roles": roles,
    "metrics": metrics,
    "commands": commands,
    "words": words,
}
