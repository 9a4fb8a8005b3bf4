"""`golive store verify` finds each kind of disagreement, in both databases, and none where there is none."""

from pathlib import Path

import pytest

from golive.core.errors import SchemaMismatch
from golive.runtime.folding import views
from golive.store.schema import VERSION
from golive.store.upkeep.copying import copy
from golive.store.upkeep.verify import Verdict, verify
from tests.unit import postgres_kit
from tests.unit.upkeep_kit import at, done, filled, rows, silent


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store with three runs for each of two tenants."""
    made = filled(tmp_path / "golive.db")
    if request.param == "sqlite":
        return made
    url = postgres_kit.fresh()
    done(lambda: copy(at(made), at(url), silent))
    return url


def verified(place: str) -> Verdict:
    return done(lambda: verify(at(place), views, silent))


def found(place: str) -> list[tuple[str, str, str]]:
    return [(one.tenant, one.run, one.check) for one in verified(place).discrepancies]


def test_a_store_as_servers_leave_it_agrees(place: str) -> None:
    """Nothing is found, and what was looked at is counted."""
    verdict = verified(place)
    assert verdict.discrepancies == []
    assert (verdict.runs, verdict.events, verdict.schema) == (6, 42, VERSION)


@pytest.mark.parametrize("state", ["running", "waiting"])
def test_open_runs_agree(tmp_path: Path, state: str) -> None:
    """The list may be behind the journal of a run that goes on; a run that waits is at rest."""
    assert found(filled(tmp_path / "golive.db", 2, state)) == []


@pytest.mark.parametrize(
    ("damage", "check", "said"),
    [
        ("DELETE FROM events WHERE run = 'run_2' AND seq = 3", "journal", "Events are missing: 3."),
        ("DELETE FROM events WHERE run = 'run_2' AND seq = 7", "lease", "The lease stands at seq 7, the journal at 6."),
        ("UPDATE leases SET epoch = 0 WHERE run = 'run_2'", "lease", "under another epoch"),
        ("UPDATE ledger SET amount_microusd = 91 WHERE run = 'run_2'", "ledger", "The ledger holds 91 microusd"),
        ("UPDATE runs SET cost_microusd = 0 WHERE run = 'run_2'", "view", "cost_microusd is 0 and should be 90"),
        ("UPDATE runs SET outcome = NULL WHERE run = 'run_2'", "view", "outcome is None and should be 'completed'"),
        ("DELETE FROM runs WHERE run = 'run_2'", "view", "no row in the list"),
        ("DELETE FROM leases WHERE run = 'run_2'", "lease", "There are events of the run, and no lease."),
        ("UPDATE leases SET \"user\" = 'ben' WHERE run = 'run_2'", "lease", "of the user ben, the journal of None"),
    ],
)
def test_each_disagreement_is_told_with_its_run(place: str, damage: str, check: str, said: str) -> None:
    """In both tenants, and in no other run."""
    rows(place, damage)
    told = verified(place).discrepancies
    assert {(one.tenant, one.run) for one in told} == {("acme", "run_2"), ("beta", "run_2")}
    assert any(one.check == check and said in one.message for one in told)


def test_a_body_that_cannot_be_read_is_told(place: str) -> None:
    """And the other runs are looked at all the same."""
    rows(place, "UPDATE events SET body = CAST('{' AS BLOB) WHERE run = 'run_1' AND seq = 6 AND tenant = 'beta'"
         if place.startswith("sqlite:")
         else "UPDATE events SET body = '{' WHERE run = 'run_1' AND seq = 6 AND tenant = 'beta'")  # fmt: skip
    verdict = verified(place)
    assert [(one.tenant, one.run, one.check) for one in verdict.discrepancies] == [("beta", "run_1", "journal")]
    assert verdict.runs == 6


def test_rest_must_have_its_reason(tmp_path: Path) -> None:
    """A finished run whose lease is open would be carried on; an open one at rest never would."""
    place = filled(tmp_path / "golive.db", 2, "waiting")
    rows(place, "UPDATE leases SET at_rest = 0 WHERE run = 'run_1' AND tenant = 'acme'")
    rows(place, "UPDATE decisions SET choice = 'skip' WHERE run = 'run_2' AND tenant = 'acme'")
    assert found(place) == [("acme", "run_1", "lease"), ("acme", "run_2", "lease")]


def test_the_ledger_may_outlive_its_run(place: str) -> None:
    """What `prune` leaves is no disagreement."""
    for table in ("events", "outbox", "decisions", "leases", "runs"):
        rows(place, f"DELETE FROM {table} WHERE run = 'run_1'")
    assert verified(place).discrepancies == []


def test_rows_of_no_run_are_told(place: str) -> None:
    """Decisions and messages belong to runs."""
    rows(place, "UPDATE outbox SET run = 'run_9' WHERE run = 'run_1'")
    assert found(place) == [("acme", "run_9", "lease"), ("beta", "run_9", "lease")]


def test_more_rows_than_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages join without a gap and without a run that is looked at twice."""
    monkeypatch.setattr("golive.store.upkeep.verify._READ_AHEAD", 3)
    place = filled(tmp_path / "golive.db", 5)
    rows(place, "UPDATE runs SET steps = 9 WHERE run IN ('run_1', 'run_3', 'run_4', 'run_5')")
    assert found(place) == [(tenant, run, "view") for tenant in ("acme", "beta") for run in
                            ("run_1", "run_3", "run_4", "run_5")]  # fmt: skip
    assert verified(place).events == 70


def test_there_must_be_a_store(tmp_path: Path) -> None:
    """Looking makes no file."""
    with pytest.raises(SchemaMismatch) as caught:
        verified(f"sqlite:{tmp_path / 'none.db'}")
    assert "There is no database" in caught.value.message
    assert list(tmp_path.iterdir()) == []
