"""How far a worker has come with its calls: a page of memory that it shares with the server.

The worker notes the number of each call as it begins it, and the server up to which number it has taken calls back. No
message is sent and no event loop needs to run for that, so that of a worker that is stuck or dead, too, the server
knows what it never began, and may give it to another. Calls have rising numbers and are begun in that order.
"""

import contextlib
import fcntl
import mmap
import os
import sys

SETTLE_S = 0.02
"""How long after `take_back` the page says for good what was begun: far longer than a processor holds a write back."""

_BEGUN, _TAKEN_BACK = 0, 1


class Progress:
    """One end of the page. Whoever makes it hands the descriptor of `share` on to the other process."""

    def __init__(self, descriptor: int) -> None:
        """Maps the page; the descriptor stays the caller's to close."""
        self._memory = mmap.mmap(descriptor, mmap.PAGESIZE)
        self._numbers = memoryview(self._memory).cast("Q")

    @property
    def begun(self) -> int:
        """The highest number of a call that was begun; 0 before the first."""
        return self._numbers[_BEGUN]

    def begin(self, number: int) -> bool:
        """Notes that the call begins; False if it was taken back, and must not. For the worker."""
        self._numbers[_BEGUN] = number  # first the note, then the look: one of the two sides sees the other's
        return number > self._numbers[_TAKEN_BACK]

    def take_back(self, number: int) -> None:
        """No call up to `number` begins from now on; which had before, `begun` tells after SETTLE_S. For the server."""
        self._numbers[_TAKEN_BACK] = max(number, self._numbers[_TAKEN_BACK])

    def close(self) -> None:
        """Lets go of the page; `begun` stays as it is. May be called again."""
        shared, self._numbers = self._numbers, memoryview(bytearray(self._numbers)).cast("Q")
        shared.release()
        self._memory.close()


def share() -> int:
    """A descriptor of a new page, all zeros, for two processes to map. The caller closes it.

    Raises:
        OSError: there is no room or no descriptor left.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a hardened kernel may refuse (vm.memfd_noexec)
            return _sealed()
    import tempfile  # a worker, which maps and never makes a page, is not to wait for it

    with tempfile.TemporaryFile() as file:
        file.write(bytes(mmap.PAGESIZE))
        file.flush()
        return os.dup(file.fileno())


def _sealed() -> int:
    """A page of no file, which keeps its size: a worker's code that shortened it would end the server, too."""
    descriptor = os.memfd_create("golive-worker", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(descriptor, bytes(mmap.PAGESIZE))
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
