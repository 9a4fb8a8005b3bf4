"""What a chain proves: row by row, against its hashes, its head and what was signed of it. Pure, and told in words.

A chain is proved as far as its last valid signature. Whoever can write to the database can write rows, hashes and heads
that agree; signatures they cannot make, so what was signed cannot be rewritten, and what is cut off at the end is
missed by each signature that was kept elsewhere.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from golive.audit.signing import Trusted
from golive.store.audit import GENESIS, AuditCheckpoint, AuditHead, AuditRow, link

What = Literal["altered", "missing", "inserted", "head", "truncated", "forged", "key", "unsigned"]
MOST_UNSIGNED = 2_000
"""Entries at the end that no signature covers yet: more than a server leaves in good order."""


class Fault(Struct, frozen=True):
    """Something that is not as golive wrote it; `seq` is the first entry that it concerns."""

    tenant: str
    seq: int
    what: What
    message: str


class Verdict(Struct, frozen=True):
    """What was looked at of one tenant. `first` is 0 where there is no entry; `signed`: up to here signatures cover."""

    tenant: str
    entries: int
    first: int
    last: int
    hash: str
    signed: int
    checkpoints: int
    pruned: int
    faults: list[Fault]


class Verifier:
    """Takes the rows of one tenant in the order of seq, then says what is wrong.

    Args:
        checkpoints: those that stand beside the rows.
        pinned: those that were kept elsewhere (the log, an export).
    """

    def __init__(
        self, tenant: str, trusted: Trusted, checkpoints: Sequence[AuditCheckpoint],
        pinned: Sequence[AuditCheckpoint] = (),
    ) -> None:  # fmt: skip
        self._tenant = tenant
        self._trusted = trusted
        self.faults: list[Fault] = []
        good = [row for row in (*checkpoints, *pinned) if self._is_good(row)]
        self._marks: dict[int, list[AuditCheckpoint]] = {}
        for row in good:
            self._marks.setdefault(row.seq, []).append(row)
        removed = [row for row in checkpoints if row.kind == "pruned" and row in good]
        start = max(removed, key=lambda row: row.seq, default=None)
        self.pruned = start.seq if start else 0
        """Up to here entries were removed, by a signed mark."""
        self._signed = self._last = self.pruned
        self._hash = start.hash if start else GENESIS
        self._befores: tuple[bytes, ...] = (self._hash,)
        self._first = self._entries = 0
        self._good = len(good)

    def _is_good(self, row: AuditCheckpoint) -> bool:
        if row.tenant == self._tenant and self._trusted.signed(row):
            return True
        if self._trusted.knows(row):
            self._tell("forged", row.seq, f"The checkpoint of entry {row.seq} is not what key {row.key_id} signed.")
        else:
            said = f"The checkpoint of entry {row.seq} is signed by a key that is not trusted ({row.key_id[:40]})."
            self._tell("key", row.seq, said)
        return False

    def _tell(self, what: What, seq: int, message: str) -> None:
        self.faults.append(Fault(self._tenant, seq, what, message))

    def add(self, row: AuditRow) -> None:
        """The next row; those up to the mark of what was pruned are on their way out, and passed over."""
        if row.seq <= self.pruned:
            return
        self._entries += 1
        self._first = self._first or row.seq
        if row.seq != self._last + 1:
            gone = f"Entry {self._last + 1} is" if row.seq == self._last + 2 else (
                f"Entries {self._last + 1} to {row.seq - 1} are"
            )  # fmt: skip
            self._tell("missing", self._last + 1, f"{gone} missing.")
            self._befores = (row.hash,)
        else:
            made = self._made(row)
            if row.hash in made:
                self._befores = (row.hash,)
            else:
                self._tell("altered", row.seq, f"Entry {row.seq} is not what was recorded: its hash does not fit.")
                self._befores = (row.hash, *made)  # what follows fits one of them
        self._last, self._hash = row.seq, row.hash
        for mark in self._marks.pop(row.seq, ()):
            if mark.hash == row.hash:
                self._signed = row.seq
            else:
                said = f"Entry {row.seq} is not the one that was signed: the log was rewritten up to there."
                self._tell("altered", row.seq, said)

    def _made(self, row: AuditRow) -> list[bytes]:
        try:
            return [link(before, row) for before in self._befores]
        except UnicodeEncodeError:
            return []

    def end(self, head: AuditHead | None) -> Verdict:
        """What is wrong, once all rows were added.

        Args:
            head: where the store says that the chain ends; None where that is not known (a file).
        """
        for seq, marks in sorted(self._marks.items()):
            if seq > self._last:
                self._tell(
                    "truncated", self._last + 1,
                    f"Entries {self._last + 1} to {seq} are gone: entry {seq} was signed ({marks[0].key_id}).",
                )  # fmt: skip
            elif seq == self.pruned and any(mark.hash != self._pruned_hash(marks) for mark in marks):
                self._tell("altered", seq, f"Entry {seq}, which was pruned, is not the one that was signed before.")
        if head is not None:
            self._hold_against(head)
        if self._last - self._signed > MOST_UNSIGNED or (self._entries and not self._signed and head is None):
            said = f"No signature covers entries {self._signed + 1} to {self._last}."
            self._tell("unsigned", self._signed + 1, said)
        return Verdict(
            self._tenant, self._entries, self._first, self._last, self._hash.hex(), self._signed, self._good,
            self.pruned, sorted(self.faults, key=lambda fault: fault.seq),
        )  # fmt: skip

    def _pruned_hash(self, marks: Sequence[AuditCheckpoint]) -> bytes:
        return next(mark.hash for mark in marks if mark.kind == "pruned")

    def _hold_against(self, head: AuditHead) -> None:
        if head.seq > self._last:
            self._tell("missing", self._last + 1, f"Entries {self._last + 1} to {head.seq} are missing at the end.")
        elif head.seq < self._last:
            self._tell("inserted", head.seq + 1, f"Entries {head.seq + 1} to {self._last} stand behind the end.")
        elif head.hash != self._hash:
            self._tell("head", head.seq, f"The end of the chain is not the hash of entry {head.seq}.")
