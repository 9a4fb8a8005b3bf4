"""What tenants and users have in common when they leave: erasing, confirmed by name; a copy of all that was theirs."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from msgspec import Struct

from golive.gateway.exchange import Exchange
from golive.gateway.routes import Answer
from golive.gateway.watch import Watch
from golive.tenants.erasure import ErasureReport

LINES = b"application/x-ndjson"


class EraseBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`confirm` repeats the name of what is to be erased: it cannot be undone."""

    confirm: str


class Erases(Protocol):
    """Erases; see `tenants/erasure.py`."""

    async def erase(self, tenant: str, user: str | None, by: str) -> Any:
        """All of a tenant, or of one of its users; what was done, and the proof of it."""
        ...


ERASED = (Answer(200, "What was removed, counted, and the proof that it is gone.", ErasureReport),)


async def send_lines(exchange: Exchange, lines: AsyncIterator[bytes]) -> None:
    """Answers with JSON lines as they come; where they cannot be read to their end, the connection breaks off.

    Raises:
        GoliveError: there is not even a first line. ClientGone: nobody reads on.
    """
    first = await anext(lines)
    await exchange.begin_body(LINES, [(b"cache-control", b"no-store")])
    await exchange.write(first)
    async with Watch(exchange):
        async for line in lines:
            await exchange.write(line)
    await exchange.end()
