"""The check of tenants' credentials passes on a server that is well, and fails on each that mixes them up."""

from pathlib import Path

import pytest

from tests.e2e.check_kit import hold, project, twin_of


async def test_credentials_passes_where_each_tenants_calls_go_with_its_own(tmp_path: Path) -> None:
    """Thirty-six questions of three tenants, at two servers."""
    async with twin_of(project(tmp_path / "p")) as well:
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
async def test_credentials_sees_calls_under_anothers_key(tmp_path: Path, sabotage: str, why: str) -> None:
    """All under the installation's, one lent to who has none, one tenant's for another's calls."""
    async with twin_of(project(tmp_path / "p"), sabotage) as ill:
        found = await hold("SEC-6.credentials", ill)
    assert found.status == "fail", found
    assert why in found.why
