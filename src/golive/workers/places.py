"""Who may call where: free places in hosts (workers, or the process itself), and a bounded queue for them."""

import asyncio
from typing import Generic, Protocol, TypeVar

from golive.core.errors import GoliveError, Overloaded

MAX_WAITING = 1_024
"""Calls of one toolset that wait for a place."""


class Host(Protocol):
    """Carries up to `capacity` calls at once; `load` counts those that hold a place."""

    load: int
    capacity: int


H = TypeVar("H", bound=Host)


class Places(Generic[H]):
    """First come, first served; the least loaded host first."""

    def __init__(self) -> None:
        self._hosts: list[H] = []
        self._waiting: dict[asyncio.Future[H | None], None] = {}

    @property
    def hosts(self) -> tuple[H, ...]:
        return tuple(self._hosts)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def add(self, host: H) -> None:
        """Offers a host; those who wait are served at once."""
        self._hosts.append(host)
        self._serve(host)

    def remove(self, host: H) -> None:
        """Takes a host out; calls in it go on."""
        if host in self._hosts:
            self._hosts.remove(host)

    def try_take(self) -> H | None:
        """A place now, or None."""
        best: H | None = None
        for host in self._hosts:
            if host.load < host.capacity and (best is None or host.load < best.load):
                best = host
        if best is not None:
            best.load += 1
        return best

    async def take(self, seconds: float) -> H | None:
        """A place within `seconds`, or None.

        Raises:
            Overloaded: MAX_WAITING calls wait already.
            GoliveError: whatever `fail` was called with meanwhile.
        """
        host = self.try_take()
        if host is not None:
            return host
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} tool calls are waiting already.", remedy="Raise worker.concurrency.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[H | None] = loop.create_future()
        self._waiting[future] = None
        timer = loop.call_later(seconds, _give_up, future)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and future.exception() is None and (given := future.result()) is not None:
                self.give_back(given)
            raise
        finally:
            timer.cancel()
            self._waiting.pop(future, None)

    def give_back(self, host: H) -> None:
        """Frees one place."""
        host.load -= 1
        self._serve(host)

    def fail(self, error: GoliveError) -> None:
        """Sends away all who wait."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            if not future.done():
                future.set_exception(error)

    def _serve(self, host: H) -> None:
        if host not in self._hosts:
            return
        while self._waiting and host.load < host.capacity:
            future = next(iter(self._waiting))
            del self._waiting[future]
            if not future.done():
                host.load += 1
                future.set_result(host)


def _give_up(future: "asyncio.Future[H | None]") -> None:
    if not future.done():
        future.set_result(None)
