"""Do people log in with an issuer as themselves, and does nobody get a session by anything else?

The issuer is the drill's own, and the browsers are requests with the cookies that the server gave them: what is tried
is how golive keeps one login apart from all others.
"""

import re
from contextlib import AsyncExitStack
from typing import NamedTuple
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from golive.checklist.http import Reply
from golive.checklist.login_issuer import CLIENT, THIEF, LoginIssuer, login_issuing
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin

SECTION = "GOLIVE_AUTH__OIDC__DRILL__"
_SESSION = re.compile(r"(?:__Host-golive|golive-session)=[^;,\s]+")
_UNDER_WAY = re.compile(r"(?:__Host-golive-login|golive-login)=[^;,\s]+")
_OWN = {"Sec-Fetch-Site": "same-origin"}
MOST_TOLD = 5


class Begun(NamedTuple):
    """A login under way: where the browser is sent, and what it was given to keep."""

    reply: Reply
    address: str
    cookie: str


@check(
    "GW-2.login",
    row="GW-2",
    title="People log in with their issuer as themselves; replayed, foreign, changed and forged answers log nobody in",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "golive"},
    where="own",
    remediation="Report it: golive's login is broken. Until then remove `client_id` from [auth.oidc.NAME].",
    references=("OpenID Connect Core 1.0", "RFC 9700", "RFC 7636"),
)
async def logins_are_bound(target: Target) -> Result:
    """A twin with the drill's issuer: a good login, then each way in that must be none, then the end of the session."""
    found = Finding("the good login is let in, as who it is; 0 sessions by anything else")
    if not target.twin.loaded.config.server.sessions.enabled:
        return found.unknown("server.sessions.enabled is false: no browser logs in")
    async with login_issuing(target.clock) as issuer, AsyncExitStack() as stack:
        settings = {"ISSUER": issuer.url, "AUDIENCE": "an-api", "CLIENT_ID": CLIENT, "ROLE": "viewer"}
        given = {f"{SECTION}{name}": value for name, value in settings.items()}
        twin = await target.twin.configured(given)
        stack.push_async_callback(twin.end)
        begun = await _begin(twin)
        if begun is None:
            return found.failed("a login is not begun: the browser is not sent to the issuer with a login to keep")
        answer = issuer.grant(begun.address, "drill")
        reply = await _back(twin, answer, begun.cookie)
        session = _session(reply)
        found.saw(twin.http.evidence(reply, "the good login"))
        if session is None or (await _ask(twin, session)).status != 200:
            return found.failed(f"a good login gives no session (HTTP {reply.status})")
        opened = _weak(begun) + await _attacks(found, twin, issuer, answer, begun.cookie)
        if issuer.unproved:
            opened.append(f"{issuer.unproved} codes changed without proof of PKCE")
        opened += await _end(twin, session)
        found.measured += f"; {len(opened)} let in"
        if opened:
            more = "" if len(opened) <= MOST_TOLD else f"; and {len(opened) - MOST_TOLD} more"
            return found.failed(f"wrong: {'; '.join(opened[:MOST_TOLD])}{more}")
        return found.passed()


async def _attacks(found: Finding, twin: Twin, issuer: LoginIssuer, used: str, used_cookie: str) -> list[str]:
    """Each that got a session, or was sent on."""
    opened: list[str] = []
    tries = [("an answer that was used", used, used_cookie)]
    mine, theirs = await _begun(twin), await _begun(twin)
    foreign = issuer.grant(theirs.address, THIEF)
    tries += [
        ("another browser's answer", foreign, ""),
        ("another browser's answer in one's own login", foreign, mine.cookie),
        ("a login without state", _changed(issuer.grant(mine.address, "drill"), state=""), mine.cookie),
        ("a stolen code in one's own login", _swapped(issuer, mine, theirs), mine.cookie),
    ]
    fresh = await _begun(twin)
    named = _changed(issuer.grant(fresh.address, "drill"), iss="https://issuer.example.com")
    tries.append(("an answer that names another issuer", named, fresh.cookie))
    for what, address, cookie in tries:
        reply = await _back(twin, address, cookie)
        if _session(reply) is not None or reply.status < 400:
            opened.append(what)
            found.saw(twin.http.evidence(reply, what))
    makes = issuer.bad_makes()
    for what, make in makes:
        each = await _begun(twin)
        issuer.make = make
        reply = await _back(twin, issuer.grant(each.address, "drill"), each.cookie)
        issuer.make = None
        if _session(reply) is not None or reply.status < 400:
            opened.append(f"an ID token with {what}")
            found.saw(twin.http.evidence(reply, what))
    foreign_start = await twin.http.send("GET", _start(twin), headers={"Sec-Fetch-Site": "cross-site"})
    if foreign_start.status < 400:
        opened.append("a login that another website begins")
    for then in ("https://evil.example", "//evil.example", "/\\evil.example"):
        reply = await twin.http.send("GET", f"{_start(twin)}?{urlencode({'next': then})}")
        if reply.status < 400:
            opened.append(f"a login that leads to {then}")
    found.measured = f"a good login, then {len(tries)} answers, {len(makes)} ID tokens and 4 beginnings that are none"
    return opened


def _weak(begun: Begun) -> list[str]:
    """What the request to the issuer lacks."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.address).query).items()}
    lacking = [name for name in ("state", "nonce", "code_challenge") if len(asked.get(name, "")) < 22]
    if asked.get("code_challenge_method") != "S256":
        lacking.append("PKCE by S256")
    return [f"no {name} goes to the issuer" for name in lacking]


async def _end(twin: Twin, session: str) -> list[str]:
    """What is wrong with a session's end: another website must not bring it about, and after it nothing is left."""
    wrong = []
    foreign = {"Cookie": session, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    await twin.http.send("POST", f"{twin.url}/logout", headers=foreign)
    if (await _ask(twin, session)).status != 200:
        wrong.append("another website logs people out")
    own = {"Cookie": session, "Origin": twin.url, **_OWN}
    await twin.http.send("POST", f"{twin.url}/logout", headers=own)
    if (await _ask(twin, session)).status != 401:
        wrong.append("a copy of the cookie works after the logout")
    return wrong


def _start(twin: Twin) -> str:
    return f"{twin.url}/login/start/drill"


async def _begin(twin: Twin) -> Begun | None:
    reply = await twin.http.send("GET", _start(twin), headers=_OWN)
    cookie = _UNDER_WAY.search(reply.headers.get("set-cookie", ""))
    address = reply.headers.get("location", "")
    if reply.status not in (302, 303) or cookie is None or not address:
        return None
    twin.http.conceal(cookie[0].partition("=")[2], "$LOGIN_UNDER_WAY")
    return Begun(reply, address, cookie[0])


async def _begun(twin: Twin) -> Begun:
    """As `_begin`, once it is known that it works."""
    found = await _begin(twin)
    assert found is not None
    return found


async def _back(twin: Twin, address: str, cookie: str) -> Reply:
    headers = {"Sec-Fetch-Site": "cross-site"} | ({"Cookie": cookie} if cookie else {})
    return await twin.http.send("GET", address, headers=headers)


async def _ask(twin: Twin, session: str) -> Reply:
    twin.http.conceal(session.partition("=")[2], "$SESSION")
    return await twin.http.send("GET", f"{twin.url}/v1/agents", headers={"Cookie": session, **_OWN})


def _session(reply: Reply) -> str | None:
    found = _SESSION.search(reply.headers.get("set-cookie", ""))
    return None if found is None else found[0]


def _changed(address: str, **fields: str) -> str:
    """The address with other fields; "" takes one away."""
    place, _, query = address.partition("?")
    told = {name: value for name, value in (dict(parse_qsl(query)) | fields).items() if value}
    return f"{place}?{urlencode(told)}"


def _swapped(issuer: LoginIssuer, mine: Begun, theirs: Begun) -> str:
    """One's own answer, with the code of another's."""
    code = dict(parse_qsl(urlsplit(issuer.grant(theirs.address, THIEF)).query))["code"]
    return _changed(issuer.grant(mine.address, "drill"), code=code)
