"""Does what golive does of its own accord stay within its tenant? Recovery, webhooks, schedules, retention, metrics.

Two tenants of one twin do the same at the same time; whatever is told, begun, taken over, counted or removed for the
one is looked for with the other.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from golive.checklist.drill import noted
from golive.checklist.neighbours import ask, made_key, make_tenants, until
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target, need_agent
from golive.checklist.twin import SPEED, Twin
from golive.core.chance import SystemChance
from golive.core.errors import GoliveError
from golive.core.signing import key_of, signature
from golive.sim.script import FOREVER, Script

WAIT_S = 30.0
"""Longest wait for anything of this drill, seconds of the machine: a minute of the server is six of them."""
LOOK_S = 0.1
MOST_TOLD = 12
KEEP_DAYS = 1e-6
"""How long the first tenant keeps finished runs, once that is tried."""
_OF_TENANTS = re.compile(
    r"^golive_(run|model|tool|routed|judged|history|alarms|webhook_deliveries|schedule|http_requests)"
    r"(?!s_(lost|taken_over|pruned)_)"
)
"""Metrics that tell of what a tenant does, and not of what a server does for all of them."""


class Side(NamedTuple):
    """One of the two: what is its own."""

    tenant: str
    key: str
    word: str
    secret: str
    path: str


class Got(NamedTuple):
    """A message that came to a receiver."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@check(
    "SEC-6.jobs",
    row="SEC-6",
    title="Recovery, webhooks, schedules, retention and metrics know whose each run is, and mix nothing",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "golive", "agent"},
    where="own",
    remediation="Name [webhooks.X] tenants and [schedules.X] tenant; let each background job work through a tenant's "
    "own handle.",
    references=("CWE-668",),
    timeout_s=150.0,
)
async def jobs_stay_apart(target: Target) -> Result:
    """Both run, a server dies with both open, clocks begin runs of both, the first one's runs are removed."""
    found = Finding("0 mixed")
    async with _receiver() as (address, got), _stage(target, address) as (twin, platform_key, sides):
        wrong = [*await _recovered(twin, sides), *await _scheduled(twin, sides)]
        wrong += await _told(twin, sides, got)
        wrong += await _counted(twin, platform_key, sides)
        wrong += await _removed(twin, platform_key, sides, got)
        found.saw(noted(twin, f"what {len(sides)} tenants were told", _shown(got)))
        found.measured = f"{len(got)} messages to 2 receivers, {len(wrong)} mixed or missing"
    return found.failed("; ".join(wrong[:MOST_TOLD])) if wrong else found.passed()


@asynccontextmanager
async def _stage(target: Target, address: str) -> AsyncIterator[tuple[Twin, str, tuple[Side, Side]]]:
    """A twin as fast as drills are, with two tenants, each with a webhook and a schedule of its own."""
    token = SystemChance().token(4).hex()
    agent, settings, sides = need_agent(target), {}, []
    for number, name in enumerate(("first", "second")):
        tenant, secret = f"{name}-{token}", "whsec_" + ("QUFB" if number else "QkJC") * 8
        variable = f"CHECK_{name.upper()}_SECRET"
        webhook = {"URL": f"{address}/{name}", "SECRET": f"env:{variable}", "TENANTS": tenant}
        schedule = {"AGENT": agent, "TENANT": tenant, "CRON": "* * * * *", "INPUT": f"{name}-word-{token}"}
        settings[variable] = secret
        settings |= {f"GOLIVE_WEBHOOKS__CHECK_{name.upper()}__{field}": value for field, value in webhook.items()}
        settings |= {f"GOLIVE_SCHEDULES__CHECK_{name.upper()}__{field}": value for field, value in schedule.items()}
        sides.append(Side(tenant, "", f"{name}-word-{token}", secret, f"/{name}"))
    twin = await target.twin.configured(settings, SPEED)
    try:
        platform_key = await make_tenants(twin, *(side.tenant for side in sides))
        first, second = [side._replace(key=await made_key(twin, side.tenant, "admin", "check")) for side in sides]
        for side in (first, second):
            twin.http.conceal(side.key, "$KEY")
            await until(twin, side.key)
        yield twin, platform_key, (first, second)
    finally:
        await twin.end()


# ---- what is done, and what is wrong about it ------------------------------------------------------------------------


async def _recovered(twin: Twin, sides: tuple[Side, Side]) -> list[str]:
    """Runs of both are open when the server dies; another start goes on with each where it belongs."""
    await twin.simulator.play(Script(hang_ms=FOREVER))
    runs = {}
    for side in sides:
        body = {"input": twin.question(f"Please see to {side.word}."), "background": True}
        runs[side] = (await ask(twin, side.key, "POST", f"/v1/agents/{twin.agent}/runs", body)).json()["run"]
        if not await _until(twin, side, f"/v1/runs/{runs[side]}", lambda view: view.get("state") == "running"):
            raise GoliveError("a run does not begin")
    await twin.process.kill()
    await twin.simulator.calm()
    await twin.process.start()
    wrong = []
    for side, other in (sides, sides[::-1]):
        if not await _until(twin, side, f"/v1/runs/{runs[side]}", lambda view: view.get("outcome") is not None):
            wrong.append(f"the run of {side.tenant} was not gone on with after the server's end")
        if (await ask(twin, other.key, "GET", f"/v1/runs/{runs[side]}")).status != 404:
            wrong.append(f"the run of {side.tenant} is one of {other.tenant} after the server's end")
    sent = [body for target in dict.fromkeys(twin.targets) for body in await twin.simulator.bodies(target)]
    if any(all(side.word in body for side in sides) for body in sent):
        wrong.append("a model was sent words of both in one call")
    return wrong


async def _scheduled(twin: Twin, sides: tuple[Side, Side]) -> list[str]:
    """Each has runs by its own schedule, with its own words."""
    wrong = []
    end = twin.clock.monotonic() + WAIT_S
    for side, other in (sides, sides[::-1]):
        name = f"check_{side.path[1:]}"
        begun = await _until(
            twin, side, "/v1/schedules", lambda view: bool(view["data"] and view["data"][0]["last_run"]), end
        )
        if begun is None:
            wrong.append(f"the schedule of {side.tenant} begins no run in it")
            continue
        if [card["name"] for card in begun["data"]] != [name]:
            wrong.append(f"{side.tenant} is told of schedules that are not its own")
        run = begun["data"][0]["last_run"]
        journal = await ask(twin, side.key, "GET", f"/v1/runs/{run}/events?format=json")
        if side.word.encode() not in journal.body or other.word.encode() in journal.body:
            wrong.append(f"the run by the clock of {side.tenant} says what is not its own")
        if (await ask(twin, other.key, "GET", f"/v1/runs/{run}")).status != 404:
            wrong.append(f"the run by the clock of {side.tenant} is one of {other.tenant}")
    return wrong


async def _told(twin: Twin, sides: tuple[Side, Side], got: list[Got]) -> list[str]:
    """Each receiver is told of one tenant alone, signed with that webhook's own key."""
    end = twin.clock.monotonic() + WAIT_S
    while twin.clock.monotonic() < end:
        if {each.path for each in got} == {side.path for side in sides}:
            break
        await asyncio.sleep(LOOK_S)
    wrong = []
    for side, other in (sides, sides[::-1]):
        mine = [each for each in got if each.path == side.path]
        if not mine:
            wrong.append(f"the webhook of {side.tenant} is told nothing")
        whose = {msgspec.json.decode(each.body)["data"].get("tenant") for each in mine}
        if whose - {side.tenant}:
            wrong.append(
                f"the webhook of {side.tenant} is told of runs of {', '.join(map(str, whose - {side.tenant}))}"
            )
        if any(other.word.encode() in each.body or other.tenant.encode() in each.body for each in mine):
            wrong.append(f"the webhook of {side.tenant} is told words of {other.tenant}")
        if not all(_signed(each, side.secret) and not _signed(each, other.secret) for each in mine):
            wrong.append(f"messages of {side.tenant} are not signed with its webhook's key alone")
        cards = (await ask(twin, side.key, "GET", "/v1/webhooks")).json()["data"]
        if [card["name"] for card in cards] != [f"check_{side.path[1:]}"]:
            wrong.append(f"{side.tenant} is told of webhooks that are not its own")
    return wrong


def _signed(got: Got, secret: str) -> bool:
    at = int(got.headers["webhook-timestamp"])
    return signature(key_of(secret), got.headers["webhook-id"], at, got.body) in got.headers["webhook-signature"]


async def _counted(twin: Twin, platform_key: str, sides: tuple[Side, Side]) -> list[str]:
    """Series say whose they are, and no tenant may read them."""
    text = (await ask(twin, platform_key, "GET", "/metrics")).body.decode()
    wrong = []
    bare = {line.partition("{")[0] for line in text.splitlines() if _OF_TENANTS.match(line) and 'tenant="' not in line}
    if bare:
        wrong.append(f"metrics that do not say whose they are: {', '.join(sorted(bare)[:4])}")
    for side in sides:
        if not re.search(rf'^golive_runs_total{{.*tenant="{side.tenant}".*}} [1-9]', text, re.M):
            wrong.append(f"no run of {side.tenant} is counted as its own")
        if (await ask(twin, side.key, "GET", "/metrics")).status != 403:
            wrong.append(f"{side.tenant} may read everybody's metrics")
    return wrong


async def _removed(twin: Twin, platform_key: str, sides: tuple[Side, Side], got: list[Got]) -> list[str]:
    """The first keeps finished runs for no time; the second's stay."""
    first, second = sides

    async def finished(side: Side) -> set[str]:
        page = (await ask(twin, side.key, "GET", "/v1/runs?state=finished&limit=200")).json()
        return {str(row["run"]) for row in page["data"]}

    told = {str(msgspec.json.decode(each.body)["data"]["run"]) for each in got}
    before = {side: told & await finished(side) for side in sides}  # others wait until their message is told
    reply = await ask(twin, platform_key, "POST", f"/v1/tenants/{first.tenant}", {"keep_days": KEEP_DAYS})
    if reply.status != 200:
        return [f"how long {first.tenant} keeps its runs cannot be set: HTTP {reply.status}"]
    await twin.restart()  # it looks at once then, and every minute afterwards
    end = twin.clock.monotonic() + WAIT_S
    while twin.clock.monotonic() < end:
        if not before[first] & await finished(first):
            break
        await asyncio.sleep(LOOK_S)
    wrong = []
    if before[first] & await finished(first):
        wrong.append(f"runs of {first.tenant} stay behind their time")
    if not before[second] <= await finished(second):
        wrong.append(f"runs of {second.tenant} are removed with those of {first.tenant}")
    return wrong


async def _until(twin: Twin, side: Side, path: str, done: Any, end: float | None = None) -> dict[str, Any] | None:
    """What is told there once it is `done`; None: it does not come before `end`."""
    end = twin.clock.monotonic() + WAIT_S if end is None else end
    while True:
        view = (await ask(twin, side.key, "GET", path)).json()
        if isinstance(view, dict) and done(view):
            return view
        if twin.clock.monotonic() >= end:
            return None
        await asyncio.sleep(LOOK_S)


# ---- whom webhooks tell ----------------------------------------------------------------------------------------------


def _shown(got: list[Got]) -> str:
    return "\n".join(f"{each.path} {each.body[:160].decode('utf-8', 'replace')}" for each in got) or "nothing"


@asynccontextmanager
async def _receiver() -> AsyncIterator[tuple[str, list[Got]]]:
    """An address that takes what it is told, and what it was told."""
    got: list[Got] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                headers = dict(_headers([each async for each in _head(reader)]))
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                got.append(Got(line.decode("latin-1").split(" ")[1], headers, body))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, ValueError, IndexError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", got
    finally:
        server.close()


async def _head(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    while line := (await reader.readline()).strip():
        yield line.decode("latin-1")


def _headers(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()
