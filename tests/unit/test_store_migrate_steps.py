"""Each step of the schema since there is PostgreSQL comes and goes by itself, in both databases, with data."""

import pytest

from golive.core.errors import StoreError
from golive.store.migrations import steps
from tests.unit.test_store_migrate import migrated, place, rows, version

__all__ = ["place"]


def test_the_index_of_finished_runs_comes_and_goes_with_its_step(place: str) -> None:
    """0007, in both databases, beside servers of the schema before: it is an addition."""
    table = "sqlite_master WHERE name" if place.startswith("sqlite:") else "pg_indexes WHERE indexname"
    found = f"SELECT count(*) FROM {table} = 'runs_finished'"
    assert rows(place, found) == [(1,)]
    migrated(place, 7)
    before = rows(place, "SELECT * FROM runs ORDER BY tenant, run")
    assert [step.name for step in migrated(place, 6).steps][-1] == "finished"
    assert (version(place), rows(place, found)) == (6, [(0,)])
    assert migrated(place, 7, dry=True).beside
    assert migrated(place, 7).now == 6
    assert rows(place, found) == [(1,)]
    assert rows(place, "SELECT * FROM runs ORDER BY tenant, run") == before
    assert steps.oldest_of(7) == 6


def test_the_audit_log_comes_and_goes_with_its_step(place: str) -> None:
    """0008, in both databases, beside servers of the schema before; going down takes it away with its guards."""
    assert rows(place, "SELECT tenant, seq FROM audit ORDER BY 1, 2") == [
        ("acme", 1), ("acme", 2), ("beta", 1), ("beta", 2),
    ]  # fmt: skip
    before = rows(place, "SELECT * FROM runs ORDER BY tenant, run")
    down = migrated(place, 7)
    assert down.steps[-1].loses == "the audit log"
    with pytest.raises(Exception, match="audit"):
        rows(place, "SELECT * FROM audit")
    assert migrated(place, 8, dry=True).beside
    migrated(place)
    assert rows(place, "SELECT * FROM runs ORDER BY tenant, run") == before
    rows(place, "INSERT INTO audit_heads (tenant, seq, hash) VALUES ('acme', 5, '')".replace("''", BLANK[place[:6]]))
    with pytest.raises(Exception, match="only added to"):
        rows(place, "UPDATE audit_heads SET seq = 4")
    assert steps.oldest_of(8) == 6


def test_data_keys_come_and_go_with_their_step(place: str) -> None:
    """0009, in both databases; not down again once content is sealed: without the keys it would be lost."""
    assert rows(place, "SELECT tenant, id FROM data_keys ORDER BY 1") == [("acme", "dk_acme"), ("beta", "dk_beta")]
    migrated(place, 8)
    with pytest.raises(Exception, match="data_keys"):
        rows(place, "SELECT * FROM data_keys")
    assert not migrated(place, 9, dry=True).beside  # a server of schema 8 reads no ciphertext
    migrated(place, 9)
    assert rows(place, "SELECT count(*) FROM data_keys") == [(0,)]
    sealed = "INSERT INTO events (tenant, run, seq, epoch, branch, version, at, kind, body, key_id) VALUES "
    rows(place, sealed + f"('acme', 'run_9', 1, 1, '', 'v', 0, 'run.started', {BLANK[place[:6]]}, 'dk_acme')")
    with pytest.raises(StoreError, match="1 events are sealed"):
        migrated(place, 8)
    assert version(place) == 9


def test_the_fingerprints_of_secrets_come_and_go_with_their_step(place: str) -> None:
    """0010, in both databases, beside servers of the schema before."""
    assert rows(place, "SELECT fingerprint, reason FROM secret_fingerprints") == [("ab" * 32, "né")]
    down = migrated(place, 9)
    assert down.steps[-1].loses == "which credentials are revoked, and since when each is in use"
    with pytest.raises(Exception, match="secret_fingerprints"):
        rows(place, "SELECT * FROM secret_fingerprints")
    assert migrated(place, 10, dry=True).beside
    migrated(place, 10)
    assert rows(place, "SELECT count(*) FROM secret_fingerprints") == [(0,)]


def test_revocations_of_tokens_come_and_go_with_their_step(place: str) -> None:
    """0011, in both databases, beside servers of the schema before."""
    assert rows(place, "SELECT tenant, kind, value FROM tokens_revoked") == [("acme", "user", "né")]
    down = migrated(place, 10)
    assert down.steps[-1].loses == "which tokens are revoked: those that have not expired are taken again"
    with pytest.raises(Exception, match="tokens_revoked"):
        rows(place, "SELECT * FROM tokens_revoked")
    assert migrated(place, 11, dry=True).beside
    migrated(place, 11)
    assert rows(place, "SELECT count(*) FROM tokens_revoked") == [(0,)]


BLANK = {"sqlite": "x''", "postgr": "''::bytea"}
