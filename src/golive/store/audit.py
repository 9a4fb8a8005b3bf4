"""What the store keeps of the audit log: entries chained by their hashes, a head for each tenant, signed checkpoints.

Owns the rows, what exactly is hashed, and the contract. What is worth an entry, signatures and what a chain proves
belong to `golive/audit`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

Outcome = Literal["allowed", "denied", "refused", "done", "failed"]
GENESIS = bytes(32)
"""The hash before the first entry."""
INSTALLATION = "default"
"""The tenant in whose chain stands what concerns the installation: strangers, secrets, the server itself."""


class AuditEntry(Struct, frozen=True, kw_only=True, gc=False):
    """Something that was done, or was to be. Holds no content: `detail` says which, never what in it.

    `actor` is a principal's id and `home` the tenant of its credential; `at` seconds since the epoch; `source` the
    address that it came from ("" where it was no request).
    """

    tenant: str
    at: float
    actor: str
    home: str
    verb: str
    kind: str
    name: str
    outcome: Outcome
    source: str = ""
    route: str = ""
    detail: dict[str, str] = {}


class AuditRow(Struct, frozen=True, gc=False):
    """An entry in its place. `at_us` is microseconds since the epoch, `detail` JSON with its keys in order."""

    tenant: str
    seq: int
    at_us: int
    actor: str
    home: str
    verb: str
    kind: str
    name: str
    outcome: str
    source: str
    route: str
    detail: str
    hash: bytes


class AuditHead(Struct, frozen=True):
    """Where a tenant's chain ends; seq 0 and `GENESIS` where there is none."""

    tenant: str
    seq: int
    hash: bytes


class AuditCheckpoint(Struct, frozen=True):
    """A signed word on a chain. `checkpoint`: entry `seq` has this hash; `pruned`: and all up to it were removed."""

    tenant: str
    seq: int
    kind: Literal["checkpoint", "pruned"]
    hash: bytes
    at_us: int
    key_id: str
    signature: bytes


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which entries to list, newest first: by seq, and where `since` or `until` is given by time, then by seq.

    Times in seconds since the epoch. `before`: the seq of the last entry of the page before; only those behind it.
    """

    actor: str | None = None
    verb: str | None = None
    kind: str | None = None
    name: str | None = None
    outcome: str | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None
    limit: int = 50


_EQUAL = ("actor", "verb", "kind", "name", "outcome")
FIELDS = AuditRow.__struct_fields__
_encode = msgspec.json.Encoder(order="sorted").encode


def micros(at: float) -> int:
    """Seconds since the epoch as whole microseconds."""
    return round(at * 1e6)


def by_time(where: AuditFilter) -> bool:
    """Whether a search goes along the index of times, within which it reads: servers' entries may stand in the chain in
    another order than their times, by a little or by an outage of the store."""
    return where.since is not None or where.until is not None


def conditions(where: AuditFilter, before_us: int | None = None) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """What a search asks for, as SQL with `{}` for each of its values.

    Args:
        before_us: the time of the entry `where.before`, for a search by time; None: there is no such entry.
    """
    for name in _EQUAL:
        if (value := getattr(where, name)) is not None:
            yield f"{name} = {{}}", (value,)
    if where.since is not None:
        yield "at_us >= {}", (micros(where.since),)
    if where.until is not None:
        yield "at_us < {}", (micros(where.until),)
    if where.before is not None and before_us is not None:
        yield "(at_us, seq) < ({}, {})", (before_us, where.before)
    elif where.before is not None:
        yield "seq < {}", (where.before,)


def order(where: AuditFilter) -> str:
    """In which order a search gives what it finds, as SQL."""
    return "at_us DESC, seq DESC" if by_time(where) else "seq DESC"


def hashed(row: AuditRow) -> bytes:
    """What of a row is hashed behind the hash before it: seq as eight bytes, then the other columns as a JSON array.

    Raises:
        UnicodeEncodeError: text of it cannot have been written by golive.
    """
    fields = (
        row.tenant, row.at_us, row.actor, row.home, row.verb, row.kind, row.name, row.outcome, row.source, row.route,
        row.detail,
    )  # fmt: skip
    return row.seq.to_bytes(8, "big", signed=True) + _encode(fields)


def link(before: bytes, row: AuditRow) -> bytes:
    """The hash of a row that follows on `before`; raises as `hashed`."""
    return hashlib.sha256(before + hashed(row)).digest()


def chained(head: AuditHead, entries: Sequence[AuditEntry]) -> list[AuditRow]:
    """The rows of entries that follow on a head; all of its tenant, in this order."""
    rows: list[AuditRow] = []
    seq, before = head.seq, head.hash
    for entry in entries:
        seq += 1
        detail = _encode(entry.detail).decode() if entry.detail else "{}"
        row = AuditRow(
            entry.tenant, seq, micros(entry.at), entry.actor, entry.home, entry.verb, entry.kind, entry.name,
            entry.outcome, entry.source, entry.route, detail, b"",
        )  # fmt: skip
        before = link(before, row)
        rows.append(msgspec.structs.replace(row, hash=before))
    return rows


def by_tenant(entries: Sequence[AuditEntry]) -> dict[str, list[AuditEntry]]:
    """The entries of each tenant in their order; tenants in theirs, so that all writers lock alike."""
    found: dict[str, list[AuditEntry]] = {}
    for entry in entries:
        found.setdefault(entry.tenant, []).append(entry)
    return dict(sorted(found.items()))


class TenantAudit(Protocol):
    """What can be read of one tenant's chain."""

    async def rows(self, after_seq: int = 0, limit: int = 1_000) -> list[AuditRow]:
        """Entries with seq > after_seq, in order, as they lie there: broken text is kept as lone surrogates."""
        ...

    async def head(self) -> AuditHead: ...

    async def search(self, where: AuditFilter) -> list[AuditRow]:
        """The entries that match, newest first."""
        ...

    async def checkpoints(self, after_seq: int = 0) -> list[AuditCheckpoint]:
        """Those with seq > after_seq, by seq and kind, and any that says `pruned`."""
        ...


class AuditStore(Protocol):
    """The audit log of an installation. Nothing in it is ever changed, and only a signed prefix removed."""

    def tenant(self, tenant: str) -> TenantAudit: ...

    async def append(self, entries: Sequence[AuditEntry]) -> list[AuditHead]:
        """Adds entries at the end of their tenants' chains, durable on return; where those end now.

        Several servers may do so at once: seqs have no gap, and no chain ever forks.

        Raises:
            StoreUnavailable: it cannot be written. Nothing was, unless the database broke off in the middle.
            StoreError: a value cannot be stored; nothing was written.
        """
        ...

    async def heads(self) -> list[AuditHead]:
        """Where the chain of each tenant ends, by tenant."""
        ...

    async def tenants(self) -> list[str]:
        """Every tenant of whom there is an entry, a head or a checkpoint, in order."""
        ...

    async def put_checkpoint(self, row: AuditCheckpoint) -> None:
        """Adds it; one of that place and kind that is there already stays."""
        ...

    async def prune(self, mark: AuditCheckpoint, limit: int) -> int:
        """Adds the mark (`pruned`) and removes entries up to it, oldest first, and checkpoints before it.

        Returns how many entries were removed, `limit` at most; fewer: there is none left.
        """
        ...


class KeepsAudit(Protocol):
    """A store with an audit log."""

    audit: AuditStore
