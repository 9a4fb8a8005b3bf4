"""Two tenants of one twin: what the first has of everything that there is, and who the second is.

What is planted in the first one (words, names, ids) must turn up in no answer to the second. A thing stands for a path
up to and including its parameter, so that whatever a server later offers below that path is tried with it unasked.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple

import msgspec

from golive.checklist.crash import Place, Stage, at_rest, back, begin, catch, has, kill, last_is, own_tools, set_up
from golive.checklist.http import Reply
from golive.checklist.issuer import AUDIENCE, DrillIssuer, issuing
from golive.checklist.target import Target, need_agent
from golive.checklist.twin import Twin
from golive.config.load import load
from golive.core.chance import SystemChance
from golive.core.errors import GoliveError
from golive.sim.script import Script
from golive.tenants.authorize import INSTALLATION
from golive.tenants.opening import create_key

TOOL_S = 20.0
"""timeout_s of stand-ins: nobody waits for one here."""
COMMAND_S = 30.0
LEARN_S = 5.0
"""Longest wait until a running server has learnt of something, seconds."""
LOOK_S = 0.05
ISSUER = "check"
WEBHOOK, SCHEDULE = "check_first", "check_first"
SIGNED_WITH = "CHECK_WEBHOOK_SECRET"
TENANT_HEADER = "x-golive-tenant"
NOBODY_THERE = "http://127.0.0.1:9/"
"""Where the first tenant's webhook leads: its messages stay due."""


class Thing(NamedTuple):
    """Something of the first tenant.

    Args:
        path: of the server's description, up to and including the parameter, such as /v1/keys/{id}.
        value: of that parameter.
        how: `id`: nobody else has such a thing; `name`: every tenant may have its own of that name.
        told: where the first tenant is told of it.
    """

    path: str
    value: str
    how: Literal["id", "name"]
    told: str


class Neighbours(NamedTuple):
    """The stage: `first` and `second` are names of tenants, `words` what must stay in the first."""

    stage: Stage
    first: str
    second: str
    first_key: str
    keys: Mapping[str, str]
    """What the second shows, by what it is: a key, a token. Either is an administrator's."""
    platform_key: str
    words: Mapping[str, str]
    things: tuple[Thing, ...]
    asked: Mapping[str, Any]
    """The relayed request of the first tenant, whose answer is kept."""
    uttered: set[str]
    """Which of the words the second was given to ask with, and may hear again."""

    @property
    def twin(self) -> Twin:
        return self.stage.twin


async def ask(twin: Twin, key: str, method: str, path: str, body: object = None, **headers: str) -> Reply:
    """One request with a key or token."""
    given = {"Authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await twin.http.send(method, twin.url + path, headers=given, body=body)


@asynccontextmanager
async def neighbours(target: Target) -> AsyncIterator[Neighbours]:
    """A twin of its own with two tenants, for the time of the block.

    Raises:
        GoliveError: something of the first tenant cannot be made.
    """
    async with issuing(target.clock) as issuer:
        names = await own_tools(target)
        token = SystemChance().token(4).hex()
        first, second = f"first-{token}", f"second-{token}"
        twin = await target.twin.replica(names, TOOL_S, _settings(target, issuer, first, token))
        own_key = twin.key
        try:
            yield await _planted(set_up(target, twin, names), issuer, first, second, token)
        finally:
            twin.key = own_key
            twin.ledger.release()
            await twin.end()


def _settings(target: Target, issuer: DrillIssuer, first: str, token: str) -> dict[str, str]:
    oidc = {"ISSUER": issuer.url, "AUDIENCE": AUDIENCE, "ROLE": "admin", "TENANT_CLAIM": "tenant"}
    webhook = {"URL": NOBODY_THERE + token, "SECRET": f"env:{SIGNED_WITH}", "TENANTS": first}
    schedule = {
        "AGENT": need_agent(target), "TENANT": first, "CRON": "0 0 1 1 *", "INPUT": f"schedule-{token}",
        "ENABLED": "true",
    }  # fmt: skip
    found = {SIGNED_WITH: "whsec_" + "QUFB" * 8}
    sections = (("AUTH__OIDC", ISSUER, oidc), ("WEBHOOKS", WEBHOOK, webhook), ("SCHEDULES", SCHEDULE, schedule))
    for section, name, fields in sections:
        found |= {f"GOLIVE_{section}__{name.upper()}__{field}": value for field, value in fields.items()}
    return found


async def _planted(stage: Stage, issuer: DrillIssuer, first: str, second: str, token: str) -> Neighbours:
    twin = stage.twin
    platform_key = await make_tenants(twin, first, second)
    words = {name: f"{name}-{token}" for name in ("prompt", "metadata", "conversation", "person", "keyname", "cached")}
    words["tenant"], words["webhook"], words["schedule"] = first, NOBODY_THERE + token, f"schedule-{token}"
    first_key = await made_key(twin, first, "admin", words["keyname"])
    keys = {"a key": await made_key(twin, second, "admin", "check"), "a token": issuer.token(tenant=second)}
    for key in (first_key, platform_key, *keys.values()):
        twin.http.conceal(key, "$KEY")
        await until(twin, key)
    twin.key = first_key
    run, waiting, decision = await _runs(stage, words)
    asked = await _relayed(twin, words)
    things = [
        Thing("/v1/runs/{run}", run, "id", f"/v1/runs/{run}"),
        Thing("/v1/runs/{run}/decisions/{decision}", decision, "id", f"/v1/decisions?run={waiting}"),
        Thing("/v1/responses/{id}", f"resp_{run}", "id", f"/v1/responses/resp_{run}"),
        Thing("/v1/keys/{id}", await _first_id(twin, "/v1/keys"), "id", "/v1/keys"),
        Thing("/v1/deliveries/{id}", await _first_id(twin, "/v1/deliveries"), "id", f"/v1/deliveries?run={run}"),
        Thing("/v1/webhooks/{name}", WEBHOOK, "id", "/v1/webhooks"),
        Thing("/v1/schedules/{name}", SCHEDULE, "id", "/v1/schedules"),
        Thing("/v1/tenants/{tenant}", first, "id", f"/v1/tenants/{first}"),
        Thing("/v1/users/{user}", words["person"], "name", f"/v1/users/{words['person']}"),
    ]
    provider = next(iter(twin.loaded.config.providers))
    things.append(Thing("/v1/credentials/{provider}", provider, "name", "/v1/credentials"))
    await _set_up_person(twin, words["person"])
    await ask(
        twin, platform_key, "POST", f"/v1/credentials/{provider}", {"reference": "env:CHECK_PROVIDER_KEY"},
        x_golive_tenant=first,
    )  # fmt: skip
    return Neighbours(
        stage, first, second, first_key, keys, platform_key,
        words | {"run": run, "waiting": waiting, "decision": decision}, tuple(things), asked, set(),
    )  # fmt: skip


async def make_tenants(twin: Twin, *names: str) -> str:
    """Makes tenants; returns a key that acts across them. Raises GoliveError."""
    platform_key = await made_key(twin, "", "platform", "check")
    twin.http.conceal(platform_key, "$PLATFORM_KEY")
    await until(twin, platform_key)
    for name in names:
        reply = await ask(twin, platform_key, "POST", "/v1/tenants", {"tenant": name})
        if reply.status != 201:
            raise GoliveError(f"a tenant cannot be made: HTTP {reply.status}, {reply.body[:300]!r}")
    return platform_key


async def golive(twin: Twin, *words: str) -> dict[str, Any]:
    """A command on the twin: what it prints as JSON. Raises GoliveError where it does not end with 0."""
    config = ["--json", "--config", str(twin.folder / "golive.toml")]
    code, out, err = await twin.process.also([*words, *config], COMMAND_S)
    if code != 0:
        raise GoliveError(f"golive {' '.join(words[:2])} ended with {code}: {err.strip()[-600:]}")
    printed: dict[str, Any] = msgspec.json.decode(out)
    return printed


async def made_key(twin: Twin, tenant: str, role: str, name: str) -> str:
    """A key of the tenant ("": the installation's own), made on the store as `golive keys create` does."""
    loaded, environ = load(twin.folder / "golive.toml", twin.process.environ), twin.process.environ
    return (await create_key(loaded, name, role, environ, tenant=tenant or INSTALLATION)).secret


async def until(twin: Twin, key: str) -> None:
    """Waits until the server lets the key or token in. Raises GoliveError: it does not."""
    end = twin.clock.monotonic() + LEARN_S
    while (reply := await ask(twin, key, "GET", "/v1/agents")).status != 200:
        if twin.clock.monotonic() >= end:
            raise GoliveError(f"a key or token that was just made is not let in: HTTP {reply.status}")
        await asyncio.sleep(LOOK_S)


async def _runs(stage: Stage, words: Mapping[str, str]) -> tuple[str, str, str]:
    """A run that has ended, one that waits for a decision, and that decision."""
    twin = stage.twin
    script = Script(text=f"answer: {words['prompt']}") if stage.text is not None else stage.answer()
    done = await begin(
        stage, "planted", script, 0, input=f"Please see to {words['prompt']}.",
        metadata={"note": words["metadata"]}, conversation_id=words["conversation"], user=words["person"],
    )  # fmt: skip
    await at_rest(twin, [done])
    asks = stage.asks(stage.use("nothing", "before"))
    [waits] = await catch(stage, Place("in a tool", asks, last_is("tool.started"), "before"))
    await kill(stage)
    await back(twin)
    await at_rest(twin, [waits])
    await twin.simulator.calm()
    decisions = waits.view.get("decisions") or []
    if not (has("run.finished")(done.events) and decisions):
        raise GoliveError(f"the first tenant's runs stand at {done.outcome} and {waits.outcome}")
    return done.run, waits.run, str(decisions[0]["id"])


async def _relayed(twin: Twin, words: Mapping[str, str]) -> dict[str, Any]:
    """A plain call whose answer is kept; what was asked."""
    target = twin.targets[0]
    await twin.simulator.play(Script(text=f"kept: {words['cached']}"))
    body = {"model": target, "messages": [{"role": "user", "content": "What is kept?"}], "temperature": 0}
    await ask(twin, twin.key, "POST", "/v1/chat/completions", body, x_golive_cache_ttl_s="600")
    await twin.simulator.calm()
    return body


async def _first_id(twin: Twin, path: str) -> str:
    end = twin.clock.monotonic() + LEARN_S
    while not (rows := ((await twin.send("GET", path)).json() or {}).get("data")):
        if twin.clock.monotonic() >= end:
            raise GoliveError(f"the first tenant has nothing at {path}")
        await asyncio.sleep(LOOK_S)
    return str(rows[0]["id"])


async def _set_up_person(twin: Twin, person: str) -> None:
    """So that the person is known, also where nobody has seen them yet."""
    await twin.send("POST", "/v1/users", {"id": person, "note": "check"})
