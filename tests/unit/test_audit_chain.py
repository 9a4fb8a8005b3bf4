"""Whatever somebody does to the audit log, verifying tells it, and names the entry."""

import asyncio
from pathlib import Path

import pytest

from golive.audit.signing import AuditKey, Trusted
from golive.audit.verifying import prune
from golive.core.clock import SystemClock
from golive.store.audit import GENESIS, AuditCheckpoint, AuditHead, AuditRow, AuditStore, chained
from tests.unit.audit_kit import KEY, change, doing, entry, faults, filled, rows, verdicts

DAY_S = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two tenants with six entries each, signed at 3 and 6."""
    filled(tmp_path / "golive.db")
    return tmp_path / "golive.db"


def test_a_log_that_nobody_touched_is_proved_to_its_last_signature(path: Path) -> None:
    """With how many entries, from where to where, and the hash of its end."""
    [acme, beta] = verdicts(path)
    assert (acme.tenant, acme.entries, acme.first, acme.last, acme.signed, acme.checkpoints) == ("acme", 6, 1, 6, 6, 2)
    assert acme.faults == beta.faults == []
    assert acme.hash == rows(path, "SELECT hex(hash) FROM audit_heads WHERE tenant = 'acme'")[0][0].lower()


COLUMNS = ("actor", "home", "verb", "kind", "name", "outcome", "source", "route", "detail")


@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_column_is_told_by_its_entry(path: Path, column: str) -> None:
    """Of one entry, the others are still proved."""
    change(path, f"UPDATE audit SET {column} = 'x' WHERE tenant = 'acme' AND seq = 2")
    assert faults(path) == [("acme", 2, "altered")]


def test_a_changed_time_is_told(path: Path) -> None:
    """By a microsecond."""
    change(path, "UPDATE audit SET at_us = at_us + 1 WHERE tenant = 'acme' AND seq = 4")
    assert faults(path) == [("acme", 4, "altered")]


def test_a_changed_hash_is_told_once(path: Path) -> None:
    """The next entry fits what the hash should be."""
    change(path, "UPDATE audit SET hash = zeroblob(32) WHERE tenant = 'acme' AND seq = 2")
    assert faults(path) == [("acme", 2, "altered")]


@pytest.mark.parametrize("seq", [1, 3, 5])
def test_a_removed_entry_is_missing(path: Path, seq: int) -> None:
    """The first, one that was signed, any."""
    change(path, f"DELETE FROM audit WHERE tenant = 'acme' AND seq = {seq}")
    assert ("acme", seq, "missing") in faults(path)
    assert all(one[0] == "acme" for one in faults(path))


def test_a_renumbered_chain_after_a_removal_is_told(path: Path) -> None:
    """Whoever closes the gap changes what was hashed."""
    change(path, "DELETE FROM audit WHERE tenant = 'acme' AND seq = 2")
    for seq in (3, 4, 5, 6):
        change(path, f"UPDATE audit SET seq = {seq - 1} WHERE tenant = 'acme' AND seq = {seq}")
    found = faults(path)
    assert found[0] == ("acme", 2, "altered")
    assert ("acme", 6, "truncated") in found


def test_two_entries_that_changed_places_are_told(path: Path) -> None:
    """Both places."""
    change(
        path, "UPDATE audit SET seq = 99 WHERE tenant = 'acme' AND seq = 2",
        "UPDATE audit SET seq = 2 WHERE tenant = 'acme' AND seq = 5",
        "UPDATE audit SET seq = 5 WHERE tenant = 'acme' AND seq = 99",
    )  # fmt: skip
    assert {("acme", 2, "altered"), ("acme", 5, "altered")} <= set(faults(path))


def test_an_entry_that_was_put_in_is_told(path: Path) -> None:
    """At the end, behind the head; or with the head moved along: nobody signed it, and its hash must fit."""
    columns = "tenant, seq, at_us, actor, home, verb, kind, name, outcome, source, route, detail, hash"
    copied = columns.replace("seq", "7", 1)
    change(path, f"INSERT INTO audit ({columns}) SELECT {copied} FROM audit WHERE tenant = 'acme' AND seq = 6")
    assert ("acme", 7, "altered") in faults(path)
    assert ("acme", 7, "inserted") in faults(path)


def test_entries_that_changed_tenants_are_told_in_both(path: Path) -> None:
    """The tenant is hashed along."""
    change(
        path, "UPDATE audit SET tenant = 'x' WHERE tenant = 'acme' AND seq = 2",
        "UPDATE audit SET tenant = 'acme' WHERE tenant = 'beta' AND seq = 2",
        "UPDATE audit SET tenant = 'beta' WHERE tenant = 'x'",
    )  # fmt: skip
    assert {("acme", 2, "altered"), ("beta", 2, "altered")} <= set(faults(path))


def test_a_tail_that_was_cut_off_is_missed_by_head_and_signatures(path: Path) -> None:
    """And, with head and signatures cut off as well, by a signature that was kept elsewhere."""
    kept = checkpoints(path)
    change(path, "DELETE FROM audit WHERE tenant = 'acme' AND seq > 4")
    assert ("acme", 5, "missing") in faults(path)
    before = rows(path, "SELECT hash FROM audit WHERE tenant = 'acme' AND seq = 4")[0]
    change(path, "UPDATE audit_heads SET seq = 4, hash = ? WHERE tenant = 'acme'", values=before)
    assert faults(path) == [("acme", 5, "truncated")]
    change(path, "DELETE FROM audit_checkpoints WHERE tenant = 'acme' AND seq > 4")
    assert faults(path) == []
    assert faults(path, pinned=kept) == [("acme", 5, "truncated")]


def checkpoints(path: Path) -> tuple[AuditCheckpoint, ...]:
    async def go(store: AuditStore) -> tuple[AuditCheckpoint, ...]:
        return tuple(await store.tenant("acme").checkpoints())

    return doing(path, go)


def rewritten(path: Path, key: AuditKey | None) -> None:
    """All of acme's entries anew, with another actor, with hashes and a head that agree; signed with `key`."""

    async def go(store: AuditStore) -> list[AuditRow]:
        return chained(AuditHead("acme", 0, GENESIS), [entry(number, actor="key:evil") for number in range(1, 7)])

    made = doing(path, go)
    change(path, "DELETE FROM audit WHERE tenant = 'acme'", "DELETE FROM audit_heads WHERE tenant = 'acme'")

    async def put(store: AuditStore) -> None:
        await store.append([entry(number, actor="key:evil") for number in range(1, 7)])
        if key is not None:
            for row in (made[2], made[5]):
                await store.put_checkpoint(key.sign(AuditHead("acme", row.seq, row.hash), 2000.0))

    if key is not None:
        change(path, "DELETE FROM audit_checkpoints WHERE tenant = 'acme'")
    doing(path, put)


def test_a_log_that_was_written_anew_as_a_whole_is_not_what_was_signed(path: Path) -> None:
    """Hashes and head agree; the signatures do not."""
    rewritten(path, None)
    assert faults(path) == [("acme", 3, "altered"), ("acme", 6, "altered")]


def test_a_replaced_key_is_told(path: Path) -> None:
    """Signatures of a key that nobody trusts count for nothing; and with the old key's word, the log is another."""
    kept = checkpoints(path)
    rewritten(path, AuditKey(b"e" * 32))
    assert faults(path) == [("acme", 3, "key"), ("acme", 6, "key")]
    both = Trusted([KEY.public, AuditKey(b"e" * 32).public])
    assert faults(path, trusted=both) == []
    assert faults(path, trusted=both, pinned=kept) == [("acme", 3, "altered"), ("acme", 6, "altered")]


@pytest.mark.parametrize("sql", ["signature = zeroblob(64)", "hash = zeroblob(32)", "at_us = 1", "kind = 'pruned'",
                                 "seq = 2", "tenant = 'beta'"])  # fmt: skip
def test_a_forged_checkpoint_is_told(path: Path, sql: str) -> None:
    """Any column of it is signed; its name of the key leads to another key, or to none."""
    change(path, f"UPDATE audit_checkpoints SET {sql} WHERE tenant = 'acme' AND seq = 3".replace(
        "tenant = 'beta' WHERE", "tenant = 'beta', seq = 4 WHERE"))  # fmt: skip
    assert [what for _, _, what in faults(path)] == ["forged"]


def test_a_pruned_mark_that_nobody_signed_hides_nothing(path: Path) -> None:
    """Entries that it was to excuse are missing."""
    change(
        path, "INSERT INTO audit_checkpoints SELECT tenant, seq, 'pruned', hash, at_us, key_id, signature "
        "FROM audit_checkpoints WHERE tenant = 'acme' AND seq = 3",
        "DELETE FROM audit WHERE tenant = 'acme' AND seq < 4",
    )  # fmt: skip
    assert faults(path) == [("acme", 1, "missing"), ("acme", 3, "forged")]


def test_a_pruned_log_verifies_from_its_mark(tmp_path: Path) -> None:
    """Only whole prefixes that were signed long ago go; the next prune goes on from there; the rest stays provable."""
    path = tmp_path / "golive.db"
    filled(path)

    def pruned(days: float) -> list[tuple[str, int, int]]:
        async def go(store: AuditStore) -> list[tuple[str, int, int]]:
            return [(mark.tenant, mark.seq, gone) for mark, gone in await prune(store, KEY, At(2004.5 + DAY_S), days)]

        return doing(path, go)

    assert pruned(2.0) == []
    assert pruned(1.0) == [("acme", 3, 3), ("beta", 3, 3)]
    [acme, _] = verdicts(path)
    assert (acme.entries, acme.first, acme.last, acme.pruned, acme.faults) == (3, 4, 6, 3, [])
    assert pruned(1.0) == []
    change(path, "DELETE FROM audit WHERE tenant = 'acme' AND seq = 4")
    assert ("acme", 4, "missing") in faults(path)


class At(SystemClock):
    """A clock that stands."""

    def __init__(self, at: float) -> None:
        self._at = at

    def now(self) -> float:
        return self._at


def test_many_entries_without_a_signature_are_told(tmp_path: Path) -> None:
    """A server signs after a thousand; who takes signatures away leaves more."""
    path = tmp_path / "golive.db"

    async def go(store: AuditStore) -> None:
        await store.append([entry(number) for number in range(2_001)])

    doing(path, go)
    assert faults(path) == [("acme", 1, "unsigned")]


def test_golive_itself_can_change_nothing(tmp_path: Path) -> None:
    """The file's own guards refuse it, whoever asks through SQL."""
    path = tmp_path / "golive.db"
    doing(path, lambda store: store.append([entry(1), entry(2)]))
    for sql in (
        "UPDATE audit SET actor = 'x'", "DELETE FROM audit", "INSERT OR REPLACE INTO audit SELECT * FROM audit",
        "UPDATE audit_heads SET seq = 1", "DELETE FROM audit_heads",
    ):  # fmt: skip
        with pytest.raises(Exception, match="only added to"):
            change(path, sql)
    assert asyncio.run(asyncio.sleep(0, faults(path))) == []
