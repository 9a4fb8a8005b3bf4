"""Who waits for a run to change, in this process."""

import asyncio
from collections.abc import Awaitable, Callable


class Waiters:
    """Wakes those that wait for one run; costs nothing while nobody does."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], list[asyncio.Future[None]]] = {}

    async def wait(self, key: tuple[str, str], timeout_s: float, already: Callable[[], Awaitable[bool]]) -> None:
        """Returns at the next `tell` of the key, or when the time is over; at once where it has happened `already`.

        That is asked when a `tell` would no longer be missed.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(waiter)
        try:
            if not await already():
                await asyncio.wait([waiter], timeout=timeout_s)
        finally:
            others = self._waiting[key]
            others.remove(waiter)
            if not others:
                del self._waiting[key]

    def tell(self, key: tuple[str, str]) -> None:
        """The run has changed."""
        for waiter in self._waiting.get(key, ()):
            if not waiter.done():
                waiter.set_result(None)
