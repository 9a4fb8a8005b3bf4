"""What the parts of the store ask of its face: reads beside the writer, and writes in its groups."""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
Query = Callable[[sqlite3.Connection], T]


class ReadWrite(Protocol):
    """The face, as the handles of tenants and the keepers of other rows see it."""

    async def read(self, query: Query[T]) -> T: ...

    def call(self, work: Query[T]) -> Awaitable[T]: ...

    def now(self) -> float: ...
