"""Logins at a real issuer: what its errors look like to people, what ends a session, what a proxy changes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from golive.gateway.cookies import COOKIE, LOCAL_COOKIE, PENDING
from tests.browser_kit import browser
from tests.e2e.login_kit import NOT_BEGUN, answer_of, log_in_at, logged, nobody, reasons, section
from tests.e2e.process_kit import RUNS, Project, golive, project
from tests.oidc_kit import Provider, provider


@pytest.fixture
def issuer() -> Any:
    with provider() as found:
        yield found


@pytest.fixture
async def served(tmp_path: Path, issuer: Provider) -> AsyncIterator[Project]:
    async with log_in_at(tmp_path, issuer) as made:
        yield made


async def test_the_issuers_errors_are_told_in_plain_words(served: Project, issuer: Provider) -> None:
    """And only where they answer a login of this browser's; what they say exactly is not repeated to it."""
    cases = {
        "access_denied": (403, "corp says that access was denied. Begin again, or ask who runs it for access."),
        "temporarily_unavailable": (503, "corp is overloaded or under repair. Try again in a while."),
        "invalid_scope": (
            502,
            "corp did not accept how this server asked. Its operator finds in the log what is wrong.",
        ),
        "<script>": (502, "corp did not accept how this server asked. Its operator finds in the log what is wrong."),
    }
    for error, (status, said) in cases.items():
        async with browser() as there:
            address = await answer_of(there, served, issuer)
            state = parse_qs(urlsplit(address).query)["state"][0]
            more = {"error": error, "state": state, "error_description": "<b>Call 0900-EVIL</b>"}
            page = await there.go(f"{served.url}/login/callback/corp?{urlencode(more)}")
            await nobody(there, served, page, status, said)
            assert "EVIL" not in page.text
            assert "<script>" not in page.text
            stranger = await there.go(f"{served.url}/login/callback/corp?{urlencode(more | {'state': 'x'})}")
            assert stranger.said == NOT_BEGUN
    assert "access_denied: <b>Call 0900-EVIL</b>" in logged(served, "session.refused")[0]["detail"]


async def test_an_issuer_that_is_away_keeps_nobody_waiting(served: Project, issuer: Provider) -> None:
    """The page says so; sessions that there are go on."""
    async with browser() as there, browser() as other:
        await there.log_in(f"{served.url}/login/start/corp", "alice")
        address = await answer_of(other, served, issuer)
        issuer.stop()
        page = await other.go(address)
        await nobody(other, served, page, 503, "corp does not answer as it should. Try again in a while.")
        assert (await there.go(f"{served.url}/v1/agents")).status == 200


async def test_who_is_revoked_has_no_session_any_more(served: Project, issuer: Provider) -> None:
    """`golive auth revoke --user` ends the sessions that began with that user's tokens, and no others."""
    await issuer.user("bob", groups=["golive-users"])
    async with browser() as alice, browser() as bob:
        await alice.log_in(f"{served.url}/login/start/corp", "alice")
        await bob.log_in(f"{served.url}/login/start/corp", "bob")
        code, _, err = await golive(served.root, "auth", "revoke", "--user", "alice", environ=served.environ)
        assert code == 0, err
        async with asyncio.timeout(2):
            while (await alice.go(f"{served.url}/v1/agents")).status != 401:
                await asyncio.sleep(0.02)
        assert (await bob.go(f"{served.url}/v1/agents")).status == 200


async def test_behind_a_proxy_the_public_address_counts(tmp_path: Path, issuer: Provider) -> None:
    """The issuer sends people back to server.public_url, cookies are Secure and `__Host-`, and neither Host nor what a
    proxy forwards has a say."""
    public = "https://agents.example.com"
    more = f'public_url = "{public}"\n\n' + section(issuer.issuer)
    async with project(tmp_path) as served, browser() as there:
        path = tmp_path / "golive.toml"
        path.write_text(path.read_text().replace("[server]\n", f"[server]\n{more.partition(chr(10))[0]}\n"))
        path.write_text(path.read_text() + section(issuer.issuer))
        served.environ["CLIENT_SECRET"] = "s3cret"
        await served.serve()
        await issuer.user("alice", groups=["golive-users"])
        headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "X-Forwarded-Proto": "http"}
        async with there.http.get(
            f"{served.url}/login/start/corp", headers={**headers, "Host": "evil.example"}, allow_redirects=False
        ) as answer:
            location, given = answer.headers["Location"], answer.headers["Set-Cookie"]
        assert parse_qs(urlsplit(location).query)["redirect_uri"] == [f"{public}/login/callback/corp"]
        assert given.startswith(f"{PENDING}=")
        assert given.endswith("; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax")
        back = await there.log_in(location, "alice", stop=public)
        async with there.http.get(
            back.url.replace(public, served.url), headers={"Cookie": given.partition(";")[0]}
        ) as answer:
            cookies = answer.headers.getall("Set-Cookie")
        [session] = [cookie for cookie in cookies if cookie.startswith(f"{COOKIE}=") and "Max-Age=0" not in cookie]
        assert session.endswith("; Secure; HttpOnly; SameSite=Strict")
        kept = {"Cookie": session.partition(";")[0]}
        for origin, status in ((public, 200), (served.url, 403), ("https://evil.example", 403)):
            own = {**kept, "Origin": origin, "Sec-Fetch-Site": "same-origin"}
            async with there.http.post(f"{served.url}{RUNS}", json={"input": "Hi"}, headers=own) as answer:
                assert answer.status == status, origin


async def test_who_is_suspended_gets_no_session(served: Project, issuer: Provider) -> None:
    """The page says whose affair that is, the audit log who it was; a session that there is opens nothing more."""
    async with browser() as there, browser() as again:
        await there.log_in(f"{served.url}/login/start/corp", "alice")
        assert (await there.go(f"{served.url}/v1/agents")).status == 200
        code, _, err = await golive(served.root, "users", "suspend", "alice", environ=served.environ)
        assert code == 0, err
        async with asyncio.timeout(2):
            while (await there.go(f"{served.url}/v1/agents")).status != 403:
                await asyncio.sleep(0.02)
        page = await again.log_in(f"{served.url}/login/start/corp", "alice")
        assert (page.status, page.said.partition(".")[0]) == (403, "This user is not let in")
        assert not any(cookie.startswith(LOCAL_COOKIE) for cookie in page.cookies)
        async with served.client() as http, http.get("/v1/audit?limit=500") as answer:
            rows = [row for row in (await answer.json())["data"] if row["verb"] == "sessions.begin"]
        assert [(row["actor"], row["outcome"]) for row in sorted(rows, key=lambda row: row["seq"])] == [
            ("user:alice", "done"),
            ("user:alice", "denied"),
        ]


async def test_who_is_not_where_a_session_was_begun_makes_no_tenant(tmp_path: Path, issuer: Provider) -> None:
    """A tenant that a claim names, and nobody made: no session, no key."""
    settings = section(issuer.issuer).replace('user_prefix = ""', 'tenant_claim = "org"')
    async with project(tmp_path, settings) as served, browser() as there:
        served.environ["CLIENT_SECRET"] = "s3cret"
        await served.serve()
        await issuer.user("alice", groups=["golive-users"], org="ghost")
        page = await there.log_in(f"{served.url}/login/start/corp", "alice")
        assert page.status in (403, 404)
        assert page.said
        assert not any(cookie.startswith(LOCAL_COOKIE) for cookie in page.cookies)
        assert reasons(served) == ["no_role"]
