"""Logging in with an OpenID Connect issuer: a real provider, a real server, a browser that follows redirects."""

import asyncio
import base64
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import pytest_asyncio

from golive.gateway.cookies import LOCAL_COOKIE, LOCAL_PENDING
from tests.browser_kit import browser
from tests.e2e.login_kit import NOT_BEGUN, UNBELIEVED, answer_of, log_in_at, logged, nobody, reasons, section
from tests.e2e.process_kit import RUNS, Project, project
from tests.oidc_kit import Provider, provider

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def lasting() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory, lasting: Provider) -> AsyncIterator[Project]:
    async with log_in_at(tmp_path_factory.mktemp("standing"), lasting) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def second(tmp_path_factory: pytest.TempPathFactory, lasting: Provider) -> AsyncIterator[Project]:
    async with log_in_at(tmp_path_factory.mktemp("second"), lasting) as made:
        yield made


@pytest.fixture
def issuer(lasting: Provider) -> Provider:
    """The issuer of all, as new: it has been asked nothing, and its tokens say what is so."""
    lasting.alter, lasting.forge, lasting.answer = None, False, None
    lasting.asked.clear()
    lasting.forms.clear()
    return lasting


@pytest.fixture
def served(standing: Project, issuer: Provider) -> Project:
    """The server of all, with an empty log."""
    os.truncate(standing.log_path, 0)
    return standing


@pytest.fixture
def wary(second: Project, issuer: Provider) -> Project:
    """Another such server: of one, a minute's first twenty refusals are told in its log."""
    os.truncate(second.log_path, 0)
    return second


@pytest_asyncio.fixture(loop_scope="module")
async def alone(tmp_path: Path, issuer: Provider) -> AsyncIterator[Project]:
    """A server at which nobody has logged in before."""
    async with log_in_at(tmp_path, issuer) as made:
        yield made


# ---- the way it is meant ---------------------------------------------------------------------------------------------


async def test_a_person_logs_in_and_is_who_the_issuer_says(served: Project, issuer: Provider) -> None:
    """From the login page, through the issuer's form, to the page that was wanted: with the roles that the claims map
    to, and under the person's own name."""
    async with browser() as there:
        start = await there.go(f"{served.url}/login?next=/v1/agents")
        assert 'href="/login/start/corp?next=%2Fv1%2Fagents">Log in with corp</a>' in start.text
        page = await there.log_in(f"{served.url}/login/start/corp?next=%2Fv1%2Fagents", "alice")
        assert (page.status, urlsplit(page.url).path) == (200, "/login/callback/corp")
        there_now = await there.follow(page)
        assert (there_now.url, there_now.status) == (f"{served.url}/v1/agents", 200)
        assert (await there.go(f"{served.url}/v1/keys")).status == 403
        headers = {"Origin": served.url, "Sec-Fetch-Site": "same-origin"}
        served.script("sim-talk", text="Good morning.")
        async with there.http.post(f"{served.url}{RUNS}", json={"input": "Hi"}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        async with served.client() as http, http.get("/v1/runs") as answer:
            assert [run["principal"] for run in (await answer.json())["data"]] == ["user:alice"]


async def test_what_is_asked_of_the_issuer_is_bound_to_this_login(served: Project, issuer: Provider) -> None:
    """Code flow, PKCE by S256, a state and a nonce that nobody can guess, the secret in the header; none is used twice,
    and none stands in the cookie or the log."""
    seen: list[dict[str, list[str]]] = []
    async with browser() as there:
        for _ in range(2):
            page = await there.log_in(f"{served.url}/login/start/corp", "alice")
            assert page.status == 200
            sent = next(url for url in reversed(there.trail) if "/oauth2/authorize?" in url)
            seen.append(parse_qs(urlsplit(sent).query))
    asked, again = seen
    assert asked["response_type"] == ["code"]
    assert asked["scope"] == ["openid profile"]
    assert asked["redirect_uri"] == [f"{served.url}/login/callback/corp"]
    assert asked["code_challenge_method"] == ["S256"]
    verifier = issuer.forms[0]["code_verifier"]
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert (asked["code_challenge"], len(verifier)) == ([digest], 43)
    assert "client_secret" not in issuer.forms[0]
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[name][0]) == 43
        assert asked[name] != again[name]
    log = served.log_path.read_text()
    assert not any(secret in log for secret in (verifier, asked["state"][0], asked["nonce"][0], "s3cret and more"))


async def test_the_cookies_are_for_this_host_and_no_script(served: Project, issuer: Provider) -> None:
    """The login under way is Lax, ten minutes, gone after it was used; the session is Strict, and neither is readable
    by whoever has it."""
    async with browser() as there:
        start = await there.go(f"{served.url}/login/start/corp", stop=issuer.issuer)
        [under_way] = start.cookies
        name, _, rest = under_way.partition("=")
        assert (name, rest.partition(";")[2]) == (LOCAL_PENDING, " Path=/; Max-Age=600; HttpOnly; SameSite=Lax")
        asked = parse_qs(urlsplit(start.url).query)
        assert asked["nonce"][0].encode() not in base64.urlsafe_b64decode(rest.partition(";")[0] + "===")
        page = await there.log_in(f"{served.url}/login/start/corp", "alice")
        given = {cookie.partition("=")[0]: cookie.partition(";")[2] for cookie in page.cookies}
        for_s = re.fullmatch(r" Path=/; Max-Age=(\d+); HttpOnly; SameSite=Strict", given[LOCAL_COOKIE])
        assert for_s is not None, given
        assert 43_190 <= int(for_s[1]) <= 43_200  # less what a busy machine takes from the beginning to the answer
        assert given[LOCAL_PENDING] == " Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        assert LOCAL_PENDING not in there.cookies(served.url)


async def test_several_roles_count_and_it_is_all_recorded(alone: Project, issuer: Provider) -> None:
    """`golive keys list` shows the session as the person's; the audit log has its beginning and end with names."""
    await issuer.user("bob", groups=["golive-users", "golive-ops"])
    async with browser() as there:
        await there.log_in(f"{alone.url}/login/start/corp", "bob")
        assert (await there.go(f"{alone.url}/v1/keys")).status == 200  # which operators may
        async with alone.client() as http:
            async with http.get("/v1/keys") as answer:
                [key] = [row for row in (await answer.json())["data"] if row["name"] == "browser session"]
            assert (key["role"], key["scopes"]) == ("user+operator", ["as:bob"])
            headers = {"Origin": alone.url, "Sec-Fetch-Site": "same-origin"}
            copy = there.cookies(alone.url)
            async with there.http.post(f"{alone.url}/logout", headers=headers) as answer:
                assert answer.status == 200
                place = (await answer.json())["end_session"]
            assert place == f"{issuer.issuer}/oauth2/end_session?client_id=golive-web"  # the issuer's own goes on
            assert (await there.go(place)).status == 200
            there.take(alone.url, copy)
            assert (await there.go(f"{alone.url}/v1/agents")).status == 401, "a copy of the cookie opens nothing more"
            async with http.get("/v1/audit?limit=500") as answer:
                rows = [row for row in (await answer.json())["data"] if row["kind"] == "session"]
            told = [(row["verb"], row["actor"], row["name"], row["outcome"], row["route"]) for row in rows]
            assert sorted(told) == [
                (
                    "sessions.begin",
                    "user:bob",
                    key["id"] if False else told[0][2],
                    "done",
                    "GET /login/callback/{issuer}",
                ),
                ("sessions.end", "user:bob", key["id"], "done", "POST /logout"),
            ]
            async with http.get("/metrics") as answer:
                assert 'golive_logins_total{outcome="begun",via="corp"} 1.0' in await answer.text()


# ---- what must not work ----------------------------------------------------------------------------------------------


async def test_an_answer_counts_once(served: Project, issuer: Provider) -> None:
    """Opened again, in the same browser with the cookie that it had then: refused, and the issuer is not even asked."""
    async with browser() as there, browser() as copy:
        address = await answer_of(there, served, issuer)
        copy.take(served.url, there.cookies(served.url))
        assert (await there.go(address)).status == 200
        asked = issuer.asked.count("/oauth2/token")
        await nobody(copy, served, await copy.go(address), 400, NOT_BEGUN)
        assert issuer.asked.count("/oauth2/token") == asked
    assert reasons(served) == ["used"]


async def test_of_many_at_once_one_is_let_in(served: Project, issuer: Provider) -> None:
    async with browser() as there:
        address = await answer_of(there, served, issuer)
        pages = await asyncio.gather(*(there.go(address) for _ in range(8)))
    assert sorted(page.status for page in pages) == [200] + [400] * 7


async def test_another_browsers_answer_logs_nobody_in(served: Project, issuer: Provider) -> None:
    """An attacker's own answer, put before somebody else (CSRF on login): whether that browser has no login under way,
    or one of its own, it is not logged in as the attacker."""
    await issuer.user("mallory", groups=["golive-users"])
    async with browser() as attacker, browser() as victim:
        for begun in (False, True):
            address = await answer_of(attacker, served, issuer, "mallory")
            if begun:
                await victim.go(f"{served.url}/login/start/corp", stop=issuer.issuer)
            await nobody(victim, served, await victim.go(address, site="cross-site"), 400, NOT_BEGUN)
    assert reasons(served) == ["no_cookie", "state"]


async def test_a_stolen_code_is_of_no_use(served: Project, issuer: Provider) -> None:
    """Put into a login of the thief's own, with the thief's state: the token that comes of it has another's nonce."""
    async with browser() as victim, browser() as thief:
        stolen = parse_qs(urlsplit(await answer_of(victim, served, issuer)).query)["code"][0]
        own = await answer_of(thief, served, issuer, "mallory")
        fields = dict(parse_qsl(urlsplit(own).query)) | {"code": stolen}
        page = await thief.go(f"{own.partition('?')[0]}?{urlencode(fields)}")
        await nobody(thief, served, page, 401, UNBELIEVED)
    assert reasons(served) == ["nonce"]


@pytest.mark.parametrize("change", ["no state", "another state", "two states", "no code", "nothing", "late", "an iss"])
async def test_an_answer_that_was_changed_is_refused(served: Project, issuer: Provider, change: str) -> None:
    """Always in the same words."""
    async with browser() as there:
        address = await answer_of(there, served, issuer)
        place, _, query = address.partition("?")
        fields = parse_qsl(query)
        changed = {
            "no state": [(name, value) for name, value in fields if name != "state"],
            "another state": [(name, value[::-1] if name == "state" else value) for name, value in fields],
            "two states": [*fields, ("state", "x")],
            "no code": [(name, value) for name, value in fields if name != "code"],
            "nothing": [], "late": fields, "an iss": [*fields, ("iss", "https://evil.example")],
        }[change]  # fmt: skip
        if change == "late":
            jar = {LOCAL_PENDING: there.cookies(served.url)[LOCAL_PENDING][:-4] + "AAAA"}
            there.take(served.url, jar)
        page = await there.go(f"{place}?{urlencode(changed)}")
        await nobody(there, served, page, 400, NOT_BEGUN)


async def test_of_two_issuers_neither_answers_for_the_other(tmp_path: Path, issuer: Provider) -> None:
    """The mix-up attack: an answer at another issuer's address, and another issuer's code at the right address."""
    with provider() as other:
        settings = section(issuer.issuer, "corp", "corp:") + section(other.issuer, "other", "other:")
        async with project(tmp_path, settings) as served, browser() as there:
            served.environ["CLIENT_SECRET"] = "s3cret"
            await served.serve()
            for each in (issuer, other):
                await each.user("alice", groups=["golive-users"])
            address = await answer_of(there, served, issuer)
            moved = address.replace("/callback/corp", "/callback/other")
            await nobody(there, served, await there.go(moved), 400, NOT_BEGUN)
            assert "/oauth2/token" not in other.asked, "no code is shown to whom it is not of"
            own = parse_qs(urlsplit(await answer_of(there, served, issuer)).query)["state"][0]
            theirs = await other.login("alice")  # whatever it gives away, it is no answer of corp's
            page = await there.go(
                f"{served.url}/login/callback/corp?{urlencode({'state': own, 'code': theirs['id_token']})}"
            )
            said = "corp did not accept the answer that your browser brought. Begin again."
            await nobody(there, served, page, 401, said)
            page = await there.log_in(f"{served.url}/login/start/other", "alice")
            assert page.status == 200
            assert reasons(served) == ["mixed_up", "code_refused"]
            [begun] = logged(served, "session.begun")
            assert (begun["actor"], begun["via"]) == ("user:other:alice", "other")


def _without(name: str) -> Any:
    return lambda claims: {key: value for key, value in claims.items() if key != name}


def _with(**others: Any) -> Any:
    return lambda claims: claims | others


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (_without("nonce"), "nonce"), (_with(nonce="n" * 43), "nonce"), (_with(nonce=["x"]), "nonce"),
        (_with(aud="an-api"), "audience"), (_with(aud=["golive-web", "x"]), "party"), (_with(azp="other"), "party"),
        (_with(iss="https://evil.example"), "issuer"), (_with(exp=1), "expired"), (_with(sub=None), "user"),
        (_with(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "at_hash"), (_with(typ="Bearer"), "type"),
        (_with(groups=[]), "no_role"),
    ],
)  # fmt: skip
async def test_an_id_token_that_is_not_this_logins_is_refused(
    wary: Project, issuer: Provider, alter: Any, reason: str
) -> None:
    """Signed by the issuer itself, and still none that answers this login."""
    issuer.alter = alter
    async with browser() as there:
        page = await there.log_in(f"{wary.url}/login/start/corp", "alice")
        if reason == "no_role":
            known = "You are known, and your account may do nothing here. Ask golive&#x27;s administrator for a role."
            await nobody(there, wary, page, 403, known)
        else:
            await nobody(there, wary, page, 401, UNBELIEVED)
    assert reasons(wary) == [reason]


async def test_a_forged_id_token_is_refused(wary: Project, issuer: Provider) -> None:
    """By another key, under the issuer's key id; and no token at all."""
    issuer.forge = True
    async with browser() as there:
        page = await there.log_in(f"{wary.url}/login/start/corp", "alice")
        await nobody(there, wary, page, 401, UNBELIEVED)
        issuer.forge, issuer.answer = False, {"access_token": "x", "token_type": "Bearer"}
        page = await there.log_in(f"{wary.url}/login/start/corp", "alice")
        await nobody(there, wary, page, 502, "corp sent no ID token. Its operator finds in the log what is wrong.")
    assert reasons(wary) == ["signature", "no_id_token"]


async def test_no_website_makes_a_browser_log_in(served: Project, issuer: Provider) -> None:
    """A login that another website begins is not begun; one from the address bar or our own page is."""
    async with browser() as there:
        for site in ("cross-site", "same-site"):
            page = await there.go(f"{served.url}/login/start/corp", site=site)
            words = "Another website sent you here to log in. Log in from here, if that is what you want."
            assert (page.status, page.said, page.cookies) == (403, words, [])
        assert issuer.asked.count("/oauth2/authorize") == 0
        assert (await there.go(f"{served.url}/login/start/nobody")).status == 404


@pytest.mark.parametrize(
    "then",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "evil", "javascript:alert(1)",
     "/docs\r\nX: y", "/\t/evil.example", "/login", "/logout", "/" + "a" * 600],
)  # fmt: skip
async def test_nobody_is_sent_elsewhere_after_a_login(served: Project, issuer: Provider, then: str) -> None:
    async with browser() as there:
        page = await there.go(f"{served.url}/login/start/corp?{urlencode({'next': then})}")
        said = "The page to go to after the login is none of this server&#x27;s. Log in without it."
        assert (page.status, page.said, page.cookies) == (400, said, [])
        assert issuer.asked.count("/oauth2/authorize") == 0
        shown = await there.go(f"{served.url}/login?{urlencode({'next': then})}")
        assert 'href="/login/start/corp">' in shown.text
