"""The drill on tokens passes where golive verifies them, and fails where verification is really broken."""

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


async def test_tokens_passes_where_they_are_verified(well: Twin) -> None:
    """With numbers: none of some thirty taken, revocation in milliseconds."""
    found = await hold("GW-2.tokens", well)
    assert (found.status, found.why) == ("pass", "")
    assert "bad tokens: 0 not refused with 401, 1 texts; revoked after " in found.measured
    assert "with the issuer away a token was answered 200" in found.measured
    assert "eyJ" not in "".join(evidence.did for evidence in found.evidence)


@pytest.mark.parametrize(
    ("sabotage", "why"),
    [
        ("token_signature", "a signature by a key that is not the issuer's"),
        (
            "token_audience,token_expiry",
            "not refused: another audience (200); no audience (200); expired (200)",
        ),
        ("token_none", "not refused: alg 'none' (200)"),
        ("token_reasons", "the refusals differ"),
        ("token_revocation", "a revoked token was still taken"),
        ("token_rotation", "by the issuer's new key was not taken"),
        ("token_outage", "with the issuer away tokens by its known key are refused"),
    ],
)
async def test_tokens_sees_what_is_broken(well: Twin, sabotage: str, why: str) -> None:
    """Each in a real server in which that does not work."""
    async with breaking(well, sabotage) as ill:
        found = await hold("GW-2.tokens", ill)
    assert (found.status, why in found.why) == ("fail", True), found.why
