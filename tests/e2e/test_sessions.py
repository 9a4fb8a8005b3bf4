"""Browsers' sessions: a link that works once, a cookie that is no key, and nothing that another website can do."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from golive.config.schema import ServerConfig
from golive.config.transport import SessionsConfig
from golive.core.chance import SystemChance
from golive.gateway.browsers import Browsers
from golive.gateway.cookies import COOKIE, LOCAL_COOKIE
from golive.gateway.listen import HttpServer, bind
from golive.gateway.login_page import PAGE
from golive.tenants.keyring import POLL_S
from golive.tenants.sealed_slips import Link, Session, Slips
from tests.e2e.gateway_kit import PEPPER, Server, serving
from tests.e2e.process_kit import golive, project

SLIPS = Slips(PEPPER)
CONFIG = SessionsConfig(idle_s=1_000, absolute_s=5_000)


class Watched:
    """A clock that stands until it is moved."""

    def __init__(self, now: float) -> None:
        self.at = now

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Place:
    """A gateway with sessions before it, and what a browser would send."""

    def __init__(self, server: Server, browsers: Browsers, clock: Watched) -> None:
        self.server = server
        self.browsers = browsers
        self.clock = clock
        self.http = HttpServer(browsers.before(server.gateway), bind("127.0.0.1", 0))

    @property
    def origin(self) -> str:
        return self.http.url

    def link(self, role: str = "viewer", ttl_s: float = 120.0, name: str = "one") -> str:
        return SLIPS.seal_link(Link("default", name, role, self.clock.now() + ttl_s), SystemChance())

    async def ask(
        self, method: str, path: str, cookie: str = "", headers: Mapping[str, str] | None = None, json: Any = None
    ) -> tuple[int, Any, list[str]]:
        """Status, body, cookies that were set. As a page of this server would ask, unless `headers` says otherwise."""
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"} if headers is None else dict(headers)
        if cookie:
            own["Cookie"] = f"{LOCAL_COOKIE}={cookie}"
        async with (
            aiohttp.ClientSession(self.origin, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.request(method, path, headers=own, json=json) as response,
        ):
            raw = await response.read()
            body = msgspec.json.decode(raw) if raw[:1] == b"{" else raw
            return response.status, body, response.headers.getall("set-cookie", [])

    async def login(self, role: str = "viewer", name: str = "one") -> tuple[str, dict[str, Any]]:
        """A session's cookie, and what the login answered."""
        status, body, (cookie,) = await self.ask("POST", "/login", json={"link": self.link(role, name=name)})
        assert status == 200, body
        return cookie.partition("=")[2].partition(";")[0], body


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    made: list[Browsers] = []
    clock = Watched(0.0)

    def faces(server: Server) -> dict[str, Any]:
        clock.at = server.clock.now()
        browsers = Browsers(
            ServerConfig(sessions=CONFIG), PEPPER, server.keys, server.store.revocations, None, lambda: None,
            server.metrics.registry, clock, SystemChance(), server.log,
        )  # fmt: skip
        made.append(browsers)
        return {"further": browsers.faces}

    async with serving(tmp_path, gateway=faces) as server:
        place = Place(server, made[0], clock)
        await place.http.start()
        try:
            yield place
        finally:
            await place.http.stop()


async def test_a_link_logs_in_and_the_cookie_has_its_role(here: Place) -> None:
    """The cookie reads as a viewer does, may nothing more; it is HttpOnly, SameSite=Strict and ends with the key."""
    status, body, (cookie,) = await here.ask("POST", "/login", json={"link": here.link()})
    assert (status, body["role"], body["tenant"]) == (200, "viewer", "default")
    assert body["expires_at"] == pytest.approx(here.clock.now() + 5_000)
    assert cookie.startswith(f"{LOCAL_COOKIE}=")
    assert cookie.partition(";")[2] == " Path=/; Max-Age=5000; HttpOnly; SameSite=Strict"
    value = cookie.partition("=")[2].partition(";")[0]
    assert (await here.ask("GET", "/v1/runs", value))[0] == 200
    assert (await here.ask("GET", "/docs", value))[0] == 200
    assert (await here.ask("POST", "/v1/agents/support/runs", value, json={"input": "Hi"}))[0] == 403
    runner, _ = await here.login("user", "two")
    assert (await here.ask("POST", "/v1/agents/support/runs", runner, json={"input": "Hi"}))[0] == 200


async def test_over_https_the_cookie_is_secure_and_bound_to_the_host(here: Place) -> None:
    """Behind TLS it is `__Host-`, Secure, without a Domain; over plain HTTP from elsewhere there is no session."""
    headers = {"Host": "agents.example.com", "Origin": "https://agents.example.com"}
    status, _, (cookie,) = await here.ask("POST", "/login", headers=headers, json={"link": here.link()})
    assert status == 200
    assert cookie.startswith(f"{COOKIE}=")
    assert cookie.partition(";")[2] == " Path=/; Max-Age=5000; Secure; HttpOnly; SameSite=Strict"
    headers = {"Host": "agents.example.com", "Origin": "http://agents.example.com"}
    assert (await here.ask("POST", "/login", headers=headers, json={"link": here.link(name="two")}))[0] == 403


async def test_a_link_works_once_on_however_many_servers(here: Place) -> None:
    """Twenty browsers open it at once, at two servers over one store: one is let in."""
    link = here.link()
    other = Place(here.server, here.browsers, here.clock)
    await other.http.start()
    try:
        answers = await asyncio.gather(
            *((here, other)[number % 2].ask("POST", "/login", json={"link": link}) for number in range(20))
        )
    finally:
        await other.http.stop()
    assert sorted(status for status, _, _ in answers) == [200] + [401] * 19
    assert len({body["detail"] for status, body, _ in answers if status == 401}) == 1


@pytest.mark.parametrize("what", ["late", "cut", "changed", "of another pepper", "a session", "an API key", "nothing"])
async def test_links_that_are_none_are_refused_alike(here: Place, what: str) -> None:
    """Too late, damaged, or something else altogether: one answer, and no cookie."""
    whole = here.link()
    link = {
        "late": here.link(ttl_s=-1.0), "cut": whole[:-5],
        "changed": whole[:-8] + ("A" if whole[-8] != "A" else "B") + whole[-7:],
        "of another pepper": Slips(b"q" * 32).seal_link(Link("default", "x", "admin", 9e12), SystemChance()),
        "a session": SLIPS.seal_session(Session("default", "x", "gl_x", 0.0, 9e12), SystemChance()),
        "an API key": here.server.admin, "nothing": "",
    }[what]  # fmt: skip
    status, body, cookies = await here.ask("POST", "/login", json={"link": link})
    assert (status, body["detail"], cookies) == (401, "This link does not work, or not any more.", [])


async def test_neither_link_nor_cookie_is_a_key(here: Place) -> None:
    """As a bearer both are refused, and the cookie holds no key that could be read out of it."""
    cookie, _ = await here.login()
    for secret in (cookie, here.link(name="two")):
        status, _, _ = await here.ask("GET", "/v1/runs", headers={"Authorization": f"Bearer {secret}"})
        assert status == 401
    assert b"gl_" not in base64.urlsafe_b64decode(cookie + "==")


FOREIGN: dict[str, dict[str, str]] = {
    "another site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "another site of ours": {"Origin": "http://other.localhost", "Sec-Fetch-Site": "same-site"},
    "an opaque origin": {"Origin": "null"},
    "an origin that begins alike": {"Origin": "http://127.0.0.1.evil.example"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "a lie about the site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    "nobody says": {},
}


@pytest.mark.parametrize("who", FOREIGN)
async def test_other_websites_change_nothing_with_a_browsers_cookie(here: Place, who: str) -> None:
    """Every unsafe method: 403 with the cookie, whatever the request says of itself, and nothing has happened."""
    cookie, _ = await here.login("admin")
    for method, path, json in (
        ("POST", "/v1/agents/support/runs", {"input": "Hi"}), ("POST", "/v1/keys", {"name": "x"}),
        ("DELETE", "/v1/keys/abcdefgh", None), ("POST", "/logout", None), ("POST", "/v1/nothing", None),
    ):  # fmt: skip
        status, body, _ = await here.ask(method, path, cookie, FOREIGN[who], json)
        assert (status, body["code"]) == (403, "auth.forbidden"), (method, path)
    assert (await here.ask("GET", "/v1/runs", cookie))[1]["data"] == []
    status, _, cookies = await here.ask("POST", "/login", headers=FOREIGN[who], json={"link": here.link(name="two")})
    assert (status, cookies) == (403, [])


async def test_reading_for_another_website_is_a_strangers_request(here: Place) -> None:
    """A GET that another site causes brings nobody in; one typed into the address bar does."""
    cookie, _ = await here.login()
    for headers in (FOREIGN["another site"], FOREIGN["another site of ours"], FOREIGN["an opaque origin"]):
        assert (await here.ask("GET", "/v1/runs", cookie, headers))[0] == 401
    assert (await here.ask("GET", "/v1/runs", cookie, {"Sec-Fetch-Site": "none"}))[0] == 200


async def test_a_credential_in_a_header_stands_above_the_cookie(here: Place) -> None:
    """Who sends a key is who the key says, a wrong one is refused, and needs no origin."""
    cookie, _ = await here.login("viewer")
    for header, value, status in (
        ("Authorization", f"Bearer {here.server.admin}", 200), ("X-Api-Key", here.server.admin, 200),
        ("Authorization", "Bearer wrong", 401), ("X-Api-Key", "", 401),
    ):  # fmt: skip
        body = {"input": "Hi"}
        assert (await here.ask("POST", "/v1/agents/support/runs", cookie, {header: value}, body))[0] == status


async def test_a_session_ends_when_nobody_asks_and_at_its_end(here: Place) -> None:
    """Idle for idle_s it is over; used, it goes on with a renewed cookie; after absolute_s it is over anyway."""
    first, made = await here.login()
    here.clock.at += 40
    assert (await here.ask("GET", "/v1/runs", first))[2] == []
    here.clock.at += 900
    status, _, (renewed,) = await here.ask("GET", "/v1/runs", first)
    assert status == 200
    second = renewed.partition("=")[2].partition(";")[0]
    here.clock.at += 100
    assert (await here.ask("GET", "/v1/runs", first))[0] == 401
    assert (await here.ask("GET", "/v1/runs", second))[0] == 200
    whole = Session("default", made["key"], "gl_any", made["expires_at"] - 1, made["expires_at"])
    here.clock.at = made["expires_at"] + 1
    assert (await here.ask("GET", "/v1/runs", SLIPS.seal_session(whole, SystemChance())))[0] == 401


async def test_logout_ends_the_session_everywhere(here: Place) -> None:
    """The cookie is taken away, and a copy of it opens nothing any more; a second logout has nothing to end."""
    cookie, made = await here.login()
    status, _, cookies = await here.ask("POST", "/logout", cookie)
    assert status == 200
    assert [each.partition(";")[0] for each in cookies] == [f"{COOKIE}=", f"{LOCAL_COOKIE}="]
    status, _, cleared = await here.ask("GET", "/v1/runs", cookie)
    assert (status, len(cleared)) == (401, 2)
    assert (await here.ask("POST", "/logout"))[0] == 401
    rows = {row.id: row for row in await here.server.keys.list("default")}
    assert rows[made["key"]].revoked_at is not None


async def test_a_session_that_is_revoked_is_over_in_less_than_a_second(here: Place) -> None:
    """It is listed as a key, and revoked as one, by a process beside the server."""
    from golive.tenants.keys import KeyAdmin

    cookie, made = await here.login()
    rows = {row.id: row for row in await here.server.keys.list("default")}
    assert (rows[made["key"]].name, rows[made["key"]].created_by) == ("browser session", "link:one")
    beside = KeyAdmin(here.server.store, PEPPER, here.server.clock, SystemChance())
    await beside.revoke("default", made["key"])
    async with asyncio.timeout(1.0):
        while (await here.ask("GET", "/v1/runs", cookie))[0] != 401:
            await asyncio.sleep(0.01)
    assert POLL_S < 1.0


async def test_the_login_page_does_what_it_says_and_nothing_else(here: Place) -> None:
    """Its policy names its one script and style by their hashes; it can ask this server alone, and sends no form."""
    async with aiohttp.ClientSession(here.origin) as http, http.get("/login") as response:
        assert response.status == 200
        policy = dict(
            part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";")
        )
        assert await response.read() == PAGE

    def digest(tag: str) -> str:
        content = PAGE.decode().partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    assert policy == {
        "default-src": "'none'", "base-uri": "'none'", "frame-ancestors": "'none'", "form-action": "'none'",
        "connect-src": "'self'", "style-src": digest("style"), "script-src": digest("script"),
    }  # fmt: skip
    assert (await here.ask("PUT", "/login"))[0] == 401  # as every path that a stranger tries


async def test_damaged_logins_are_told_as_such(here: Place) -> None:
    for body in ([], {"link": 5}, {}, "x"):
        assert (await here.ask("POST", "/login", json=body))[0] == 400
    assert (await here.ask("POST", "/login", json={"link": "a" * 5_000}))[0] == 413


async def test_the_command_makes_a_link_that_the_server_takes(tmp_path: Path) -> None:
    """`golive login-link`, beside a running server: one line on standard output, taken once."""
    async with project(tmp_path) as made:
        await made.serve()
        code, out, err = await golive(tmp_path, "login-link", "--role", "user", "--url", made.url, environ=made.environ)
        assert code == 0, err
        assert "once" in err
        address, _, link = out.strip().partition("#")
        assert address == f"{made.url}/login"
        headers = {"Origin": made.url}
        async with aiohttp.ClientSession(headers=headers) as http:
            for status in (200, 401):
                async with http.post(address, json={"link": link}) as response:
                    assert response.status == status
        events = [line["event"] for line in made.log() if line["event"].startswith("session.")]
        assert events == ["session.begun", "session.refused"]
        assert link not in made.log_path.read_text()
        async with made.client() as keyed, keyed.get("/v1/audit?limit=500") as response:
            rows = [row for row in (await response.json())["data"] if row["verb"].startswith("sessions.")]
        rows.sort(key=lambda row: row["seq"])
        name = rows[0]["name"]
        assert [(row["verb"], row["actor"], row["outcome"]) for row in rows] == [
            ("sessions.link", "cli", "allowed"), ("sessions.link", "cli", "done"),
            ("sessions.begin", f"link:{name}", "done"),
        ]  # fmt: skip
        assert (rows[1]["name"], rows[1]["detail"]) == (name, {"role": "user", "ttl_s": "120"})
        assert (rows[2]["detail"]["role"], rows[2]["source"]) == ("user", "127.0.0.1")
        code, _, err = await golive(tmp_path, "login-link", "--tenant", "nobody", environ=made.environ)
        assert (code, "There is no tenant 'nobody'" in err) == (1, True)
        code, _, err = await golive(tmp_path, "login-link", "--role", "king", environ=made.environ)
        assert code == 1
        assert "king" in err
