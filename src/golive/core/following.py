"""Loops that look at something again and again, and go on whatever a look raises: told once, until one goes well."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from golive.core.errors import StoreError

Fault = Callable[[str, Exception], None]
"""Told of what a look raised: what was looked at, and the exception."""


class Told(Protocol):
    """The log."""

    def error(self, event: str, /, **fields: Any) -> None: ...


def faults_told(log: Told) -> Fault:
    """Tells the log."""

    def told(what: str, error: Exception) -> None:
        log.error("following.failed", what=what, error=repr(error), exc_info=error)

    return told


def untold(_what: str, _error: Exception) -> None:
    """Tells nobody."""


class Survived:
    """One thing that is looked at in a loop.

    A store that cannot be asked is no fault of the loop's: what was known goes on to count, and /health reports it. All
    else that is raised is a fault, and is told; the same one again only after a look that went well.
    """

    def __init__(self, what: str, fault: Fault) -> None:
        self._what = what
        self._fault = fault
        self._last = ""

    @contextmanager
    def look(self) -> Iterator[None]:
        """Around one look: nothing but the end of the loop itself leaves the block."""
        try:
            yield
        except StoreError:
            return
        except Exception as error:
            if repr(error) != self._last:
                self._last = repr(error)
                self._fault(self._what, error)
            return
        self._last = ""
