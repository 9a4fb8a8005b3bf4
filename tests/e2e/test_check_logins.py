"""The drill on logins passes where each is kept apart from all others, and fails where that is really broken."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist.twin import Twin
from tests.e2e.check_kit import GOLIVE, PRICES, breaking, hold, project, twin_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


async def test_login_passes_where_each_is_bound(well: Twin) -> None:
    """With numbers, and without a cookie in the evidence."""
    found = await hold("GW-2.login", well)
    assert (found.status, found.why) == ("pass", "")
    assert found.measured == "a good login, then 6 answers, 9 ID tokens and 4 beginnings that are none; 0 let in"
    assert not any("golive-session=" in each.did.replace("golive-session=$SESSION", "") for each in found.evidence)


async def test_login_is_unknown_without_sessions(tmp_path: Path) -> None:
    golive = GOLIVE.replace("[server]", "[server]\nsessions.enabled = false") + PRICES
    async with twin_of(project(tmp_path / "none", golive=golive)) as none:
        found = await hold("GW-2.login", none)
    assert (found.status, found.why) == ("unknown", "server.sessions.enabled is false: no browser logs in")


@pytest.mark.parametrize(
    ("sabotages", "told"),
    [
        (
            ("login_replay", "login_pkce", "login_foreign", "login_logout"),
            (
                "wrong: an answer that was used",
                "codes changed without proof of PKCE",
                "a login that another website begins",
                "a copy of the cookie works after the logout",
            ),
        ),
        (
            ("login_browser", "login_redirect"),
            ("another browser's answer", "a login that leads to https://evil.example"),
        ),
        (("login_state",), ("another browser's answer in one's own login",)),
        (
            ("login_nonce", "token_expiry"),
            ("an ID token with no nonce; an ID token with another nonce", "an ID token with an expiry that is over"),
        ),
        (
            ("token_signature", "token_audience"),
            ("an ID token with a signature by another key", "an ID token with another client's audience"),
        ),
    ],
)
async def test_login_sees_what_is_broken(well: Twin, sabotages: tuple[str, ...], told: tuple[str, ...]) -> None:
    """Each in a real server in which that does not work; together where they do not meet."""
    async with breaking(well, *sabotages) as ill:
        found = await hold("GW-2.login", ill)
    assert (found.status, [why for why in told if why not in found.why]) == ("fail", []), found.why
