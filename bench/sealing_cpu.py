"""What sealing costs a server: processor time for an event that is sealed, and for one that is opened.

    python -m bench.sealing_cpu [EVENTS]

Beside it the plain work that it is added to: the same append to a store that does nothing.
"""

import asyncio
import io
import sys
import time
from typing import Any, cast

from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.events import Event
from golive.store.data_keys import DataKeyRow
from golive.store.ports import Lease, Store
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.master import Masters
from golive.store.sealed.store import sealed
from golive.telemetry.logs import configure

SIZES = (100, 1_000, 10_000)
"""Bytes of a body: a step, a block of text, a large result of a tool."""
TOGETHER = 5
"""Events of an append."""


class Nowhere:
    """A store that keeps data keys, and the events of one append."""

    def __init__(self) -> None:
        self.data_keys = self
        self.rows: list[DataKeyRow] = []
        self.kept: list[Event] = []

    async def all(self) -> list[DataKeyRow]:
        return self.rows

    async def present(self, tenant: str, user: str) -> DataKeyRow | None:
        return next((row for row in self.rows if row.subject == user), None)

    async def add(self, row: DataKeyRow, replaces: str | None) -> bool:
        self.rows.append(row)
        return True

    async def reserve(self, *_: Any) -> bool:
        return True

    async def append(self, lease: Lease, expect_seq: int, events: list[Event], **_: Any) -> None:
        self.kept = events

    def tenant(self, tenant: str) -> "Nowhere":
        return self

    async def events(self, run: str, after_seq: int = 0, limit: int = 0) -> list[Event]:
        return self.kept


async def main(count: int) -> None:
    """Prints a row for each size."""
    plain = Nowhere()
    log, chance = configure("error", "json", None, io.StringIO()), SystemChance()
    keys = DataKeys(cast(Any, plain), Masters("inst_1", bytes(32)), SystemClock(), chance, log)
    await keys.start()
    store = sealed(cast(Store, plain), keys, chance, log)
    print("| body, bytes | key of | seal, us an event | open, us an event |\n|---|---|---|---|")
    for size, user in ((size, user) for size in SIZES for user in (None, "ann")):
        lease = Lease("default", "run_01jd3k5h8v9wq2x4y6z8a0b1c2", 1, "srv_1", user)
        events = [
            Event(lease.tenant, lease.run, seq, 1, "", "sha256:0123456789", 1.5, "text.block", b"x" * size)
            for seq in range(1, TOGETHER + 1)
        ]
        await store.append(lease, 0, events)
        best = [float("inf")] * 3
        for _ in range(5):
            best[0] = min(best[0], await timed(count, plain.append, lease, 0, events))
            best[1] = min(best[1], await timed(count, store.append, lease, 0, events))
            best[2] = min(best[2], await timed(count, store.tenant("default").events, lease.run))
        print(f"| {size} | {'the user' if user else 'the tenant'} | {best[1] - best[0]:.1f} | {best[2]:.1f} |")


async def timed(count: int, what: Any, *given: Any) -> float:
    """Microseconds of processor time an event."""
    began = time.process_time()
    for _ in range(count // TOGETHER):
        await what(*given)
    return (time.process_time() - began) / count * 1e6


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
