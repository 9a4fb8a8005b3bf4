"""One server per SQLite file: a second one would end the first one's runs as left over."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from golive.core.errors import StoreUnavailable


class ServerLock:
    """Held while a server runs; the system gives it up when the process ends, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> "ServerLock":
        """Takes the lock beside the database file.

        Raises:
            StoreUnavailable: another server holds it (`holder` is its process id), or its file cannot be written.
        """
        lock = path.with_name(path.name + ".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"{lock} cannot be written: {error.strerror}.", remedy="Free or unlock the disk, or set store.url.",
                key="store.url", value=str(path),
            ) from error  # fmt: skip
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreUnavailable(
                f"another golive server (process {holder}) uses {path}.",
                remedy="Stop it, or give this one another store.url.",
                key="store.url",
                value=str(path),
                holder=holder,
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreUnavailable(
                f"{lock} cannot be locked: {error.strerror}.", remedy="Put the database on a local disk.",
                key="store.url", value=str(path),
            ) from error  # fmt: skip
        with suppress(OSError):  # on a full disk the lock holds all the same, without our process id in it
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Gives it up."""
        os.close(self._descriptor)
