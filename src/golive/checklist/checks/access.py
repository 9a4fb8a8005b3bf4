"""Does a role reach only what is its own? Every endpoint with every role, keys with scopes, keys that make keys.

The endpoints and the verbs they take come from the server's own description, so that later ones are asked unasked. What
a role may is golive's own table (`tenants/roles.py`) in the golive that checks, not what the server says of itself.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from golive.checklist.http import Reply
from golive.checklist.neighbours import made_key, until
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.core.tasks import Tasks
from golive.tenants.authorize import INSTALLATION, Principal, Resource, authorize
from golive.tenants.rolebook import Rolebook
from golive.tenants.roles import Verb

LOGIN = ("/login", "/login/start/{issuer}", "/login/callback/{issuer}", "/logout")
PUBLIC = frozenset({"/health/live", "/health/ready", *LOGIN})
AT_ONCE = 8
MOST_TOLD = 6
REFUSED = (401, 403)
LIFE_S = 600.0
"""How long keys of a check work, should nobody end them."""
ACROSS = "platform"
"""The role that acts across tenants."""
NOBODY = "golive-check-nobody"
"""The name of an agent that there is not."""
HARMLESS = {"golive_check": "a body that nobody takes"}
"""Whoever gets in is refused for this: a check on a server in use must not do what it asks for."""
_METHODS = ("get", "post", "put", "patch", "delete")
_NAMED = ("{agent}", "{run}", "{model}", "{id}", "{name}")


class Endpoint(NamedTuple):
    """One operation of the server's description; `verbs` is None where it declares none."""

    method: str
    path: str
    verbs: tuple[Verb, ...] | None

    @property
    def named(self) -> bool:
        """Whether its path names a thing, of which a limited role may be allowed some."""
        return any(name in self.path for name in _NAMED)


class Keys:
    """Keys made for a check, and ended with it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._made: list[str] = []
        self._across: list[str] = []

    async def make(self, role: str, *scopes: str, by: str = "", seconds: float = LIFE_S) -> tuple[Reply, str]:
        """Asks for a key, with the target's own or with `by`: the answer, and the key ("" where there is none)."""
        body = {"name": "golive check", "role": role, "scopes": scopes, "expires_in_s": seconds}
        reply = await ask(self._target, by or self._target.key, "POST", "/v1/keys", body)
        found = reply.json()
        if reply.status != 201 or not isinstance(found, dict):
            return reply, ""
        self._made.append(str(found["id"]))
        self._target.http.conceal(str(found["key"]), f"$KEY_OF_{role.upper()}")
        return reply, str(found["key"])

    async def across(self, twin: Twin) -> str:
        """A key of the role that no admin can make one of: on the twin's store, as whoever has the machine makes it."""
        key = await made_key(twin, "", ACROSS, "golive check")
        self._across.append(key)
        twin.http.conceal(key, f"$KEY_OF_{ACROSS.upper()}")
        await until(twin, key)
        return key

    async def end(self) -> None:
        """Revokes them all; those that act across by themselves, for an admin cannot."""
        for key in self._across:
            await ask(self._target, key, "DELETE", f"/v1/keys/{key[3:11]}")
        for key_id in self._made:
            await self._target.send("DELETE", f"/v1/keys/{key_id}")


@asynccontextmanager
async def keys_of(target: Target) -> AsyncIterator[Keys]:
    """Keys for the time of a block."""
    keys = Keys(target)
    try:
        yield keys
    finally:
        await keys.end()


async def ask(target: Target, key: str, method: str, path: str, body: object = None, **headers: str) -> Reply:
    """One request with a key."""
    given = {"Authorization": f"Bearer {key}", **headers}
    return await target.http.send(method, target.url + path, headers=given, body=body)


# ---- every endpoint x every role -------------------------------------------------------------------------------------


@check(
    "GW-3.routes",
    row="GW-3",
    title="Every endpoint opens to exactly the roles whose verbs it asks for, own roles included",
    phase="security",
    severity="blocker",
    needs={"golive"},
    remediation="Give each route the verb it needs; let nothing answer but behind the one door that authorises.",
    references=("OWASP API5:2023", "OWASP API1:2023"),
    timeout_s=120.0,
)
async def routes_open_by_role(target: Target) -> Result:
    """Keys of every role ask every endpoint of the OpenAPI document, in a way that does nothing where it is let in."""
    found = Finding("0 wrong")
    endpoints = await endpoints_of(target, found)
    if not endpoints:
        return found.unknown("the server describes no endpoints at /openapi.json")
    bare = [f"{each.method} {each.path}" for each in endpoints if not each.verbs]
    if bare:
        return found.failed(f"declared without any permission: {'; '.join(bare[:MOST_TOLD])}")
    in_twin = "inject" in target.handles
    book, wrong, asked = Rolebook(target.twin.loaded.config.roles if in_twin else {}), [], 0
    roles = [role for role in book.roles if in_twin or role != ACROSS]
    async with keys_of(target) as keys:
        for role in roles:
            if role == ACROSS:
                key = await keys.across(target.twin)
            else:
                reply, key = await keys.make(role)
            if not key:
                found.saw(target.http.evidence(reply, f"a key of the role {role}"))
                return found.unknown(f"no key of the role {role} can be made (HTTP {reply.status}): use an admin's")
            held = book.held(role)
            principal = Principal(INSTALLATION, "check", role, held.grants, held.across)
            some = [each for each in endpoints if not (each.named and principal.limited)]
            asked += len(some)
            for endpoint, answer in zip(some, await ask_all(target, key, some), strict=True):
                fault = _fault(principal, endpoint, answer)
                if fault:
                    wrong.append(f"{endpoint.method} {endpoint.path} as {role}: {fault}")
                    if len(wrong) <= MOST_TOLD:
                        found.saw(target.http.evidence(answer, wrong[-1]))
    found.measured = (
        f"{asked} requests: {len(endpoints)} endpoints x {len(roles)} roles "
        f"({'all' if in_twin else 'all but platform, whose keys no admin can make'}), {len(wrong)} wrong"
    )
    more = "" if len(wrong) <= MOST_TOLD else f"; and {len(wrong) - MOST_TOLD} more"
    return found.passed() if not wrong else found.failed("; ".join(wrong[:MOST_TOLD]) + more)


def _fault(principal: Principal, endpoint: Endpoint, answer: Reply) -> str:
    """What is wrong with an answer; "" where it is as it must be."""
    resource = Resource(INSTALLATION, "check")
    may = any(authorize(principal, verb, resource).allowed for verb in endpoint.verbs or ())
    if answer.status in REFUSED:
        return f"refused with {answer.status}, though it may {' or '.join(endpoint.verbs or ())}" if may else ""
    if answer.status >= 500 and answer.status != 503:
        return f"HTTP {answer.status}"
    if not may:
        return f"let in (HTTP {answer.status}) without {' or '.join(endpoint.verbs or ())}"
    if principal.role == "viewer" and endpoint.method != "GET":
        return f"let in (HTTP {answer.status}), though whoever only views changes nothing"
    return ""


async def endpoints_of(target: Target, found: Finding) -> list[Endpoint]:
    """What the server describes, but for what is public."""
    reply = await target.send("GET", "/openapi.json")
    found.saw(target.http.evidence(reply, "the description"))
    document = reply.json()
    if reply.status != 200 or not isinstance(document, dict):
        return []
    paths: dict[str, dict[str, Any]] = document.get("paths", {})
    return [
        Endpoint(method.upper(), path, tuple(operations[method].get("x-golive-verbs") or ()) or None)
        for path, operations in paths.items()
        if path not in PUBLIC
        for method in _METHODS
        if method in operations
    ]


async def ask_all(target: Target, key: str, endpoints: Sequence[Endpoint]) -> list[Reply]:
    """Asks each of them with a key, about things that there are not, and with a body that nobody takes."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(endpoint: Endpoint) -> Reply:
        path = "/".join(NOBODY if part.startswith("{") else part for part in endpoint.path.split("/"))
        async with places:
            return await ask(target, key, endpoint.method, path, None if endpoint.method == "GET" else HARMLESS)

    async with Tasks("access") as tasks:
        tries = [tasks.start(one(each), f"{each.method} {each.path}") for each in endpoints]
    return [done.result() for done in tries]


# ---- scopes ----------------------------------------------------------------------------------------------------------


@check(
    "GW-3.scopes",
    row="GW-3",
    title="A key limited to one agent, or to some verbs, reaches nothing else: no run, list, stream or face",
    phase="security",
    severity="blocker",
    needs={"golive", "agent"},
    remediation="Decide on the agent of every run, also where only a body, a query or the store names it.",
    references=("OWASP API1:2023", "OWASP API3:2023"),
)
async def scopes_hold(target: Target) -> Result:
    """A run of the agent is asked for with a key of another agent, and with one that may only look."""
    found = Finding("0 reached")
    _, made = await target.run("Say one word.")
    run = str(made.get("run") or "")
    if not run:
        return found.unknown("the agent begins no run to ask for")
    async with keys_of(target) as keys:
        refused, other = await keys.make("admin", f"agent:{NOBODY}")
        _, mine = await keys.make("admin", f"agent:{target.agent}")
        _, looking = await keys.make("admin", "runs.read", "agents.read")
        if not (other and mine and looking):
            found.saw(target.http.evidence(refused, "a key with scopes"))
            return found.unknown(f"no key with scopes can be made (HTTP {refused.status}): use an admin's")
        reached = [*await _reached(target, other, run, found), *await _beyond(target, looking, run, found)]
        proof = await ask(target, mine, "GET", f"/v1/runs/{run}")
        found.saw(target.http.evidence(proof, "with a key of the run's own agent"))
        if proof.status != 200:
            return found.failed(f"a key limited to {target.agent} cannot read a run of it (HTTP {proof.status})")
    found.measured = f"{len(reached)} reached"
    return found.passed() if not reached else found.failed("; ".join(reached))


async def _reached(target: Target, key: str, run: str, found: Finding) -> list[str]:
    """What a key of another agent reaches."""
    agent, text = str(target.agent), [{"role": "user", "content": "Hello."}]
    closed: list[tuple[str, str, object]] = [
        ("GET", f"/v1/runs/{run}", None),
        ("GET", f"/v1/runs/{run}/events?format=json", None),
        ("GET", f"/v1/runs/{run}/events", None),
        ("POST", f"/v1/runs/{run}/cancel", {}),
        ("POST", f"/v1/runs/{run}/resume", None),
        ("POST", f"/v1/runs/{run}/retry", {}),
        ("POST", f"/v1/runs/{run}/fork", {"step": 1}),
        ("POST", f"/v1/runs/{run}/decisions/dec_0", {"choice": "x"}),
        ("GET", f"/v1/responses/resp_{run}", None),
        ("GET", f"/v1/agents/{agent}", None),
        ("GET", f"/v1/models/{agent}", None),
        ("POST", f"/v1/agents/{agent}/runs", {"input": "Hello."}),
        ("POST", "/v1/chat/completions", {"model": agent, "messages": text}),
        ("POST", "/v1/responses", {"model": agent, "input": "Hello."}),
        ("POST", "/v1/messages", {"model": agent, "max_tokens": 9, "messages": text}),
        ("GET", "/metrics", None),
        ("GET", "/v1/config", None),
    ]
    reached = []
    for method, path, body in closed:
        reply = await ask(target, key, method, path, body)
        if reply.status not in (401, 403, 404):
            reached.append(f"{method} {path.replace(run, 'RUN')} with a key of another agent: {reply.status}")
            found.saw(target.http.evidence(reply, "with a key of another agent"))
    for path in ("/v1/runs", "/v1/agents", "/v1/models", f"/v1/decisions?run={run}"):
        reply = await ask(target, key, "GET", path)
        document = reply.json()
        if not isinstance(document, dict) or document.get("data") != []:
            reached.append(f"GET {path.replace(run, 'RUN')} with a key of another agent lists something")
            found.saw(target.http.evidence(reply, "with a key of another agent"))
    return reached


async def _beyond(target: Target, key: str, run: str, found: Finding) -> list[str]:
    """What a key that may only look can do."""
    tries: list[tuple[str, str, object]] = [
        ("POST", f"/v1/agents/{target.agent}/runs", {"input": "Hello."}),
        ("POST", f"/v1/runs/{run}/cancel", {}),
        ("GET", "/v1/keys", None),
    ]
    beyond = []
    for method, path, body in tries:
        reply = await ask(target, key, method, path, body)
        if reply.status != 403:
            beyond.append(f"{method} {path.replace(run, 'RUN')} with a key of runs.read, agents.read: {reply.status}")
            found.saw(target.http.evidence(reply, "with a key of runs.read, agents.read"))
    return beyond


# ---- keys that make keys ---------------------------------------------------------------------------------------------


@check(
    "GW-3.escalation",
    row="GW-3",
    title="Nobody makes, renews or ends a key that may more than they, nor acts in another tenant unasked",
    phase="security",
    severity="blocker",
    needs={"golive"},
    remediation="Hold the grants of each new key against those of whoever makes it (`KeyAdmin`).",
    references=("OWASP API5:2023", "CWE-269"),
)
async def no_key_exceeds_its_maker(target: Target) -> Result:
    """A key that may only manage keys tries to get more by every way that there is."""
    found = Finding("0 gained")
    async with keys_of(target) as keys:
        refused, keeper = await keys.make("admin", "keys.manage", "keys.read")
        strong, _ = await keys.make("admin", seconds=LIFE_S / 2)  # renewed, it would not outlive who renews it
        if not keeper or strong.status != 201:
            found.saw(target.http.evidence(refused, "a key that manages keys"))
            return found.unknown(f"no key that manages keys can be made (HTTP {refused.status}): use an admin's")
        victim = strong.json()["id"]
        gained = []
        for role, *scopes in (("admin",), ("viewer",), ("user",), ("platform",), ("admin", "keys.manage", "runs.read")):
            reply, made = await keys.make(role, *scopes, by=keeper, seconds=LIFE_S / 2)
            if made or reply.status != 403:
                gained.append(f"it made a key of {' '.join([role, *scopes])} (HTTP {reply.status})")
                found.saw(target.http.evidence(reply, gained[-1]))
        reply, made = await keys.make("admin", "keys.read", by=keeper, seconds=LIFE_S * 100)
        if made or reply.status != 403:
            gained.append(f"it made a key that works for longer than itself (HTTP {reply.status})")
            found.saw(target.http.evidence(reply, gained[-1]))
        attempts: list[tuple[str, str, str, object, dict[str, str]]] = [
            ("renewed a stronger key", "POST", f"/v1/keys/{victim}/rotate", {"overlap_s": 600}, {}),
            ("ended a stronger key", "DELETE", f"/v1/keys/{victim}", None, {}),
            ("acted in another tenant", "GET", "/v1/keys", None, {"x-golive-tenant": NOBODY}),
        ]
        for did, method, path, body, headers in attempts:
            reply = await ask(target, keeper, method, path, body, **headers)
            if reply.status not in (403, 404):
                gained.append(f"it {did} (HTTP {reply.status})")
                found.saw(target.http.evidence(reply, did))
        proof, _ = await keys.make("admin", "keys.read", by=keeper, seconds=LIFE_S / 2)
        found.saw(target.http.evidence(proof, "a key of what it has itself"))
    found.measured = f"{len(gained)} of {6 + len(attempts)} ways gained something"
    if gained:
        return found.failed(f"a key that may only manage keys: {'; '.join(gained)}")
    if proof.status != 201:
        return found.failed(f"it could not make even a key of what it has itself (HTTP {proof.status})")
    return found.passed()
