"""Is whoever is suspended out, everywhere and at once? Two servers on one PostgreSQL: one is told, the other is asked.

The cluster is this drill's own, and so are the tenant and its users; both servers are twins of the same configuration.
Nobody but the database tells the second server anything.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from golive.checklist.http import Reply
from golive.checklist.neighbours import TENANT_HEADER, made_key
from golive.checklist.postgres import MISSING, PostgresNotStarted, own_folder, postgres, programs
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.server_process import ServerProcess
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.sim.script import Script

REFUSED_S = 1.0
"""Longest time until the other replica lets nobody in any more: what is promised."""
ENDED_S = 3.0
"""Longest time until what is open there has ended."""
WAIT_S = 6.0
"""How long either is waited for, to say how long it took."""
LOOK_S = 0.03
SILENT_MS = 120_000.0
"""How long the model says nothing: the runs are open until somebody ends them."""
TENANT, OUT, STAYS = "golive-check-out", "ada", "bob"
USER_HEADER = "x-golive-user"


class _Pair(NamedTuple):
    """The server that is told, and the one that is asked; both are `twin`'s."""

    twin: Twin
    other: ServerProcess
    platform: str
    key: str

    async def told(self, path: str, body: object) -> Reply:
        """The first server is told by whoever acts across tenants."""
        return await self._send("POST", self.twin.process.url, path, self.platform, body, {TENANT_HEADER: TENANT})

    async def asked(self, user: str = "") -> Reply:
        """The other one is asked with the tenant's key, in somebody's name: for its runs."""
        named = {USER_HEADER: user} if user else {}
        return await self._send("GET", self.other.url, "/v1/runs?limit=1", self.key, None, named)

    async def begun(self, user: str) -> str:
        """A run that the other one carries, in the name of a user; its id."""
        body = {"input": "Say one word.", "background": True}
        path = f"/v1/agents/{self.twin.agent}/runs"
        reply = await self._send("POST", self.other.url, path, self.key, body, {USER_HEADER: user})
        found = reply.json()
        return str(found.get("run") or "") if isinstance(found, dict) else ""

    async def tried(self, user: str) -> Reply:
        """Somebody asks the other one for a run, which would end by itself after a second."""
        body = {"input": "Say one word.", "background": True, "deadline_s": 1}
        path = f"/v1/agents/{self.twin.agent}/runs"
        return await self._send("POST", self.other.url, path, self.key, body, {USER_HEADER: user})

    async def run(self, run: str) -> dict[str, Any]:
        """A run of the tenant, as who acts across sees it at the first server."""
        path, headers = f"/v1/runs/{run}", {TENANT_HEADER: TENANT}
        found = (await self._send("GET", self.twin.process.url, path, self.platform, None, headers)).json()
        return found if isinstance(found, dict) else {}

    async def _send(self, method: str, url: str, path: str, key: str, body: object, headers: dict[str, str]) -> Reply:
        given = {"Authorization": f"Bearer {key}", **headers}
        return await self.twin.http.send(method, url + path, headers=given, body=body)


@check(
    "SEC-6.suspended",
    row="SEC-6",
    title="A suspended tenant or user is refused by another replica within a second, and what is open there ends",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "golive", "agent"},
    where="own",
    remediation="Hold each request and each run against the directory of tenants, and have it follow the store.",
    references=("OWASP API2:2023", "CWE-613"),
    timeout_s=90.0,
)
async def suspended_are_out(target: Target) -> Result:
    """A user, then the tenant, is suspended at one server; requests and runs at the other are timed."""
    found = Finding(f"refused within {REFUSED_S:g} s, runs ended within {ENDED_S:g} s, nobody else's")
    if programs() is None:
        return found.unknown(MISSING)
    with own_folder() as folder:
        try:
            async with postgres(folder, target.clock) as url, _pair(target, url) as pair:
                return await _suspend(found, pair)
        except PostgresNotStarted as error:
            return found.unknown(error.message)


@asynccontextmanager
async def _pair(target: Target, url: str) -> AsyncIterator[_Pair]:
    replica = "GOLIVE_SERVER__REPLICA"
    twin = await target.twin.configured({"GOLIVE_STORE__URL": url, replica: "golive-check-first"})
    beside = Path(twin.folder) / "beside"
    beside.mkdir()
    other = twin.process.beside(beside, {replica: "golive-check-other"})
    try:
        await other.start()
        platform = await made_key(twin, "", "platform", "golive check")
        twin.http.conceal(platform, "$PLATFORM_KEY")
        headers = {"Authorization": f"Bearer {platform}"}
        await twin.http.send("POST", f"{twin.process.url}/v1/tenants", headers=headers, body={"tenant": TENANT})
        key = await made_key(twin, TENANT, "admin", "golive check")
        twin.http.conceal(key, "$KEY")
        yield _Pair(twin, other, platform, key)
    finally:
        await other.kill()
        await twin.end()


async def _suspend(found: Finding, pair: _Pair) -> Result:
    await pair.twin.simulator.play(Script(first_token_ms=SILENT_MS))
    gone, stays = await pair.begun(OUT), await pair.begun(STAYS)
    if not (gone and stays):
        return found.unknown("the agent begins no run in the name of a user")
    faults: list[str] = []

    reply = await pair.told(f"/v1/users/{OUT}/suspend", {"note": "golive check"})
    found.saw(pair.twin.http.evidence(reply, "a user is suspended at the first replica"))
    since = pair.twin.clock.monotonic()
    refused = await _until(pair, since, lambda: _shut(pair, OUT))
    ended = await _until(pair, since, lambda: _over(pair, gone, "user.suspended"))
    _hold("the user", refused, ended, faults)
    if (other := await pair.asked(STAYS)).status != 200 or (await pair.run(stays)).get("outcome"):
        faults.append(f"with one user suspended, another of the same tenant is out (HTTP {other.status})")
    times = [refused, ended]

    reply = await pair.told(f"/v1/tenants/{TENANT}/suspend", {"note": "golive check"})
    found.saw(pair.twin.http.evidence(reply, "the tenant is suspended at the first replica"))
    since = pair.twin.clock.monotonic()
    refused = await _until(pair, since, lambda: _shut(pair))
    ended = await _until(pair, since, lambda: _over(pair, stays, "tenant.suspended"))
    _hold("the tenant", refused, ended, faults)
    found.saw(pair.twin.http.evidence(await pair.asked(), "the tenant asks the other replica"))
    if (own := await pair.twin.send("GET", "/v1/runs?limit=1")).status != 200:
        faults.append(f"with a tenant suspended, the installation's own is out (HTTP {own.status})")
    told = [f"{seconds * 1000:.0f} ms" if seconds is not None else "never" for seconds in (*times, refused, ended)]
    found.measured = (
        f"user refused after {told[0]}, its run ended after {told[1]}; tenant refused after {told[2]}, "
        f"its run ended after {told[3]}"
    )
    return found.failed("; ".join(faults)) if faults else found.passed()


def _hold(whose: str, refused: float | None, ended: float | None, faults: list[str]) -> None:
    for what, seconds, most in (("is let in", refused, REFUSED_S), ("has a run open", ended, ENDED_S)):
        if seconds is None:
            faults.append(f"{whose} {what} at the other replica {WAIT_S:g} s after being suspended")
        elif seconds > most:
            faults.append(f"{whose} {what} at the other replica for {seconds:.2f} s after being suspended")


async def _shut(pair: _Pair, user: str = "") -> bool:
    """Whether the other replica refuses the tenant's key, or begins nothing in the user's name."""
    return (await (pair.tried(user) if user else pair.asked())).status == 403


async def _over(pair: _Pair, run: str, reason: str) -> bool:
    """Whether the run has ended, and for that reason."""
    stands = await pair.run(run)
    return (stands.get("outcome"), stands.get("reason")) == ("cancelled", reason)


async def _until(pair: _Pair, since: float, holds: Callable[[], Awaitable[bool]]) -> float | None:
    """After how many seconds it holds; None: it does not, for as long as is waited."""
    clock = pair.twin.clock
    while clock.monotonic() - since < WAIT_S:
        asked_at = clock.monotonic()
        if await holds():
            return asked_at - since
        await asyncio.sleep(LOOK_S)
    return None
