"""A guard over all tests: no process opens a database's files itself while it has the database open through SQLite.

When a process closes any descriptor of a file, it loses every lock that SQLite holds on it; see
`store/sqlite/erasures.py`. Whoever wants to see the bytes has another process read them: `contents`.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

ENDINGS = (".db", ".db-wal", ".db-shm")
OPEN_FILES = Path("/proc/self/fd")
seen: list[str] = []
"""Every opening that was refused, whatever became of the error."""

_READ = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"


class OpenedBesideSqlite(AssertionError):
    """The file was not opened."""


def guard() -> None:
    """Refuses it for as long as the process lives; where the system does not tell what is open, it cannot."""
    if OPEN_FILES.is_dir():
        sys.addaudithook(_hook)


def contents(path: Path) -> bytes:
    """What the file holds, also while this process has the database open."""
    return subprocess.run([sys.executable, "-I", "-S", "-c", _READ, path], capture_output=True, check=True).stdout


def locks(path: Path) -> int:
    """How many POSIX locks this process holds on the file."""
    return locks_of(os.getpid(), path)


def locks_of(pid: int, path: Path) -> int:
    """How many POSIX locks a process holds on the file, as Linux tells."""
    inode = f":{path.stat().st_ino}"
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum("POSIX" in line and str(pid) in line and any(word.endswith(inode) for word in line) for line in lines)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event != "open":
        return
    path, _, flags = args
    if isinstance(path, int) or (flags or 0) & os.O_EXCL:  # that opens nothing that is there
        return
    name = os.fsdecode(path)
    if name.endswith(ENDINGS) and _is_open(name):
        seen.append(name)
        raise OpenedBesideSqlite(f"{name} is opened while SQLite has it open in this process; see tests/untouched.py")


def _is_open(name: str) -> bool:
    try:
        wanted = os.stat(name)
    except OSError:
        return False
    for number in os.listdir(OPEN_FILES):
        with suppress(OSError):
            if os.path.samestat(os.fstat(int(number)), wanted):
                return True
    return False
