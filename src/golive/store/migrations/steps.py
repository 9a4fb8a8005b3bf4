"""Which steps there are, and walking them: up or down, within a transaction that the caller has begun.

Alembic keeps the steps' order and gives them its operations; which schema a database has stands in `schema_version`
alone, so that servers can read it without Alembic.
"""

from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from msgspec import Struct
from sqlalchemy import Connection, inspect, text

from golive.store.schema import Kind

HERE = Path(__file__).parent
LOCATIONS = [HERE / "versions"]
"""Folders with steps."""
FIRST: dict[Kind, int] = {"sqlite": 1, "postgresql": 6}
"""The first schema that a database of the kind ever had."""


class Step(Struct, frozen=True):
    """From one schema to its neighbour. `about`: what it is for; `loses`: what going down from it takes away."""

    version: int
    name: str
    up: bool
    oldest: int
    about: str
    loses: str
    script: Script


def newest() -> int:
    """The newest schema that there are steps to."""
    return max(_scripts())


def between(now: int, to: int) -> list[Step]:
    """The steps from schema `now` to schema `to`, in the order in which they are walked."""
    scripts = _scripts()
    numbers = range(now + 1, to + 1) if to >= now else range(now, to, -1)
    return [_step(number, scripts[number], to >= now) for number in numbers]


def oldest_of(version: int) -> int:
    """The oldest server schema that may run on schema `version`."""
    return int(_scripts()[version].module.oldest)


def walk(connection: Connection, steps: list[Step], now: float) -> None:
    """Walks the steps and records them; `now`: seconds since the epoch."""
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        for step in steps:
            (step.script.module.upgrade if step.up else step.script.module.downgrade)()
            at = step.version if step.up else step.version - 1
            connection.execute(text("DELETE FROM schema_version WHERE version > :at"), {"at": at})
            _record(connection, at, now)


def _record(connection: Connection, version: int, now: float) -> None:
    """A row for the schema that there is now, unless one tells of it already."""
    found = text("SELECT count(*) FROM schema_version WHERE version = :version")
    if connection.execute(found, {"version": version}).scalar_one():
        return
    script = _scripts()[version]
    row: dict[str, Any] = {"version": version, "name": _name(script), "applied_at": now}
    if any(column["name"] == "oldest" for column in inspect(connection).get_columns("schema_version")):
        row["oldest"] = int(script.module.oldest)
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO schema_version ({names}) VALUES ({values})"), row)  # noqa: S608 - our names


def _scripts() -> dict[int, Script]:
    directory = ScriptDirectory(str(HERE), version_locations=[str(place) for place in LOCATIONS])
    return {int(script.revision): script for script in directory.walk_revisions()}


def _step(version: int, script: Script, up: bool) -> Step:
    module = script.module
    return Step(version, _name(script), up, int(module.oldest), script.doc, str(getattr(module, "loses", "")), script)


def _name(script: Script) -> str:
    """`v0006_oldest.py` is called `oldest`."""
    return Path(script.path).stem.partition("_")[2]
