"""The one connection that writes runs, and the queue before it.

What one tick of the event loop wants, and what piled up while a flush was under way, goes as one group. When the
connection breaks under a group, nobody knows whether it stands: it is sent again as soon as there is a connection, and
the lease rows tell what stood already. Owns the queue, its bounds and what callers are told; `group.py` owns the SQL.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from golive.core.errors import StoreError, StoreUnavailable
from golive.core.tasks import Tasks
from golive.store.postgres.connection import Address, Connection, Link, Lost, closed, execute, failure
from golive.store.postgres.group import (
    LOOK,
    REFUSED,
    Append,
    Call,
    Group,
    Job,
    gathered,
    holds,
    is_unstorable,
    look_values,
    statement,
    unstorable,
)  # fmt: skip
from golive.store.reasons import why_not

MOST_TOGETHER = 1024
"""Appends in one transaction."""

MOST_BYTES = 16 << 20
"""Bytes of events in one transaction, unless one append alone has more."""

MOST_WAITING = 16_384
"""Writes that wait; further ones are refused."""

PATIENCE_S = 8.0
"""How long writes wait for a connection when the one there was broke."""

LOCKED_OUT_S = 1.0
"""The same once that was in vain, until there is a connection again: what queued up has waited already."""

DOUBT_S = 0.1
"""How long after an attempt to connect those wait for the next one who cannot be told anything before."""

CLOSE_S = 5.0
"""How long closing waits for a database that is gone, to learn whether what was sent stands."""

_TRIES = 4
"""How often a group is sent that others' transactions collide with, or whose leases move meanwhile."""


class Flusher:
    """Serves one event loop for all its life; begins with its first write."""

    def __init__(self, link: Link, address: Address) -> None:
        self._link = link
        self._address = address
        self._tasks = Tasks("postgres")
        self._runner: asyncio.Task[None] | None = None
        self._waiting: deque[Job] = deque()
        self._wake = asyncio.Event()
        self._patience_s = PATIENCE_S
        self._closing = False
        self._give_up = False

    async def write(self, job: Job) -> Any:
        """Queues `job` for the next group; returns its value, or raises its error, once the group is durable.

        A caller that is cancelled while it waits does not learn whether the write stands.
        """
        if self._closing:
            raise closed(self._address)
        if len(self._waiting) >= MOST_WAITING:
            raise self._too_many()
        job.future = future = asyncio.get_running_loop().create_future()
        self._waiting.append(job)
        if self._runner is None:
            self._runner = self._tasks.start(self._run(), "flusher")
        self._wake.set()
        return await future

    def _too_many(self) -> StoreUnavailable:
        cause = f"{MOST_WAITING} writes wait already"
        return StoreUnavailable(
            f"The database {self._address.shown} is unavailable: {cause}.",
            remedy="It is too slow for this load, or hangs: look at its disk, locks (pg_stat_activity) and processors.",
            url=self._address.shown,
            cause=cause,
        )

    async def close(self) -> None:
        """Finishes what was queued, then closes the connection. May be called again."""
        self._closing = True
        self._wake.set()
        if self._runner is not None:
            await asyncio.wait([self._runner], timeout=CLOSE_S)
            self._give_up = True
            await asyncio.wait([self._runner], timeout=CLOSE_S)
        await self._tasks.close()
        self._fail(self._waiting, closed(self._address))
        self._waiting.clear()
        await self._link.close()

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            jobs = self._next()
            try:
                await self._settle(jobs)
            except Exception as error:  # a fault of this code's; whoever waits is told, and the next group goes
                self._fail(jobs, failure(error, self._address))

    def _next(self) -> list[Job]:
        """The next jobs that can go together: one call, or appends."""
        waiting = self._waiting
        jobs: list[Job] = []
        size = 0
        while waiting and len(jobs) < MOST_TOGETHER and size < MOST_BYTES:
            job = waiting[0]
            if isinstance(job, Call) and jobs:
                break
            waiting.popleft()
            assert job.future is not None
            if job.future.cancelled():
                continue
            jobs.append(job)
            size += job.size
            if isinstance(job, Call):
                break
        return jobs

    async def _settle(self, jobs: list[Job]) -> None:
        """Sees to it that each of the jobs has its answer; after a broken connection, as often as that takes."""
        left = jobs
        while left:
            try:
                connection = await self._link.open(self._patience_s)
            except StoreError as error:
                self._patience_s = LOCKED_OUT_S
                self._fail(self._waiting, error)
                self._waiting.clear()
                left = await self._unavailable(left, error)
                continue
            self._patience_s = PATIENCE_S
            try:
                if isinstance(left[0], Call):
                    await self._call(connection, left[0])
                else:
                    await self._appends(connection, [job for job in left if isinstance(job, Append)])
            except Lost:
                pass  # what was sent is in doubt, and is sent again
            except Exception as error:
                left = await self._unavailable(left, failure(error, self._address))
            left = _open(left)

    async def _unavailable(self, jobs: list[Job], error: StoreError) -> list[Job]:
        """Tells everybody who can be told that nothing was written; returns those of whom nobody knows, after a pause.

        That a write is refused now says nothing of the time when it was sent before.
        """
        self._fail([job for job in jobs if not job.doubt], error)
        left = _open(jobs)
        if left and self._give_up:
            self._fail(left, self._unknown(error))
            return []
        if left:  # nobody passes them: whoever came behind is told as well
            self._fail(self._waiting, error)
            self._waiting.clear()
            await asyncio.sleep(DOUBT_S)
        return left

    def _unknown(self, error: StoreError) -> StoreUnavailable:
        return StoreUnavailable(
            f"{error.message} Whether the last write stands is not known.",
            remedy=error.remedy,
            **{**error.fields, "in_doubt": True},
        )

    async def _call(self, connection: Connection, call: Call) -> None:
        assert call.future is not None
        try:
            rows = await execute(connection, call.sql, *call.values)
        except Lost:
            call.doubt = True
            raise
        except Exception as error:
            self._fail([call], unstorable(error) if is_unstorable(error) else failure(error, self._address))
        else:
            if not call.future.done():
                call.future.set_result(rows)

    async def _appends(self, connection: Connection, jobs: list[Append]) -> None:
        """Writes them, in as few transactions as those need that do not stand.

        Raises:
            Lost: some have no answer yet, and may stand.
        """
        pieces = deque([jobs])
        tries = 0
        while pieces:
            group, later = gathered(pieces.popleft())
            if later:
                pieces.appendleft(later)
            await self._leave_out_what_stands(connection, group)
            if not group.chains:
                continue
            try:
                await execute(connection, *_flat(statement(group)))
            except Lost:
                for job in group.jobs:
                    job.doubt = True
                raise
            except Exception as error:
                tries += 1
                pieces.extendleft(reversed(await self._sort_out(connection, group, error, tries)))
            else:
                self._done(group.jobs)

    async def _sort_out(self, connection: Connection, group: Group, error: Exception, tries: int) -> list[list[Append]]:
        """After a group was refused: answers whom it can, and returns in which parts the others are sent again."""
        if getattr(error, "sqlstate", "")[:2] == "40" and tries < _TRIES:
            return [group.jobs]
        if not is_unstorable(error):
            raise error
        chains = list(group.chains.values())
        places = await self._look(connection, [chain[0] for chain in chains])
        again: list[Append] = []
        settled = False
        for chain, (epoch, seq, holder, stands) in zip(chains, places, strict=True):
            if stands:
                self._done(chain[:1])
            elif not holds(chain[0], epoch, seq):
                self._fail(chain[:1], why_not(chain[0].lease, chain[0].seq, epoch, seq, holder))
            else:
                again += chain
                continue
            settled = True
            again += chain[1:]
        if settled or (getattr(error, "sqlstate", "") == REFUSED and tries < _TRIES):
            return [again] if again else []
        if len(again) == 1:
            self._fail(again, unstorable(error))
            return []
        middle = len(again) // 2
        return [again[:middle], again[middle:]]

    async def _look(self, connection: Connection, jobs: Sequence[Append]) -> list[tuple[Any, ...]]:
        """Of each append: epoch, seq and holder of its run, and whether it is known to stand."""
        found: list[tuple[Any, ...]] = [(None, None, None, False)] * len(jobs)
        try:
            rows = await execute(connection, LOOK, *look_values(jobs))
        except Lost:
            raise
        except Exception as error:
            if not is_unstorable(error):
                raise
            if len(jobs) == 1:
                return found  # a name that cannot be asked for is of no run
            return [place for job in jobs for place in await self._look(connection, [job])]
        for row in rows:
            found[row[0]] = tuple(row)[1:]
        return found

    async def _leave_out_what_stands(self, connection: Connection, group: Group) -> None:
        """Takes those out of the group that were sent before and are found to stand, where their guard would not tell.

        An append without events moves no lease row. Its views and decisions may be written twice; of its ledger entries
        and messages it is looked up whether they are there.
        """
        for key, chain in list(group.chains.items()):
            if not chain[0].doubt:
                continue
            stood = [job for job in chain if job.doubt and not job.events and await self._is_there(connection, job)]
            if stood:
                self._done(stood)
                chain[:] = [job for job in chain if job not in stood]
                if not chain:
                    del group.chains[key]

    async def _is_there(self, connection: Connection, job: Append) -> bool:
        if job.outbox:
            message = job.outbox[0]
            return bool(await execute(connection, _MESSAGE_THERE, message[0], message[5]))
        if job.ledger:
            entry = job.ledger[0]
            return bool(await execute(connection, _ENTRY_THERE, *entry[:2], *entry[4:10]))
        return False

    def _done(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            assert job.future is not None
            if not job.future.done():  # cancelled while it waited
                job.future.set_result(None)

    def _fail(self, jobs: "Sequence[Job] | deque[Job]", error: StoreError) -> None:
        for job in jobs:
            assert job.future is not None
            if not job.future.done():
                fresh = type(error)(error.message, remedy=error.remedy, **error.fields)  # each has its own traceback
                fresh.__cause__ = error.__cause__
                job.future.set_exception(fresh)


def _open(jobs: Sequence[Job]) -> list[Job]:
    """Those that wait for their answer still."""
    return [job for job in jobs if job.future is not None and not job.future.done()]


def _flat(sql_and_values: tuple[str, list[Any]]) -> list[Any]:
    sql, values = sql_and_values
    return [sql, *values]


_MESSAGE_THERE = "SELECT 1 FROM outbox WHERE tenant = $1 AND id = $2"
_ENTRY_THERE = """
SELECT 1 FROM ledger WHERE tenant = $1 AND run = $2 AND epoch = $3 AND seq = $4 AND at = $5 AND kind = $6
    AND target = $7 AND amount_microusd = $8
"""
