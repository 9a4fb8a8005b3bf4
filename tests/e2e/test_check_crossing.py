"""The checks of SEC-6 that hold tenants apart fail where they are really not, and say what crossed.

docs/check.md names these sabotages in a table, which `test_check.py` compares with the register.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist.checks import crossing, jobs
from golive.checklist.twin import Twin
from golive.store.postgres import schema
from tests.e2e.check_kit import breaking, hold, project, twin_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


async def broken(well: Twin, check: str, *sabotages: str) -> str:
    """Why the check fails where these are broken in what it builds."""
    async with breaking(well, *sabotages) as found:
        report = await hold(check, found)
    assert report.status == "fail", report
    return report.why


async def test_routes_passes_where_tenants_are_apart(well: Twin) -> None:
    """With the number of what was tried."""
    report = await hold("SEC-6.routes", well)
    assert (report.status, report.why) == ("pass", ""), report
    assert "0 crossings" in report.measured


@pytest.mark.parametrize(
    ("sabotage", "crossed"),
    [
        ("any_run", "GET /v1/runs/{run} with a key of another tenant: HTTP 200"),
        ("all_keys", "GET /v1/keys with a key of another tenant tells the first one's keyname"),
        ("one_cache", "an answer that was kept for one tenant is given to another"),
        ("one_conversation", "a model is sent the first tenant's prompt in a run of the second"),
        ("telltale", "GET /v1/runs/{run} with a key of another tenant tells by its answer (404 and 404)"),
        ("everywhere", "GET /v1/tenants with a token of another tenant tells the first one's tenant"),
    ],
)
async def test_routes_sees_what_crosses(
    well: Twin, sabotage: str, crossed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way in which a handler, a list, a cache or an answer forgets whose it is; all that crosses is read."""
    monkeypatch.setattr(crossing, "MOST_TOLD", 1_000)
    assert crossed in await broken(well, "SEC-6.routes", sabotage)


async def test_routes_sees_an_endpoint_of_which_it_knows_nothing(tmp_path: Path) -> None:
    """As the server itself lists it."""
    async with twin_of(project(tmp_path / "p"), "parcels") as found:
        report = await hold("SEC-6.routes", found)
    assert report.status == "fail"
    assert "GET /v1/parcels/{parcel} takes parcel, and the drill knows none of another tenant" in report.why


async def test_tables_passes_where_the_database_keeps_tenants_apart(well: Twin) -> None:
    """All tables but the few of no tenant."""
    report = await hold("SEC-6.tables", well)
    assert (report.status, report.why) == ("pass", ""), report


BARE = """
ALTER TABLE keys DISABLE ROW LEVEL SECURITY; ALTER TABLE schedules NO FORCE ROW LEVEL SECURITY;
DROP POLICY reader ON runs; CREATE POLICY reader ON runs TO golive_reader USING (true) WITH CHECK (true);
GRANT UPDATE, DELETE ON runs TO golive_reader; GRANT INSERT ON events TO golive_reader;
CREATE POLICY adds ON events FOR INSERT TO golive_reader WITH CHECK (true);
CREATE TABLE parcels (id TEXT PRIMARY KEY, words TEXT NOT NULL);
"""


async def test_tables_sees_policies_that_are_missing(well: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """None; one that lets all through; one that the owner need not heed; one for adding; a table without tenants."""
    whole = schema.roles()
    monkeypatch.setattr(schema, "roles", lambda: whole + BARE)
    report = await hold("SEC-6.tables", well)
    assert report.status == "fail"
    told = " ".join([report.why, *(each.got for each in report.evidence)])
    for wrong in (
        "keys has no row-level security;", "schedules has no row-level security for its owner",
        "parcels has no column `tenant`", "runs: golive-check-second reads rows of another",
        "runs: golive-check-second changes rows", "runs: who names no tenant removes rows",
        "keys: golive-check-second reads rows", "events: golive-check-second adds rows",
    ):  # fmt: skip
        assert wrong in told
    assert "events: golive-check-second reads" not in told


async def test_jobs_passes_where_they_stay_in_their_tenant(well: Twin) -> None:
    """Recovery, webhooks, schedules, metrics, retention."""
    report = await hold("SEC-6.jobs", well)
    assert (report.status, report.why) == ("pass", ""), report


async def test_jobs_sees_what_mixes(well: Twin) -> None:
    """Webhooks that are told of everybody, series of nobody, one tenant's retention that is all others'."""
    async with breaking(well, "town_crier", "no_label", "one_broom") as found:
        report = await hold("SEC-6.jobs", found)
    for wrong in ("is told of runs of", "is told words of", "is counted as its own", "are removed with those of"):
        assert wrong in report.why


async def test_jobs_sees_schedules_that_begin_elsewhere(well: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the installation's own tenant, whatever they say; three times 6 s are waited for what does not come."""
    monkeypatch.setattr(jobs, "WAIT_S", 6.0)
    assert "begins no run in it" in await broken(well, "SEC-6.jobs", "one_clock")
