"""Verifying chains where they stand in a store, and pruning what is older than it need be kept."""

import asyncio
from collections.abc import Sequence

from golive.audit.chain import Verdict, Verifier
from golive.audit.signing import AuditKey, Trusted
from golive.core.clock import Clock
from golive.store.audit import AuditCheckpoint, AuditHead, AuditStore, TenantAudit, micros

PAGE = 1_000
DAY_S = 86_400.0


async def verify(store: AuditStore, tenant: str, trusted: Trusted, pinned: Sequence[AuditCheckpoint] = ()) -> Verdict:
    """Reads a tenant's whole chain, a page at a time; entries that come meanwhile are not looked at.

    Args:
        pinned: checkpoints that were kept elsewhere.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    mine = store.tenant(tenant)
    while True:
        verdict = await _verify_once(mine, tenant, trusted, pinned)
        marks = Verifier(tenant, trusted, await mine.checkpoints())
        if not verdict.faults or marks.pruned == verdict.pruned:
            return verdict  # else a prefix went in the middle of it, and not a tail


async def _verify_once(mine: TenantAudit, tenant: str, trusted: Trusted, pinned: Sequence[AuditCheckpoint]) -> Verdict:
    head = await mine.head()
    marks = [row for row in await mine.checkpoints() if row.seq <= head.seq or row.kind != "checkpoint"]
    later = [row for row in await mine.checkpoints(head.seq) if row.kind == "checkpoint"]
    if later and (await mine.head()).seq == head.seq:
        marks += later  # nothing was added meanwhile: they say that the end is missing
    verifier = Verifier(tenant, trusted, marks, [row for row in pinned if row.tenant == tenant])
    after = -(1 << 62)
    while rows := await mine.rows(after, PAGE):
        for row in rows:
            if row.seq > head.seq and (await mine.head()).seq > head.seq:
                return verifier.end(head)
            verifier.add(row)
        after = rows[-1].seq
        await asyncio.sleep(0)
    return verifier.end(head)


async def prune(store: AuditStore, key: AuditKey, clock: Clock, keep_days: float) -> list[tuple[AuditCheckpoint, int]]:
    """Removes each tenant's entries up to the newest checkpoint that is older than that, and leaves a signed mark.

    Returns the marks, and how many entries went with each.
    """
    before = micros(clock.now() - keep_days * DAY_S)
    trusted = Trusted([key.public])
    done: list[tuple[AuditCheckpoint, int]] = []
    for head in await store.heads():
        marks = await store.tenant(head.tenant).checkpoints()
        gone = max((row.seq for row in marks if row.kind == "pruned" and trusted.signed(row)), default=0)
        old = [row for row in marks if row.kind == "checkpoint" and row.at_us < before and trusted.signed(row)]
        newest = max(old, key=lambda row: row.seq, default=None)
        if newest is None or newest.seq <= gone:
            continue
        mark = key.sign(AuditHead(head.tenant, newest.seq, newest.hash), clock.now(), pruned=True)
        removed = 0
        while (count := await store.prune(mark, PAGE)) > 0:
            removed += count
            await asyncio.sleep(0)
        done.append((mark, removed))
    return done
