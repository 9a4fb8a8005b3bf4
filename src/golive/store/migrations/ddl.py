"""Writes `store/ddl/sqlite.sql` and `postgres.sql` from the description of the tables: `make schema`.

Who may do what in PostgreSQL is written by hand (`store/ddl/postgres_roles.sql`).
"""

import re
from importlib.resources import files
from pathlib import Path

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from golive.store.migrations.tables import describe
from golive.store.schema import Kind

FOLDER = Path(str(files("golive.store") / "ddl"))
FILES: dict[Kind, str] = {"sqlite": "sqlite.sql", "postgresql": "postgres.sql"}
_OPTIONS = re.compile(r"\n (?=WITHOUT|STRICT)")
_HEAD = (
    "-- Written by `make schema` from store/migrations/tables.py; change that, and add a step to migrations/versions.\n"
)


def written(kind: Kind) -> str:
    """The file's text."""
    dialect: Dialect = sqlite.dialect() if kind == "sqlite" else postgresql.dialect()  # type: ignore[no-untyped-call]
    parts = [_HEAD]
    for table in describe(kind).tables.values():
        why = "".join(f"-- {line}\n" for line in str(table.info["why"]).strip().splitlines())
        parts.append(why + _tidy(str(CreateTable(table).compile(dialect=dialect))))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        parts += [_tidy(str(CreateIndex(index).compile(dialect=dialect))) for index in indexes]
        if kind == "sqlite" and table.info["guards"]:
            parts.append(table.info["guards"].strip() + "\n")
    return "\n".join(parts)


def _tidy(statement: str) -> str:
    lines = [line.rstrip().replace("\t", "    ") for line in statement.strip().splitlines()]
    return _OPTIONS.sub(" ", "\n".join(line for line in lines if line)) + ";\n"


def main() -> None:
    """Writes both files."""
    for kind, name in FILES.items():
        (FOLDER / name).write_text(written(kind), "utf-8")


if __name__ == "__main__":
    main()
