"""Writing the audit log: uses are noted in memory and written in groups; acts are durable before anybody is answered.

Owns the buffer, its bound and what happens at it, and when signatures are made. A process that is killed loses what it
noted in the last quarter of a second and was not told to be durable; what stands is always a whole chain.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from msgspec.structs import replace

from golive.audit.signing import AuditKey
from golive.core.clock import Clock
from golive.core.errors import AuditUnavailable, StoreError, StoreUnavailable
from golive.core.tasks import Tasks
from golive.store.audit import INSTALLATION, AuditEntry, AuditHead, AuditStore

OnFull = Literal["refuse", "drop"]
GROUP_S = 0.25
"""How long what was noted waits for more to come."""
GROUP = 1_000
"""Entries in one transaction."""
MOST = 10_000
"""Entries that wait while the store cannot take them; then `on_full` says."""
SIGN_ENTRIES = 1_000
SIGN_S = 300.0
"""A chain is signed after so many entries, or so long after the first that is not."""
CLOSE_S = 5.0
"""How long closing waits for the store to take what is left."""
LONGEST = 300
"""Characters of a name, an actor or a detail, whoever gave it; the rest is cut off, and `…` says so."""
_READ = 65_536
"""Characters of a text that the redactor is given: more than stays, so that no part of a credential stands where the
cut goes through one."""
_AGAIN_S = 1.0


class Tell(Protocol):
    """Where what operators must know is written: a log's `info`, `warning` or `error`."""

    def __call__(self, event: str, /, **fields: Any) -> None: ...


class Audit:
    """The log of one process. `start` before the first entry is written; `close` writes what is left, and signs.

    Args:
        key: signs; None: somebody else's process does.
        redact: takes credentials out of a text.
        info, error: the server's own log.
        signs: for each signature, what is told of it.
    """

    def __init__(
        self, store: AuditStore, key: AuditKey | None, clock: Clock, *, on_full: OnFull = "refuse",
        redact: Callable[[str], str] = str, info: Tell = lambda *_, **__: None, error: Tell = lambda *_, **__: None,
    ) -> None:  # fmt: skip
        self.store = store
        self.key = key
        self._clock = clock
        self.on_full = on_full
        self._redact = redact
        self._info = info
        self._error = error
        self._buffer: list[AuditEntry] = []
        self._noted = self._written = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._unsigned: dict[str, tuple[AuditHead, int, float]] = {}
        self._tasks = Tasks("audit")
        self._failing = ""
        self.dropped = 0
        """Entries that were lost because the store could not take them (`on_full`)."""
        self.checkpoints = 0
        self._told_dropped = 0

    # ---- noting ------------------------------------------------------------------------------------------------------

    def note(self, entry: AuditEntry) -> None:
        """Will be written within `GROUP_S`, unless the store cannot take it."""
        if len(self._buffer) >= MOST and (self.on_full == "drop" or len(self._buffer) >= 2 * MOST):
            self.dropped += 1
            return
        self._buffer.append(entry)
        self._noted += 1
        if not self._wake.is_set():
            self._wake.set()

    async def record(self, entry: AuditEntry) -> None:
        """Durable on return.

        Raises:
            AuditUnavailable: the store cannot take it now; it is tried again, and nobody knows when that succeeds.
        """
        self.note(entry)
        await self.flush()

    async def flush(self) -> None:
        """Returns when all that was noted so far is durable. Raises as `record`."""
        if self._written >= self._noted:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._noted, done))
        self._hurry.set()
        await done

    def admit(self) -> None:
        """Raises AuditUnavailable while what would be done now could not be recorded, and must be."""
        if self.on_full == "refuse" and len(self._buffer) >= MOST:
            raise _unavailable(self._failing or f"{MOST} entries wait to be written")

    @property
    def waiting(self) -> int:
        """Entries that are not durable yet."""
        return len(self._buffer)

    # ---- writing -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begins to write; signs what an earlier process left unsigned."""
        if self.key is not None:
            for head in await self.store.heads():
                marks = await self.store.tenant(head.tenant).checkpoints(head.seq - 1)
                if not any(row.seq == head.seq for row in marks):
                    self._unsigned[head.tenant] = (head, 0, self._clock.monotonic())
            await self._sign(list(self._unsigned))
        self._tasks.start(self._write_for_ever(), "write")
        if self.key is not None:
            self._tasks.start(self._sign_for_ever(), "sign")

    async def close(self) -> None:
        """Writes what is left, as far as the store takes it within `CLOSE_S`, and signs."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.flush()
        except (AuditUnavailable, TimeoutError) as error:
            self._error("audit.lost", entries=len(self._buffer), message=str(error))
        await self._tasks.close()
        for _, done in self._waiting:
            if not done.done():
                done.set_exception(_unavailable("the server ends"))
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._sign(list(self._unsigned))
        except (StoreError, TimeoutError) as error:
            self._error("audit.unsigned", message=str(error))

    async def _write_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            if not self._hurry.is_set() and len(self._buffer) < GROUP:
                try:
                    async with asyncio.timeout(GROUP_S):
                        await self._hurry.wait()
                except TimeoutError:
                    pass
            if not await self._write():
                try:
                    async with asyncio.timeout(_AGAIN_S):
                        self._hurry.clear()
                        await self._hurry.wait()
                except TimeoutError:
                    pass

    async def _write(self) -> bool:
        """Writes all there is; False, and whoever waits is told, when the store cannot take it."""
        while self._buffer:
            group = self._buffer[:GROUP]
            try:
                await self._take([self._clean(entry) for entry in group])
            except StoreUnavailable as error:
                self._fail(error)
                return False
            except (StoreError, UnicodeError) as error:
                self._error("audit.unwritable", entries=len(group), message=str(error))
                await self._one_by_one(group)
            del self._buffer[: len(group)]
            self._written += len(group)
            self._reach()
        if self._failing:
            self._info("audit.writes_again", dropped=self.dropped - self._told_dropped)
            self._failing = ""
        if self.dropped > self._told_dropped:
            lost, self._told_dropped = self.dropped - self._told_dropped, self.dropped
            self.note(self._own("audit.drop", str(lost), {"entries": str(lost)}))
            return True
        self._wake.clear()
        self._hurry.clear()
        return True

    async def _take(self, group: Sequence[AuditEntry]) -> None:
        count: dict[str, int] = {}
        for entry in group:
            count[entry.tenant] = count.get(entry.tenant, 0) + 1
        now = self._clock.monotonic()
        for head in await self.store.append(group):
            _, before, since = self._unsigned.get(head.tenant, (head, 0, now))
            self._unsigned[head.tenant] = (head, before + count[head.tenant], since)
        due = [tenant for tenant, (_, entries, _) in self._unsigned.items() if entries >= SIGN_ENTRIES]
        if due:
            await self._sign(due)

    async def _one_by_one(self, group: Sequence[AuditEntry]) -> None:
        """After one of them could not be stored: all others are."""
        for entry in group:
            try:
                await self._take([self._clean(entry)])
            except (StoreError, UnicodeError):
                self.dropped += 1

    def _fail(self, error: StoreError) -> None:
        if not self._failing:
            self._error("audit.unavailable", message=error.message, remedy=error.remedy, waiting=len(self._buffer))
        self._failing = error.message
        waiting, self._waiting = self._waiting, []
        for _, done in waiting:
            if not done.done():
                done.set_exception(_unavailable(error.message))

    def _reach(self) -> None:
        waiting, self._waiting = self._waiting, []
        for upto, done in waiting:
            if upto > self._written:
                self._waiting.append((upto, done))
            elif not done.done():
                done.set_result(None)

    def _clean(self, entry: AuditEntry) -> AuditEntry:
        """Without credentials, control characters, and what is too long; a name may come from a stranger's address."""
        name, detail = entry.name, entry.detail
        if name:
            name = self._text(name)
        if detail:
            detail = {self._text(key): self._text(value) for key, value in detail.items()}
        actor = entry.actor
        if len(actor) > LONGEST or not (actor.isprintable() and actor.isascii()):
            actor = self._text(actor)
        if name == entry.name and actor == entry.actor and detail == entry.detail:
            return entry
        return replace(entry, name=name, actor=actor, detail=detail)

    def _text(self, text: str) -> str:
        text = self._redact(text[:_READ])
        if len(text) > LONGEST:
            text = text[: LONGEST - 1] + "…"
        if not text.isprintable():
            text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
        return text

    def _own(self, verb: str, name: str, detail: dict[str, str]) -> AuditEntry:
        return AuditEntry(
            tenant=INSTALLATION, at=self._clock.now(), actor="server", home=INSTALLATION, verb=verb, kind="audit",
            name=name, outcome="done", detail=detail,
        )  # fmt: skip

    # ---- signing -----------------------------------------------------------------------------------------------------

    async def _sign_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SIGN_S / 10)
            now = self._clock.monotonic()
            due = [tenant for tenant, (_, _, since) in self._unsigned.items() if now - since >= SIGN_S * 0.9]
            try:
                await self._sign(due)
            except StoreError as error:
                self._error("audit.unsigned", message=error.message)

    async def _sign(self, tenants: Sequence[str]) -> None:
        """Signs where these chains end; into the store and into the log."""
        if self.key is None:
            return
        for tenant in tenants:
            head, entries, since = self._unsigned[tenant]
            row = self.key.sign(head, self._clock.now())
            await self.store.put_checkpoint(row)
            self.checkpoints += 1
            now, more, _ = self._unsigned[tenant]
            if now.seq == head.seq:
                del self._unsigned[tenant]
            else:
                self._unsigned[tenant] = (now, more - entries, since)
            self._info(
                "audit.checkpoint", tenant=tenant, seq=row.seq, kind=row.kind, hash=row.hash.hex(), at_us=row.at_us,
                key_id=row.key_id, signature=row.signature.hex(),
            )  # fmt: skip


def _unavailable(cause: str) -> AuditUnavailable:
    return AuditUnavailable(
        "What you asked for cannot be recorded in the audit log now, and so it is not done.",
        remedy="Try again. Its operator finds the cause in the server's log (audit.unavailable).", cause=cause,
    )  # fmt: skip
