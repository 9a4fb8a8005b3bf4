"""Pages of what a principal may see, out of lists that the store keeps for the whole tenant."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

MOST_LOOKED_AT = 10_000
"""Rows looked at for one page. Where few of them may be seen, the page is shorter, and `next` leads on behind them."""
_AT_ONCE = 500


async def page(
    rows: Callable[[str | None, int], Awaitable[list[T]]],
    id_of: Callable[[T], str],
    seen: Callable[[T], bool],
    before: str | None,
    limit: int,
) -> tuple[list[T], str | None]:
    """A page of the rows that may be seen, newest first, and the `before` of the next page; None on the last one.

    Args:
        rows: takes `before` and a number, gives so many rows that come behind it.
        limit: most rows of the page.
    """
    found: list[T] = []
    looked, wanted = 0, limit + 1
    while True:
        batch = await rows(before, wanted)
        for row in batch:
            if seen(row):
                if len(found) == limit:
                    return found, id_of(found[-1])
                found.append(row)
        if len(batch) < wanted:
            return found, None
        before, looked, wanted = id_of(batch[-1]), looked + len(batch), _AT_ONCE
        if looked >= MOST_LOOKED_AT:
            return found, before
