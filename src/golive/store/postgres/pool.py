"""A few connections of one role, for everything that does not go through the flusher.

Owns their number, their turn and what happens when one breaks. Each statement is a transaction of its own, and so no
server that is stopped in the middle holds a lock; but for `locked`, whose lock is over with the connection.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from typing import Any

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import GoliveError, StoreError, StoreUnavailable
from golive.store.postgres.connection import Address, Connection, Link, Lost, Role, closed, execute, failure
from golive.store.postgres.group import is_unstorable, unstorable

MOST_WAITING = 4_096
"""Statements that wait for a connection; further ones are refused."""

PATIENCE_S = 8.0
"""How long a statement waits for a connection when the ones there were broke."""

LOCKED_OUT_S = 0.5
"""The same once that was in vain, until there is a connection again."""


class Pool:
    """Connections are opened when they are needed."""

    def __init__(self, address: Address, role: Role, size: int, clock: Clock, chance: Chance) -> None:
        self._address = address
        self._free = [Link(address, role, clock, chance) for _ in range(size)]
        self._all = tuple(self._free)
        self._turn = asyncio.Semaphore(size)
        self._waiting = 0
        self._patience_s = PATIENCE_S
        self._closed = False

    async def fetch(self, sql: str, *values: Any, again: bool = True) -> list[Any]:
        """The rows of one statement.

        Args:
            again: send it again when the connection broke under it. It must not matter then whether the first stood.

        Raises:
            StoreUnavailable: the database cannot be asked; nothing was written, unless `again` is False.
            StoreError: a value cannot be stored or asked for.
        """
        if self._waiting >= MOST_WAITING:
            raise self._too_many()
        self._waiting += 1
        try:
            async with self._turn:
                return await self._fetch(sql, values, again)
        finally:
            self._waiting -= 1

    async def _fetch(self, sql: str, values: tuple[Any, ...], again: bool) -> list[Any]:
        if self._closed:
            raise closed(self._address)
        link = self._free.pop()
        try:
            while True:
                connection = await link.open(self._patience_s)
                self._patience_s = PATIENCE_S
                try:
                    return await execute(connection, sql, *values)
                except Lost as lost:
                    if not again:
                        raise failure(lost, self._address) from lost
                    again = False
        except StoreError as error:
            if isinstance(error, StoreUnavailable):
                self._patience_s = LOCKED_OUT_S
            raise
        except Exception as error:
            raise (unstorable(error) if is_unstorable(error) else failure(error, self._address)) from error
        finally:
            self._free.append(link)

    @asynccontextmanager
    async def locked(self, name: str) -> AsyncIterator[Connection]:
        """A connection in a transaction that holds the lock of that name, among all servers, until the block is left.

        A server that hangs in it loses the lock with the connection, which the database ends then.

        Raises:
            StoreUnavailable: the database cannot be asked, or another server holds the lock for long.
        """
        if self._waiting >= MOST_WAITING:
            raise self._too_many()
        self._waiting += 1
        try:
            async with self._turn:
                if self._closed:
                    raise closed(self._address)
                link = self._free.pop()
                try:
                    async with self._transaction(link, name) as connection:
                        yield connection
                finally:
                    self._free.append(link)
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def _transaction(self, link: Link, name: str) -> AsyncIterator[Connection]:
        number = int.from_bytes(blake2b(name.encode(errors="replace"), digest_size=8).digest(), signed=True)
        try:
            connection = await self._begin(link)
            await execute(connection, "SELECT pg_advisory_xact_lock($1)", number)
        except Exception as error:
            link.drop()
            raise failure(error, self._address) from error
        ended = False
        try:
            yield connection
            ended = True
        except GoliveError:
            ended = True
            raise
        finally:
            try:
                if ended:
                    await execute(connection, "COMMIT")
                else:
                    link.drop()
            except Exception:
                link.drop()  # and with it the lock is gone

    async def _begin(self, link: Link) -> Connection:
        connection = await link.open(self._patience_s)
        try:
            await execute(connection, "BEGIN")
        except Lost:  # it broke while it was not used
            connection = await link.open(self._patience_s)
            await execute(connection, "BEGIN")
        return connection

    def _too_many(self) -> StoreUnavailable:
        cause = f"{MOST_WAITING} statements wait already"
        return StoreUnavailable(
            f"The database {self._address.shown} is unavailable: {cause}.",
            remedy="It is too slow for this load, or hangs: look at its disk, locks (pg_stat_activity) and processors.",
            url=self._address.shown,
            cause=cause,
        )

    async def close(self) -> None:
        """Waits for the statements under way, as long as those may take, then closes the connections."""
        self._closed = True
        with suppress(Exception):
            for _ in self._all:
                await self._turn.acquire()
        for link in self._all:
            await link.close()
        for _ in self._all:
            self._turn.release()
