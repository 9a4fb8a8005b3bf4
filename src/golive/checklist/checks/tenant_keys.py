"""Under whose credential do tenants' calls arrive? The provider itself is asked, which knows each call by its words.

Two twins of their own: one whose providers serve a tenant without a credential with the installation's, one whose
providers serve it with none.
"""

import re
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from golive.checklist.http import Reply
from golive.checklist.neighbours import TENANT_HEADER, ask, make_tenants
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result, evidence
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.core.chance import SystemChance
from golive.core.errors import GoliveError
from golive.core.tasks import Tasks

ASKS = 5
"""Questions of each tenant, of all tenants at once."""
MOST_TOLD = 6
_NO_NAME = re.compile(r"[^A-Z0-9]")


class Tenant(NamedTuple):
    """A tenant of the drill; `value`: of its own credential, "" where it has none."""

    name: str
    key: str
    value: str


class Heard(NamedTuple):
    """A question of a tenant: what it was answered, and under which credentials its calls came in."""

    tenant: Tenant
    reply: Reply
    came: frozenset[str]

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        said = self.reply.json()
        return self.reply.status == 200 and (not isinstance(said, dict) or said.get("outcome") != "failed")


@check(
    "SEC-6.credentials",
    row="SEC-6",
    title="Each tenant's calls arrive at the provider under its own key; where it must have one, never under another's",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "simulator", "golive"},
    where="own",
    remediation="Set each tenant's credential with `golive credentials set`; in [providers.NAME] say "
    '`credentials = "tenant"` where the installation\'s must not be used for them.',
    timeout_s=90.0,
)
async def each_under_its_own(target: Target) -> Result:
    """Two tenants with credentials of their own and one without, by all targets and the agent."""
    found = Finding("every call under the credential of its tenant; refused where it has none and must have one")
    providers = list(target.twin.original.config.providers)
    if not providers:
        return found.unknown("the configuration has no provider")
    faults: list[str] = []
    calls = 0
    for whose in ("installation", "tenant"):
        variables = [f"GOLIVE_PROVIDERS__{_NO_NAME.sub('_', name.upper())}__CREDENTIALS" for name in providers]
        twin = await target.twin.configured(dict.fromkeys(variables, whose))
        try:
            heard = await _drill(twin, providers)
        finally:
            await twin.end()
        calls += sum(len(one.came) for one in heard)
        faults += [f"credentials = {whose!r}: {fault}" for fault in _faults(heard, must_have=whose == "tenant")]
        told = "\n".join(
            f"{one.tenant.name}: HTTP {one.reply.status}, under {', '.join(sorted(one.came)) or 'no call'}"
            for one in heard
        )
        found.saw(evidence(f"the provider's request log, credentials = {whose}", told, twin.clock.now()))
    found.measured = f"{calls} credentials seen in {2 * 3 * (ASKS + 1)} questions of 3 tenants: {len(faults)} faults"
    return found.failed("; ".join(faults[:MOST_TOLD])) if faults else found.passed()


async def _drill(twin: Twin, providers: list[str]) -> list[Heard]:
    """The questions of all tenants, one by one and then all at once."""
    chance = SystemChance()
    names = [f"{part}-{chance.token(4).hex()}" for part in ("first", "second", "third")]
    platform_key = await make_tenants(twin, *names)
    tenants = []
    for place, name in enumerate(names):
        key = await _key(twin, platform_key, name)
        value = "" if place == 2 else f"sk-check-{chance.token(24).hex()}"
        if value:
            await _give(twin, platform_key, name, value, providers)
        tenants.append(Tenant(name, key, value))
    ours = [value for name, value in twin.secrets.items() if name.startswith("the provider's key")]
    await twin.simulator.accept(*ours, *(tenant.value for tenant in tenants if tenant.value))
    await twin.simulator.forget()
    heard = [await _ask(twin, tenant, chance.token(6).hex()) for tenant in tenants]
    async with Tasks("questions of tenants") as tasks:
        asked = [
            tasks.start(_ask(twin, tenant, chance.token(6).hex()), tenant.name)
            for _ in range(ASKS)
            for tenant in tenants
        ]
    return heard + [one.result() for one in asked]


async def _key(twin: Twin, platform_key: str, tenant: str) -> str:
    """A key of the tenant's. Raises GoliveError."""
    asked = {"name": "check", "role": "user"}
    reply = await ask(twin, platform_key, "POST", "/v1/keys", asked, **{TENANT_HEADER: tenant})
    said = reply.json()
    if reply.status != 201 or not isinstance(said, dict):
        raise GoliveError(f"a key of a tenant cannot be made: HTTP {reply.status}")
    twin.http.conceal(key := str(said["key"]), "$KEY")
    return key


async def _give(twin: Twin, platform_key: str, tenant: str, value: str, providers: list[str]) -> None:
    """Gives the tenant a credential of its own for every provider. Raises GoliveError."""
    twin.http.conceal(value, "$PROVIDER_KEY_OF_TENANT")
    (file := twin.folder / f"{tenant}.key").write_text(value)
    file.chmod(0o600)
    for provider in providers:
        body, path = {"reference": f"file:{file.name}"}, f"/v1/credentials/{provider}"
        reply = await ask(twin, platform_key, "POST", path, body, **{TENANT_HEADER: tenant})
        if reply.status != 200:
            raise GoliveError(f"a tenant's credential cannot be set: HTTP {reply.status}, {reply.body[:300]!r}")


async def _ask(twin: Twin, tenant: Tenant, word: str) -> Heard:
    """One question, of the agent where there is one, else of a model."""
    if twin.agent is not None:
        body: Mapping[str, object] = {"input": twin.question(f"What is {word}?")}
        path = f"/v1/agents/{twin.agent}/runs"
    else:
        body, path = twin.chat(f"What is {word}?"), "/v1/chat/completions"
    reply = await ask(twin, tenant.key, "POST", path, body)
    return Heard(tenant, reply, frozenset(await twin.simulator.credentials(word)))


def _faults(heard: list[Heard], *, must_have: bool) -> list[str]:
    """What is wrong, in words."""
    faults = []
    came: dict[str, set[str]] = {}
    for one in heard:
        came.setdefault(one.tenant.name, set()).update(one.came)
        refused = must_have and not one.tenant.value
        if refused and (one.answered or one.came):
            faults.append(f"{one.tenant.name} has no credential, and is served (HTTP {one.reply.status})")
        elif not refused and not one.answered:
            faults.append(f"{one.tenant.name} is not answered: HTTP {one.reply.status}")
    faults += [
        f"the calls of {name} came under {len(came[name])} credentials, not one"
        for name in sorted({one.tenant.name for one in heard if one.tenant.value})
        if len(came[name]) != 1
    ]
    faults += [
        f"calls of {name} and of {other} came under the same credential"
        for name, other in combinations(sorted(came), 2)
        if came[name] & came[other]
    ]
    return list(dict.fromkeys(faults))
