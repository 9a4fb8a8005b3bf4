"""Settings from environment variables: `GOLIVE_SERVER__PORT=9000` stands above `server.port` of golive.toml.

A double underscore is the dot; case does not matter. A free name (as in [providers.NAME]) is matched with what the
file names, `-` written as `_`. Numbers and true/false are written as in TOML; a list as JSON or separated by commas;
nothing at all (`X=`) means "absent" where a setting may be absent. Only variables whose first part is a section of
golive.toml are settings; other GOLIVE_ variables (GOLIVE_KEY of clients; what an orchestrator injects for services,
such as GOLIVE_SERVER_PORT) are left alone and listed.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, get_origin

from golive.config.problems import Problem, unknown_key
from golive.config.section import Section
from golive.config.suggest import did_you_mean
from golive.config.tree import KeyPath, annotation_at, dotted, entry, field_at, is_optional, plain, section

PREFIX = "GOLIVE_"
CLIENT_VARIABLES = frozenset({"GOLIVE_KEY", "GOLIVE_URL"})
"""Read by golive's command-line clients; never settings of a server."""

_ALIASES = {"GOLIVE_ENVIRONMENT": ["environment", "name"]}
"""Short names of settings."""
_OTHER = re.compile(r"[^a-z0-9]")


class Overrides:
    """What the environment sets. `origins`: path -> variable; `ignored`: GOLIVE_ variables that are no settings."""

    def __init__(self) -> None:
        self.origins: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []
        self.ignored: list[str] = []


def apply(model: type[Section], environ: Mapping[str, str], data: dict[str, Any]) -> Overrides:
    """Writes the environment's settings into `data` (parsed TOML), in place, converted to the types of the schema.

    What cannot be converted is left as text, for the schema to refuse with its origin.
    """
    found = Overrides()
    for variable in sorted(environ):
        if variable.upper().startswith(PREFIX):
            _one(model, variable, environ[variable], data, found)
    return found


def _one(model: type[Section], variable: str, text: str, data: dict[str, Any], found: Overrides) -> None:
    parts = _ALIASES.get(variable.upper()) or variable[len(PREFIX) :].lower().split("__")
    origin = f"environment {variable}"
    if parts[0] == "agent" and len(parts) > 1:
        message = f"`{variable}` cannot be set: agent settings are part of a version."
        found.problems.append(Problem(".".join(parts), "", origin, message, "Set it in the agent's agent.toml."))
        return
    if parts[0] not in model.model_fields:
        if variable.upper() not in CLIENT_VARIABLES:
            found.ignored.append(variable)
        return
    path = _path(model, parts, data)
    field = field_at(model, path)
    here = annotation_at(model, path)
    if section(here) is not None or _holds_sections(here):
        names = [f"{variable}__{name.upper()}" for name in getattr(section(here), "model_fields", {})]
        message = f"`{dotted(path)}` is a section, not a setting."
        remedy = did_you_mean(variable, names) or f"Name a setting in it: {variable}__NAME__KEY."
        found.problems.append(Problem(dotted(path), "", origin, message, remedy))
    elif field is None:
        message, remedy = unknown_key(model, path)
        found.problems.append(Problem(dotted(path), "", origin, message, remedy))
    elif path in found.origins:
        message = f"`{dotted(path)}` is set twice, also by {found.origins[path]}."
        found.problems.append(Problem(dotted(path), "", origin, message, "Remove one of the two variables."))
    else:
        found.origins[path] = variable
        _put(data, path, convert(text, field.annotation))


def convert(text: str, annotation: Any) -> Any:
    """The text as a value of the annotation's type, or the text itself when it is none."""
    kind = plain(annotation)
    if text == "" and is_optional(annotation):
        return None
    if get_origin(kind) is tuple:
        return _list(text)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.strip().lower()]
        if kind is int:
            return int(text)
        if kind is float:
            return float(text)
    except (ValueError, KeyError):
        return text
    return text


def _list(text: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return [part.strip() for part in text.split(",") if part.strip()]


def _path(model: type[Section], parts: list[str], data: dict[str, Any]) -> KeyPath:
    """The parts as a path, free names spelled as the file spells them."""
    path: list[str] = []
    here: Any = model
    table: Any = data
    for part in parts:
        fields, free = section(here), entry(here)
        name = part
        if fields is None and free is not None and isinstance(table, dict):
            name = next((known for known in table if _OTHER.sub("_", known.lower()) == part), part)
        path.append(name)
        table = table.get(name) if isinstance(table, dict) else None
        here = fields.model_fields[name].annotation if fields is not None and name in fields.model_fields else free
    return tuple(path)


def _holds_sections(annotation: Any) -> bool:
    free = entry(annotation)
    return free is not None and section(free) is not None


def _put(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    table = data
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # not a table: the schema says so, naming the file's line
        table = inner
    table[path[-1]] = value
