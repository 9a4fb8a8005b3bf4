"""Folders below the system's temporary one that last as long as the process that made them, and not longer.

Whoever makes one holds a lock on it, which the kernel lets go of however the process ends. `sweep` removes those whose
lock nobody holds: what a process that was killed could not take away. Nobody is killed and no process id is looked at,
so an id that was given anew is no danger.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

ATTEMPTS = 8
"""A sweep may take a folder in the instant between its making and its locking; then another is made."""


class Scratch:
    """A folder for this user alone; `remove` takes it away."""

    def __init__(self, prefix: str) -> None:
        """Makes it.

        Args:
            prefix: begins its name, such as `golive-worker-`; `sweep` goes by it.

        Raises:
            OSError: the temporary folder cannot be written.
        """
        for _ in range(ATTEMPTS):
            self.path = Path(tempfile.mkdtemp(prefix=prefix))
            self._removed = False
            self._lock: int | None = None
            try:
                self._lock = _locked(self.path)
            except OSError:
                return  # a file system without locks: there a sweep judges nothing either
            if self._lock is not None:
                return
        raise OSError(errno.EBUSY, "a new folder was taken away each time", tempfile.gettempdir())

    def remove(self) -> None:
        """Takes it away with all that is in it; a second time does nothing."""
        if self._removed:
            return
        self._removed = True
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def sweep(prefix: str) -> list[str]:
    """Removes this user's folders of the prefix that no living process holds; returns their names.

    Whatever cannot be judged (another user's, a link, a file system without locks) stays. Blocks while it removes.
    """
    swept: list[str] = []
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix):
                continue
            with contextlib.suppress(OSError):
                lock = _locked(Path(entry.path))
                if lock is None:
                    continue
                try:
                    shutil.rmtree(entry.path, ignore_errors=True)
                    swept.append(entry.name)
                finally:
                    os.close(lock)
    return sorted(swept)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock on the folder, or None if another process holds it or the folder has gone.

    Raises:
        OSError: it is no folder of this user's, or it cannot be locked at all.
    """
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(folder)
        if found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "another user's folder", str(path))
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        now = os.stat(path, follow_symlinks=False)
        if (now.st_dev, now.st_ino) == (found.st_dev, found.st_ino) and stat.S_ISDIR(now.st_mode):
            return folder
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(folder)
        raise
    os.close(folder)
    return None
