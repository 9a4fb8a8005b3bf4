"""The checks of SEC-6 that hold tenants apart fail where they are really not, and say what crossed.

docs/check.md names these sabotages in a table, which `test_check.py` compares with the register.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist.twin import Twin
from tests.e2e.check_kit import hold, project, twin_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


async def broken(folder: Path, check: str, *sabotages: str) -> str:
    """Why the check fails on a server in which these are broken."""
    async with twin_of(project(folder), *sabotages) as found:
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
        ("parcels", "GET /v1/parcels/{parcel} takes parcel, and the drill knows none of another tenant"),
    ],
)
async def test_routes_sees_what_crosses(tmp_path: Path, sabotage: str, crossed: str) -> None:
    """Each way in which a handler, a list, a cache or an answer forgets whose it is."""
    assert crossed in await broken(tmp_path / "p", "SEC-6.routes", sabotage)
