"""The check of tenants' credentials passes on a server that is well, and fails on each that mixes them up."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from golive.checklist.twin import Twin
from tests.e2e.check_kit import breaking, hold, project, twin_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


async def test_credentials_passes_where_each_tenants_calls_go_with_its_own(well: Twin) -> None:
    """Thirty-six questions of three tenants, at two servers."""
    found = await hold("SEC-6.credentials", well)
    assert (found.status, found.why) == ("pass", ""), found
    assert found.measured.endswith("36 questions of 3 tenants: 0 faults")


@pytest.mark.parametrize(
    ("sabotage", "why"),
    [
        ("tenant_keys_unused", "came under the same credential"),
        ("tenant_keys_lent", "has no credential, and is served (HTTP 200)"),
        ("tenant_keys_mixed", "came under the same credential"),
    ],
)
async def test_credentials_sees_calls_under_anothers_key(well: Twin, sabotage: str, why: str) -> None:
    """All under the installation's, one lent to who has none, one tenant's for another's calls."""
    async with breaking(well, sabotage) as ill:
        found = await hold("SEC-6.credentials", ill)
    assert found.status == "fail", found
    assert why in found.why
