"""Servers in which erasing is broken; see `broken_server.py`."""

from typing import Any


def hoarding() -> None:
    """No row is removed, and whoever counts is told that there is none."""
    from golive.store.sqlite.erasures import SqliteErasures
    from golive.store.sqlite.store import SqliteStore

    async def none(self: Any, *_: Any) -> int:
        return 0

    async def nothing(self: Any, tenant: str, user: str | None) -> dict[str, int]:
        return {"runs": 0}

    SqliteStore.erase_runs = none  # type: ignore[method-assign]
    SqliteErasures.standing = nothing  # type: ignore[method-assign]


def sparing() -> None:
    """Keys are said to be destroyed, and are only marked."""
    from golive.store.sqlite import data_keys

    for name in ("_ERASE_ALL", "_ERASE_ONE"):
        setattr(data_keys, name, getattr(data_keys, name).replace("wrapped = x'', ", ""))


def smearing() -> None:
    """What is removed is not overwritten, and the log ahead of the file is left as it is."""
    from contextlib import nullcontext

    from golive.store.sqlite import removal

    removal._overwriting = lambda connection: nullcontext()  # type: ignore[assignment]


def reviving() -> None:
    """A restore knows nothing of what was erased since the backup."""
    from golive.store.upkeep import restore

    restore.known = lambda connection, version: []


def sweeping() -> None:
    """Who erases one user takes everybody's runs along."""
    from golive.store.sqlite import removal

    removal._OF_USER = removal._OF_USER.replace("= ?3 UNION", "<> ?3 UNION", 1)


def touching() -> None:
    """The server looks through its database's files itself, and so loses its locks on them."""
    from pathlib import Path

    from golive.store.sqlite.erasures import SqliteErasures

    real = SqliteErasures.in_files

    async def touched(self: Any, values: Any) -> int | None:
        Path(self._path).open("rb").close()
        return await real(self, values)

    SqliteErasures.in_files = touched  # type: ignore[method-assign]


def blindly() -> None:
    """Nobody can look through the database's files."""
    from pathlib import Path

    from golive.store.sqlite import erasures

    erasures._GREP = Path("no-such-program.py")
