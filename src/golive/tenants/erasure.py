"""Erasing a user, or a tenant: the door shut, runs ended, keys destroyed, rows removed; and then it is proved.

May be broken off anywhere and begun again, by any server: the row that says "erased" comes first and stays, and without
a time (`erased_at`) it says that somebody has to finish. Owns the order and the proof; leaves rows to the stores, keys
to `store/sealed`, and who may ask for it to the door.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from golive.audit.acting import own
from golive.core.clock import Clock
from golive.core.errors import GoliveError, StoreError
from golive.core.tasks import Tasks
from golive.store.audit import AuditEntry
from golive.store.data_keys import Scope
from golive.store.ports import RunFilter, Store
from golive.store.sealed.samples import Sample, still_open, taken
from golive.store.tenancy import TenantRow, UserRow
from golive.tenants.directory import no_tenant, untouchable

REASON = "erased"
"""Of runs that were ended for it."""
AT_ONCE = 200
"""Runs removed in one transaction, and ended at the same time."""
END_S = 10.0
"""How long runs under way are given to end; what is left of them then is removed all the same."""
SETTLE_S = 1.5
"""How long after the door was shut a server may still begin a run: each learns of it within a second."""
WIPE_S = 10.0
"""How long readers of an older state are waited for, so that the log ahead of the database can be emptied."""
EVERY_S = 30.0
"""How often it is looked for erasures that somebody left unfinished."""
AT_A_LOOK = 20
"""Unfinished ones that are taken up in one look."""
_POLL_S = 0.25

Cancel = Callable[[str, str, str, str], Awaitable[Any]]
"""Ends a run: tenant, run, by whom, reason."""
Record = Callable[[AuditEntry], Awaitable[None]]
"""Makes an entry of the audit log durable."""


class ErasureReport(Struct, frozen=True, kw_only=True):
    """What was done, and what was looked at afterwards.

    `removed` and `standing` are rows by table, the latter counted at the end; `keys_destroyed` data keys.
    `sampled`: values that were looked at before, as they were kept; `opened` of them could still be opened afterwards,
    and `in_files` of the first six still stood in the database's files (None: that was not looked for, or is not
    known). `proved`: no row stands, no key is left, nothing opens, and looking through the files did not fail.
    `remains` says in words what stays, and why.
    """

    tenant: str
    user: str | None
    by: str
    began_at: float
    finished_at: float
    runs_ended: int
    keys_destroyed: int
    removed: dict[str, int]
    standing: dict[str, int]
    sampled: int
    opened: int
    in_files: int | None
    proved: bool
    remains: tuple[str, ...]


class Told(Protocol):
    """The log."""

    def info(self, event: str, /, **fields: Any) -> None: ...

    def error(self, event: str, /, **fields: Any) -> None: ...


class Eraser:
    """For one server, or for a command that works on the store itself.

    Args:
        store: sealed as the server has it.
        record: the audit log.
        cancel: ends a run, wherever it is carried; None: runs under way lose their rows, and so their servers let go.
        counted: told of each report (metrics).
        unfinished: told at each look how many there are to be finished.
        settle_s: see `SETTLE_S`.
    """

    def __init__(
        self, store: Store, clock: Clock, record: Record, told: Told, cancel: Cancel | None = None,
        counted: Callable[[ErasureReport], None] = lambda _: None, unfinished: Callable[[int], None] = lambda _: None,
        settle_s: float = SETTLE_S,
    ) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._record = record
        self._told = told
        self._cancel = cancel
        self._counted = counted
        self._unfinished = unfinished
        self._settle_s = settle_s
        self._under_way: set[tuple[str, str | None]] = set()

    async def erase(self, tenant: str, user: str | None, by: str) -> ErasureReport:
        """Erases the user (None: the tenant with all its users); again, where that was done before.

        Args:
            by: a principal's id.

        Raises:
            NotFound: there is no such tenant. Forbidden: it is the installation's own.
            AuditUnavailable: it could not be recorded, and was not begun.
            StoreUnavailable: it was begun, and is finished by whichever server can.
        """
        if user is None:
            untouchable(tenant)
        await self._record(self._entry(tenant, user, by, "allowed", {}))
        await self._shut(tenant, user, by)
        self._told.info("erasure.begun", tenant=tenant, user=user, by=by)
        return await self._finish(tenant, user, by)

    async def keep(self) -> None:
        """Finishes what others left unfinished, for ever; what cannot be done now is tried again."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.finish_all()
            except GoliveError as error:
                self._told.error("erasure.failed", message=error.message)

    async def finish_all(self, by: str = "golive") -> list[ErasureReport]:
        """Finishes erasures that were begun, here or elsewhere, and are not proved. Raises StoreError."""
        found = await self._store.erasures.unfinished(AT_A_LOOK)
        self._unfinished(len(found))
        reports = []
        for one in found:
            if (one.tenant, one.user) in self._under_way:
                continue
            try:
                reports.append(await self._finish(one.tenant, one.user, by))
            except GoliveError as error:  # the others are not to wait for it
                self._told.error("erasure.failed", tenant=one.tenant, user=one.user, message=error.message)
        self._unfinished(len(found) - sum(report.proved for report in reports))
        return reports

    # ---- the steps ---------------------------------------------------------------------------------------------------

    async def _shut(self, tenant: str, user: str | None, by: str) -> None:
        """From now on nobody is let in, and no key is made."""
        mine, now = self._store.tenant(tenant), self._clock.now()
        row = await mine.tenant_row()
        if row is None:
            raise no_tenant(tenant)
        if user is None:
            if row.state != "erased":
                await mine.put_tenant(_erased_tenant(row, now))
            return
        found = await mine.user(user) or UserRow(tenant=tenant, id=user, state="active", created_at=now, created_by=by)
        if found.state != "erased":
            await mine.put_user(replace(found, state="erased", note="", last_seen_at=None, erased_at=None))

    async def _finish(self, tenant: str, user: str | None, by: str) -> ErasureReport:
        whose = (tenant, user)
        self._under_way.add(whose)
        try:
            report = await self._carry_out(tenant, user, by)
        finally:
            self._under_way.discard(whose)
        if report.proved:
            await self._set_finished(report)
        outcome = "done" if report.proved else "failed"
        detail = {
            "runs": str(report.removed.get("runs", 0)), "keys_destroyed": str(report.keys_destroyed),
            "standing": str(sum(report.standing.values())), "opened": str(report.opened),
        }  # fmt: skip
        await self._record(self._entry(tenant, user, by, outcome, detail))
        tell = self._told.info if report.proved else self._told.error
        tell("erasure.finished" if report.proved else "erasure.not_proved", tenant=tenant, user=user, by=by, **detail)
        self._counted(report)
        return report

    async def _carry_out(self, tenant: str, user: str | None, by: str) -> ErasureReport:
        store, began_at = self._store, self._clock.now()
        sample = await taken(store, tenant, user)
        ended = await self._end_runs(tenant, user, by)
        scope: Scope | None = None if user is None else "user"
        destroyed = await store.data_keys.erase(tenant, scope, user or "", self._clock.now())
        removed = {"runs": await self._remove_runs(tenant, user)}
        if user is None:
            removed |= await store.erase_tenant_rows(tenant)
        await asyncio.sleep(self._settle_s)
        destroyed += await store.data_keys.erase(tenant, scope, user or "", self._clock.now())
        removed["runs"] += await self._remove_runs(tenant, user)
        if user is None:
            for table, rows in (await store.erase_tenant_rows(tenant)).items():
                removed[table] = removed.get(table, 0) + rows
        await self._wipe()
        standing = await store.erasures.standing(tenant, user)
        opened = await still_open(store, sample.own)
        in_files, unread = await self._in_files(sample)
        return ErasureReport(
            tenant=tenant, user=user, by=by, began_at=began_at, finished_at=self._clock.now(), runs_ended=ended,
            keys_destroyed=destroyed, removed=removed, standing=standing,
            sampled=len(sample.own) + len(sample.shared) + len(sample.plain), opened=opened, in_files=in_files,
            proved=not any(standing.values()) and opened == 0 and not unread,
            remains=_remains(user, sample, in_files, unread),
        )  # fmt: skip

    async def _end_runs(self, tenant: str, user: str | None, by: str) -> int:
        """Ends what is under way, as far as it ends in time; how many did."""
        if self._cancel is None:
            return 0
        mine, ended = self._store.tenant(tenant), 0
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                for state in ("queued", "running", "waiting"):
                    before: str | None = None
                    while views := await mine.runs(RunFilter(state=state, user=user, before=before, limit=AT_ONCE)):
                        async with Tasks("erasure") as tasks:
                            ends = [tasks.start(self._end_run(tenant, view.run, by), view.run) for view in views]
                        ended += sum(end.result() for end in ends)
                        before = views[-1].run
        return ended

    async def _end_run(self, tenant: str, run: str, by: str) -> bool:
        assert self._cancel is not None
        try:
            await self._cancel(tenant, run, by, REASON)
        except GoliveError as error:  # its rows go, whatever becomes of it
            self._told.info("erasure.run_not_ended", tenant=tenant, run=run, message=error.message)
            return False
        return True

    async def _remove_runs(self, tenant: str, user: str | None) -> int:
        removed = 0
        while count := await self._store.erase_runs(tenant, user, AT_ONCE):
            removed += count
        return removed

    async def _wipe(self) -> None:
        """Empties the log ahead of the database, once nobody reads an older state: nobody tells when that is."""
        until = self._clock.monotonic() + WIPE_S
        while not await self._store.wipe() and self._clock.monotonic() < until:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(_POLL_S)

    async def _in_files(self, sample: Sample) -> tuple[int | None, str]:
        """How many marks stand in the database's files; None and why, where nobody knows."""
        try:
            return await self._store.erasures.in_files(sample.marks), ""
        except StoreError as error:
            self._told.error("erasure.files_not_read", message=error.message)
            return None, error.message

    async def _set_finished(self, report: ErasureReport) -> None:
        mine = self._store.tenant(report.tenant)
        if report.user is None:
            row = await mine.tenant_row()
            if row is not None and row.erased_at is None:
                await mine.put_tenant(replace(row, erased_at=report.finished_at))
            return
        user = await mine.user(report.user)
        if user is not None and user.erased_at is None:
            await mine.put_user(replace(user, erased_at=report.finished_at))

    def _entry(self, tenant: str, user: str | None, by: str, outcome: Any, detail: dict[str, str]) -> AuditEntry:
        kind, name = ("tenant", tenant) if user is None else ("user", user)
        return own(self._clock, by, f"{kind}s.erase", kind, name, outcome, detail, tenant)


def _erased_tenant(row: TenantRow, now: float) -> TenantRow:
    """Its name stays, so that nobody takes its place, and nothing else that anybody wrote."""
    return replace(row, state="erased", agents=(), limits={}, note="", changed_at=now, erased_at=None)


def _remains(user: str | None, sample: Sample, in_files: int | None, unread: str) -> tuple[str, ...]:
    whose = "the tenant's name" if user is None else "the user's id"
    said = [
        f"The audit log, which holds no content; {whose}, so that it is not used again.",
        "The ledger: amounts and token counts by run id.",
    ]
    if sample.plain:
        said.append("Some content was not sealed: backups of the database hold it in plain words. Remove them.")
    elif sample.shared:
        said.append(
            "Some content was sealed under the tenant's key, from before users had keys: backups taken until now can "
            "still be read with the master key. Remove them."
        )
    else:
        said.append(
            "Backups taken until now hold the content and its wrapped key: `golive store restore` erases again what "
            "was erased since. Remove them in time, or rotate the master key and destroy the old one."
        )
    if unread:
        said.append(f"Whether some of it stands in freed pages of the database is not known. {unread}")
    elif in_files is None:
        said.append("Freed pages of the database until its next vacuum, as ciphertext that nothing opens.")
    elif in_files and sample.plain:
        said.append(
            "Bytes as they were noted before stand in the database's files: somebody else may have said the same."
        )
    elif in_files:
        said.append("Freed pages of the database file, as ciphertext that nothing opens, until they are used again.")
    return tuple(said)
