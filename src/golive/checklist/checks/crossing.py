"""Does one tenant reach what is another's? Every endpoint that takes an id, every list, and what only bodies name.

Endpoints come from the server's own description: a path with a parameter for which the drill has no thing of another
tenant fails the check, so that nothing is ever left out because nobody thought of it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from golive.checklist.checks.access import Endpoint, endpoints_of
from golive.checklist.crash import impossible
from golive.checklist.http import Reply
from golive.checklist.neighbours import TENANT_HEADER, Neighbours, Thing, ask, neighbours
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target

MOST_TOLD = 6
CLOSED = (403, 404)
SHARED = {
    "/v1/agents/{agent}": "agents belong to the installation; a tenant is given some of them",
    "/v1/models/{model}": "models belong to the installation",
    "/login/start/{issuer}": "issuers belong to the installation",
    "/login/callback/{issuer}": "issuers belong to the installation",
}
"""Paths whose parameter names nothing of a tenant's, and why."""
BODIES: Mapping[str, object] = {
    "/v1/keys/{id}/rotate": {"overlap_s": 0},
    "/v1/runs/{run}/fork": {"step": 1},
    "/v1/runs/{run}/decisions/{decision}": {"choice": "skip"},
    "/v1/tenants/{tenant}/erase": {"confirm": "{tenant}"},
    "/v1/users/{user}/erase": {"confirm": "{user}"},
    "/v1/credentials/{provider}": {"reference": "env:CHECK_PROVIDER_KEY"},
}
"""What to say to endpoints that do not take an empty object."""
_UNSTEADY = re.compile(r'"(last_used_at|last_seen_at|attempts|due_at|last_error|oldest_due_at|due)":[^,}]*')
"""What of a thing changes by itself."""


class Crossing(NamedTuple):
    """Something that went through."""

    what: str
    reply: Reply


@check(
    "SEC-6.routes",
    row="SEC-6",
    title="One tenant reaches nothing of another: no id, list, stream, conversation or kept answer, and learns of none",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "golive", "agent"},
    where="own",
    remediation="Ask the store through the tenant's own handle for whatever a path, a query or a body names.",
    references=("OWASP API1:2023", "CWE-639"),
    timeout_s=120.0,
)
async def nothing_crosses(target: Target) -> Result:
    """A second tenant's administrator, by key and by token, asks for everything that the first one has."""
    found = Finding("0 crossings")
    if why := impossible(target):
        return found.unknown(why)
    endpoints = await endpoints_of(target, found)
    async with neighbours(target) as stage:
        unknown, missing = list(_unknown(stage, endpoints)), await _missing(stage, endpoints)
        if unknown or missing:
            return found.failed("; ".join([*unknown, *missing][:MOST_TOLD]))
        before = await _state(stage)
        tried: list[Crossing | None] = []
        for shown, key in stage.keys.items():  # first, while the second knows no name yet that it could hear again
            tried += await _lists(stage, endpoints, shown, key)
        for shown, key in stage.keys.items():
            tried += await _acting(stage, endpoints, shown, key)
            tried += await _by_path(stage, endpoints, shown, key)
            tried += await _further(stage, shown, key)
        tried += await _kept(stage)
        after = await _state(stage)
        changed = [path for path in before if before[path] != after[path]]
        crossings = [one for one in tried if one is not None]
        for one in crossings[:MOST_TOLD]:
            found.saw(stage.twin.http.evidence(one.reply, one.what))
    wrong = [one.what for one in crossings]
    wrong += [f"what the first tenant is told at {path} has changed" for path in changed]
    found.measured = (
        f"{len(tried)} tries by {' and '.join(stage.keys)} for {len(stage.things)} things and {len(stage.words)} words "
        f"of another tenant over {len(endpoints)} endpoints: {len(wrong)} crossings"
    )
    return found.failed("; ".join(wrong[:MOST_TOLD])) if wrong else found.passed()


# ---- what the drill knows --------------------------------------------------------------------------------------------


def _things(stage: Neighbours, path: str) -> list[Thing]:
    """What stands for the parameters of a path, the longest match last."""
    return [thing for thing in stage.things if path == thing.path or path.startswith(f"{thing.path}/")]


def _shared(path: str) -> bool:
    return any(path == shared or path.startswith(f"{shared}/") for shared in SHARED)


def _unknown(stage: Neighbours, endpoints: Iterable[Endpoint]) -> Iterator[str]:
    for endpoint in endpoints:
        if "{" not in endpoint.path or _shared(endpoint.path):
            continue
        known = {name for thing in _things(stage, endpoint.path) for name in re.findall(r"{(\w+)", thing.path)}
        left = [name for name in re.findall(r"{(\w+)", endpoint.path) if name not in known]
        if left:
            names = ", ".join(left)
            yield f"{endpoint.method} {endpoint.path} takes {names}, and the drill knows none of another tenant"


async def _missing(stage: Neighbours, endpoints: Sequence[Endpoint]) -> list[str]:
    """Things that the first tenant itself is not told of: asking another for them would prove nothing."""
    missing = []
    for thing in stage.things:
        if not any(each.path.startswith(thing.path) for each in endpoints):
            continue
        reply = await ask(stage.twin, stage.first_key, "GET", thing.told)
        if reply.status != 200 or thing.value.encode() not in reply.body:
            missing.append(f"the first tenant is not told of {thing.path} at GET {thing.told} (HTTP {reply.status})")
    return missing


async def _state(stage: Neighbours) -> dict[str, str]:
    """What the first tenant is told of all that is its own, but for what changes by itself."""
    paths = [thing.told for thing in stage.things]
    paths += [f"/v1/runs/{stage.words['run']}/events?format=json", f"/v1/runs/{stage.words['waiting']}", "/v1/runs"]
    found = {}
    for path in dict.fromkeys(paths):
        reply = await ask(stage.twin, stage.first_key, "GET", path)
        found[path] = f"{reply.status} {_UNSTEADY.sub('', reply.body.decode('utf-8', 'replace'))}"
    return found


# ---- what is tried ---------------------------------------------------------------------------------------------------


def _filled(path: str, values: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)(\.\.\.)?}", lambda found: values[found[1]], path)


def _body(endpoint: Endpoint, values: Mapping[str, str]) -> object:
    if endpoint.method != "POST":
        return None
    body = BODIES.get(endpoint.path, {})
    assert isinstance(body, dict)
    return {name: _filled(said, values) if isinstance(said, str) else said for name, said in body.items()}


async def _by_path(stage: Neighbours, endpoints: Sequence[Endpoint], shown: str, key: str) -> list[Crossing | None]:
    """Every endpoint whose path names a thing: reading before changing, removing last."""
    tried: list[Crossing | None] = []
    order = {"GET": 0, "POST": 1, "DELETE": 2}
    for endpoint in sorted(endpoints, key=lambda each: order[each.method]):
        things = _things(stage, endpoint.path)
        if not things or "{" not in endpoint.path:
            continue
        values = {re.findall(r"{(\w+)", thing.path)[-1]: thing.value for thing in things}
        if "decision" in values:
            values["run"] = stage.words["waiting"]
        path, body = _filled(endpoint.path, values), _body(endpoint, values)
        reply = await ask(stage.twin, key, endpoint.method, path, body)
        did = f"{endpoint.method} {endpoint.path} with {shown} of another tenant"
        tried.append(_crossed(stage, did, reply, ids=all(thing.how == "id" for thing in things)))
        if all(thing.how == "id" for thing in things):
            tried.append(await _oracle(stage, endpoint, values, reply, did, key))
        theirs = await ask(stage.twin, key, endpoint.method, path, body, x_golive_tenant=stage.first)
        tried.append(_crossed(stage, f"{did} that names the tenant in {TENANT_HEADER}", theirs, ids=True))
    return tried


def _crossed(stage: Neighbours, did: str, reply: Reply, *, ids: bool) -> Crossing | None:
    if ids and reply.status not in CLOSED:
        return Crossing(f"{did}: HTTP {reply.status}", reply)
    if reply.status >= 500:
        return Crossing(f"{did}: HTTP {reply.status}", reply)
    told = list(_told(stage, reply))
    return Crossing(f"{did} tells the first one's {', '.join(told)}", reply) if told else None


def _told(stage: Neighbours, reply: Reply) -> Iterator[str]:
    """Which planted words an answer holds, other than those that the second tenant was given to ask with by then."""
    sent = reply.sent.url.encode() + reply.sent.body + repr(reply.sent.headers).encode()
    stage.uttered.update(name for name, word in stage.words.items() if word.encode() in sent)
    heard = reply.body + repr(reply.headers).encode()
    for name, word in stage.words.items():
        if word.encode() in heard and name not in stage.uttered:
            yield name


async def _oracle(
    stage: Neighbours, endpoint: Endpoint, values: Mapping[str, str], reply: Reply, did: str, key: str
) -> Crossing | None:
    """Whether the answer differs from that for a thing which nobody has: it would tell that there is one."""
    other = {name: _nobodys(value) for name, value in values.items()}
    path = _filled(endpoint.path, other)
    made_up = await ask(stage.twin, key, endpoint.method, path, _body(endpoint, other))
    said, said_of_none = reply.body, made_up.body
    for name, value in values.items():
        said, said_of_none = said.replace(value.encode(), b"?"), said_of_none.replace(other[name].encode(), b"?")
    if (reply.status, said) == (made_up.status, said_of_none):
        return None
    return Crossing(f"{did} tells by its answer ({made_up.status} and {reply.status}) that there is one", reply)


def _nobodys(value: str) -> str:
    """A value of the same form that nobody has."""
    return value[:-1] + ("0" if value[-1] != "0" else "1")


async def _lists(stage: Neighbours, endpoints: Sequence[Endpoint], shown: str, key: str) -> list[Crossing | None]:
    """Everything that can be read without naming anything."""
    tried: list[Crossing | None] = []
    for endpoint in _readable(endpoints):
        reply = await ask(stage.twin, key, "GET", endpoint.path)
        tried.append(_crossed(stage, f"GET {endpoint.path} with {shown} of another tenant", reply, ids=False))
    return tried


def _readable(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    return [each for each in endpoints if each.method == "GET" and "{" not in each.path]


async def _acting(stage: Neighbours, endpoints: Sequence[Endpoint], shown: str, key: str) -> list[Crossing | None]:
    """The same, with the first one's name in the header."""
    tried: list[Crossing | None] = []
    for endpoint in _readable(endpoints):
        theirs = await ask(stage.twin, key, "GET", endpoint.path, x_golive_tenant=stage.first)
        acts = theirs.status not in CLOSED and endpoint.verbs is not None
        what = f"GET {endpoint.path} with {shown} acts in another tenant: HTTP {theirs.status}"
        tried.append(Crossing(what, theirs) if acts else None)
    return tried


async def _further(stage: Neighbours, shown: str, key: str) -> list[Crossing | None]:
    """What queries, headers and bodies name."""
    words, agent = stage.words, stage.twin.agent
    run, waiting = words["run"], words["waiting"]
    tries: list[tuple[str, str, object, dict[str, str]]] = [
        ("GET", f"/v1/runs?conversation={words['conversation']}", None, {}),
        ("GET", f"/v1/runs?user={words['person']}", None, {}),
        ("GET", f"/v1/runs?before={run}z", None, {}),
        ("GET", f"/v1/decisions?run={waiting}", None, {}),
        ("GET", f"/v1/deliveries?run={run}", None, {}),
        ("GET", f"/v1/runs/{run}/events", None, {"Last_Event_ID": "1-1"}),
        ("GET", f"/v1/runs/{run}/events?format=json&after=0", None, {}),
        ("GET", f"/v1/audit?actor={words['person']}", None, {}),
        ("POST", "/v1/responses", {"model": agent, "input": "Go on.", "previous_response_id": f"resp_{run}"}, {}),
        ("POST", f"/v1/agents/{agent}/runs", {"input": "Go on.", "conversation_id": words["conversation"]}, {}),
        ("POST", "/v1/responses", {"model": agent, "input": "Go on.", "conversation": words["conversation"]}, {}),
    ]
    found: list[Crossing | None] = []
    for method, path, body, headers in tries:
        reply = await ask(stage.twin, key, method, path, body, **headers)
        named = path.replace(run, "RUN").replace(waiting, "RUN").partition("=")[0]
        more = " naming what is another's" if body is not None else ""
        crossed = _crossed(stage, f"{method} {named} with {shown} of another tenant{more}", reply, ids=False)
        document = reply.json()
        if crossed is None and isinstance(document, dict) and document.get("data") and "?" in path and "run" in path:
            ids = msgspec.json.encode(document["data"])
            if run.encode() in ids or waiting.encode() in ids:
                crossed = Crossing(f"{method} {named} with {shown} lists another tenant's", reply)
        found.append(crossed)
    return found


async def _kept(stage: Neighbours) -> list[Crossing]:
    """An answer that is kept for the first tenant, and what models are sent for the second."""
    twin, found = stage.twin, []
    key = next(iter(stage.keys.values()))
    await twin.simulator.forget()
    reply = await ask(twin, key, "POST", "/v1/chat/completions", stage.asked, x_golive_cache_ttl_s="600")
    if stage.words["cached"].encode() in reply.body:
        found.append(Crossing("an answer that was kept for one tenant is given to another", reply))
    body = {"input": "Go on.", "conversation_id": stage.words["conversation"]}
    reply = await ask(twin, key, "POST", f"/v1/agents/{twin.agent}/runs", body)
    sent = [body for target in dict.fromkeys(twin.targets) for body in await twin.simulator.bodies(target)]
    for name, word in stage.words.items():
        if any(word in body for body in sent):
            found.append(Crossing(f"a model is sent the first tenant's {name} in a run of the second", reply))
    return found
