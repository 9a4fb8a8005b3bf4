"""The drill on logins passes where each is kept apart from all others, and fails where that is really broken."""

from pathlib import Path

import pytest

from tests.e2e.check_kit import GOLIVE, PRICES, hold, project, twin_of


async def test_login_passes_where_each_is_bound(tmp_path: Path) -> None:
    """With numbers, and without a cookie in the evidence."""
    async with twin_of(project(tmp_path / "well")) as well:
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
    ("sabotage", "why"),
    [
        ("login_replay", "wrong: an answer that was used"),
        ("login_browser", "another browser's answer"),
        ("login_state", "another browser's answer in one's own login"),
        ("login_nonce", "an ID token with no nonce; an ID token with another nonce"),
        ("login_pkce", "codes changed without proof of PKCE"),
        ("login_redirect", "a login that leads to https://evil.example"),
        ("login_foreign", "a login that another website begins"),
        ("login_logout", "a copy of the cookie works after the logout"),
        ("token_signature", "an ID token with a signature by another key"),
        ("token_audience", "an ID token with another client's audience"),
        ("token_expiry", "an ID token with an expiry that is over"),
    ],
)
async def test_login_sees_what_is_broken(tmp_path: Path, sabotage: str, why: str) -> None:
    """Each in a real server in which that one thing does not work."""
    async with twin_of(project(tmp_path / "ill"), sabotage) as ill:
        found = await hold("GW-2.login", ill)
    assert (found.status, why in found.why) == ("fail", True), found.why
