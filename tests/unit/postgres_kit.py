"""A fresh database of the test process's own PostgreSQL, for whoever asks."""

import asyncio
import itertools
import os
from typing import Any

import asyncpg

from tests.postgres_kit import postgres_server

ROLES = ("golive_writer", "golive_reader", "golive_server")
_numbers = itertools.count(1)


def fresh(user: str = "postgres") -> str:
    """The URL of an empty database; it belongs to `user`, whom row-level security holds unless it is `postgres`."""
    server = postgres_server()
    admin, owner = server.url("postgres"), "golive" if user == "postgres" else user
    name = f"golive_{os.getpid()}_{next(_numbers)}"
    if owner != "golive":
        for role in (f"{owner} LOGIN", *ROLES):
            run(admin, f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN END $$")
        run(admin, f"GRANT {', '.join(ROLES)} TO {owner}")
    run(admin, f"CREATE DATABASE {name} OWNER {owner}")
    return server.url(name, owner)


def run(url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a statement, run from outside of any event loop."""

    async def go() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(go())
