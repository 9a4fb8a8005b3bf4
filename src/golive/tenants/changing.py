"""Changing a row that others may change at the same time: over what they left, never over what they wrote."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from golive.core.errors import Conflict

T = TypeVar("T")
TRIES = 4


async def over_what_stands(once: Callable[[], Awaitable[T]]) -> T:
    """Does `once`, which reads the row and writes it only where it still stands so; again where it does not.

    Raises:
        Conflict: others were quicker `TRIES` times; nothing was written.
    """
    for _ in range(TRIES - 1):
        try:
            return await once()
        except Conflict:
            continue
    return await once()
