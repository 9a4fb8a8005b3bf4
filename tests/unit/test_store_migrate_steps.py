"""Each step of the schema since there is PostgreSQL comes and goes by itself, in both databases, with data."""

from pathlib import Path

import pytest

from golive.core.errors import StoreError
from golive.store.migrations import steps
from golive.store.upkeep.copying import copy
from tests.unit import postgres_kit
from tests.unit.test_store_migrate import migrated, place, version
from tests.unit.upkeep_kit import at, done, filled, rows, silent

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
    kept = "SELECT tenant, run, state, cost_microusd, saved_microusd FROM runs ORDER BY tenant, run"
    before = rows(place, kept)
    down = migrated(place, 7)
    assert down.steps[-1].loses == "the audit log"
    with pytest.raises(Exception, match="audit"):
        rows(place, "SELECT * FROM audit")
    assert migrated(place, 8, dry=True).beside
    migrated(place)
    assert rows(place, kept) == before
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


def test_tenants_and_users_come_and_go_with_their_step(place: str) -> None:
    """0012, in both databases, beside servers of the schema before: each tenant that there is gets its row, active."""
    mine = "SELECT tenant, state, keep_days, created_by FROM tenants ORDER BY tenant"
    assert rows(place, mine) == [
        ("acme", "active", 30.5, "cli"), ("beta", "active", 30.5, "cli"), ("default", "active", None, "golive"),
    ]  # fmt: skip
    whose = 'SELECT DISTINCT run, "user" FROM {} ORDER BY run'
    assert rows(place, whose.format("runs")) == [("run_1", "né"), ("run_2", None), ("run_3", None)]
    assert rows(place, whose.format("leases")) == rows(place, whose.format("runs"))
    down = migrated(place, 11)
    assert "those suspended or erased are let in again" in down.steps[-1].loses
    for gone in ("tenants", "tenant_users", "tenant_credentials"):
        with pytest.raises(Exception, match=gone):
            rows(place, f"SELECT * FROM {gone}")
    rows(place, "UPDATE keys SET tenant = 'by a key' WHERE tenant = 'beta'")
    rows(place, "UPDATE runs SET tenant = 'by a run' WHERE tenant = 'beta'")
    assert migrated(place, 12, dry=True).beside
    migrated(place, 12)
    every = ("acme", "beta", "by a key", "by a run", "default")
    assert rows(place, mine) == [(name, "active", None, "golive") for name in every]
    assert rows(place, "SELECT DISTINCT agents, limits, note, changed_at FROM tenants") == [('["*"]', "{}", "", 0.0)]
    assert rows(place, "SELECT count(*) FROM tenant_users") == [(0,)]
    assert rows(place, whose.format("leases")) == [("run_1", None), ("run_2", None), ("run_3", None)]


def test_indexes_for_lookups_come_and_go_with_their_step(place: str) -> None:
    """0014, in both databases, beside servers of the schema before: nothing is lost on the way back."""
    catalogue = "sqlite_master WHERE name" if place.startswith("sqlite:") else "pg_indexes WHERE indexname"
    names = ("audit_by_time", "data_keys_of_tenants", "data_keys_by_subject")
    found = f"SELECT count(*) FROM {catalogue} IN {names}"
    assert rows(place, found) == [(3,)]
    down = migrated(place, 13)
    assert (down.steps[-1].loses, rows(place, found)) == ("", [(0,)])
    assert migrated(place, 14, dry=True).beside
    migrated(place, 14)
    assert rows(place, found) == [(3,)]
    assert rows(place, "SELECT tenant, seq FROM audit ORDER BY 1, 2")[0] == ("acme", 1)


def test_row_level_security_is_forced_again_after_the_step_that_looks_past_it(tmp_path: Path) -> None:
    """0012 reads the tenants' names as the tables' owner; afterwards it is held like everybody."""
    made, url = filled(tmp_path / "golive.db", 3), postgres_kit.fresh("app")
    done(lambda: copy(at(made), at(url), silent))
    migrated(url, 11)
    migrated(url)
    guarded = "SELECT count(*) FROM pg_class WHERE relname IN ('keys', 'runs', 'leases', 'data_keys', 'tenants')"
    assert rows(url, f"{guarded} AND relrowsecurity AND relforcerowsecurity") == [(5,)]


BLANK = {"sqlite": "x''", "postgr": "''::bytea"}
