"""Credentials that change under load: does a run fail when one is replaced, and how long is a revoked one used?

Both drills run on twins of their own, whose providers' credentials lie in files as an orchestrator mounts them.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from golive.checklist.postgres import PostgresNotStarted, own_folder, postgres, programs
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result, evidence
from golive.checklist.server_process import ServerProcess
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.core.tasks import Tasks
from golive.guards import environments
from golive.sim.script import Script

RUNS = 20
AFTER = 5
"""Runs begun after the change, and again after the vendor takes the old value no more."""
PACE_MS, TOKENS = 50.0, 40
LOOK_S = 0.02
BEGIN_S = 20.0
"""Longest wait for the runs to be in flight."""
WITHIN_S = 1.0
ASKING_S = 2.5
"""How long users go on asking after a revocation."""
USERS = 4
"""Who ask each server, one question after the other."""
FIRST, SECOND = "drill-first.key", "drill-second.key"
_NO_NAME = re.compile(r"[^A-Z0-9]")


class _Pair(NamedTuple):
    """A twin, and the servers that are asked: its own, and where there is a PostgreSQL another beside it."""

    twin: Twin
    urls: list[str]


def _settings(twin: Twin, *more: str) -> dict[str, str]:
    """Every provider's credentials out of files."""
    found = {}
    for name in twin.original.config.providers:
        variable = f"GOLIVE_PROVIDERS__{_NO_NAME.sub('_', name.upper())}__"
        found[f"{variable}API_KEY"] = f"file:{FIRST}"
        found[f"{variable}MORE_API_KEYS"] = ",".join(f"file:{each}" for each in more)
    return found


async def _ask(twin: Twin, url: str) -> str:
    """What came of one question; "" where all is well."""
    if twin.agent is not None:
        body: dict[str, object] = {"input": twin.question("Hello?")}
        path = f"/v1/agents/{twin.agent}/runs"
    else:
        body, path = twin.chat("Hello?"), "/v1/chat/completions"
    reply = await twin.http.send("POST", url + path, headers=twin.authorized(), body=body, remember=False)
    said = reply.json()
    if reply.status != 200:
        return f"HTTP {reply.status}"
    outcome = said.get("outcome") if isinstance(said, dict) else None
    return f"{outcome}: {said.get('reason')}" if outcome == "failed" else ""


async def _in_flight(twin: Twin, count: int) -> None:
    async with asyncio.timeout(BEGIN_S):
        while await twin.simulator.asked() < count:  # noqa: ASYNC110 - the provider is another process
            await asyncio.sleep(LOOK_S)


@check(
    "SEC-2.rotation",
    row="SEC-2",
    title=f"A credential is replaced under {RUNS} runs in flight: none fails, and the next call has the new one",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "simulator", "golive"},
    where="own",
    remediation="Keep credentials behind references that are read again (file:, aws-sm:, vault:); let both be valid at "
    "the vendor until no call uses the old one.",
    references=("https://csrc.nist.gov/pubs/sp/800/57/pt1/r5/final",),
    timeout_s=90.0,
)
async def rotation_fails_no_run(target: Target) -> Result:
    """The file changes while models speak; then the vendor takes the old value no more."""
    found = Finding("0 failed; the new credential from the next call on")
    if not target.twin.original.config.providers:
        return found.unknown("the configuration has no provider")
    twin = await target.twin.configured(_settings(target.twin))
    try:
        return await _rotate(found, twin)
    finally:
        await twin.end()


async def _rotate(found: Finding, twin: Twin) -> Result:
    old = twin.secrets["the provider's key"]
    new = f"{old}-rotated"
    twin.http.conceal(new, "$PROVIDER_KEY_ROTATED")
    (twin.folder / FIRST).write_text(old)
    await twin.simulator.accept(old, new)
    await twin.simulator.play(Script(mode="text", tokens=TOKENS, pace_ms=PACE_MS))
    await twin.simulator.forget()
    async with Tasks("runs in flight") as tasks:
        runs = [tasks.start(_ask(twin, twin.url), f"run {number}") for number in range(RUNS)]
        await _in_flight(twin, RUNS)
        before = len(await twin.simulator.received())
        fresh = twin.folder / f"{FIRST}.new"
        fresh.write_text(new)
        fresh.replace(twin.folder / FIRST)
        await twin.simulator.play(Script(mode="text", tokens=8))
        later = [await _ask(twin, twin.url) for _ in range(AFTER)]
    await twin.simulator.accept(new)
    later += [await _ask(twin, twin.url) for _ in range(AFTER)]
    failed = [said for said in [*(run.result() for run in runs), *later] if said]
    received = await twin.simulator.received()
    olds = {each.credential for each in received[:before]}
    late = sum(each.credential in olds for each in received[before:])
    found.measured = (
        f"{RUNS} runs in flight and {len(later)} after: {len(failed)} failed; {late} of {len(received) - before} later "
        "calls with the old credential"
    )
    told = "\n".join(f"{each.at:.3f} {each.target} with credential {each.credential}" for each in received)
    found.saw(evidence("the provider's request log", told, twin.clock.now()))
    if failed or late:
        return found.failed("; ".join([*failed[:3], *([f"{late} calls began with the old one"] if late else [])]))
    return found.passed()


@check(
    "SEC-2.revoked",
    row="SEC-2",
    title="A credential that is revoked begins no call on any server within 1 s, and the next one takes over",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "simulator", "golive"},
    where="own",
    remediation="Give each provider a second credential (more_api_keys); let every server reach the one store.",
    timeout_s=90.0,
)
async def revoked_within_a_second(target: Target) -> Result:
    """`golive secrets revoke` beside two servers on one PostgreSQL (one on SQLite where there is none), under load."""
    found = Finding(f"<= {WITHIN_S:g} s to the last call with it; 0 failed")
    if not target.twin.original.config.providers:
        return found.unknown("the configuration has no provider")
    async with AsyncExitStack() as stack:
        try:
            pair = await stack.enter_async_context(_servers(target))
        except PostgresNotStarted as error:
            return found.unknown(error.message)
        return await _revoke(found, pair)


async def _revoke(found: Finding, pair: _Pair) -> Result:
    twin = pair.twin
    failed: list[str] = []
    over = asyncio.Event()

    async def user(url: str) -> None:
        while not over.is_set():
            if said := await _ask(twin, url):
                failed.append(said)
            await asyncio.sleep(LOOK_S)  # what is measured is when, not how many: the command is to find a processor

    await twin.simulator.forget()
    async with Tasks("users") as tasks:
        for number in range(USERS):
            for url in pair.urls:
                tasks.start(user(url), f"{url} {number}")
        await _in_flight(twin, 4 * len(pair.urls))
        config = str(twin.folder / "golive.toml")
        words = ["secrets", "revoke", f"file:{FIRST}", "--reason", "a drill", "--config", config]
        code, out, err = await twin.process.also(words, BEGIN_S)
        await asyncio.sleep(ASKING_S)
        over.set()
    if code != 0:
        return found.failed(f"golive secrets revoke ended with {code}: {twin.http.clean(err)[-300:]}")
    status = await twin.http.send("GET", f"{pair.urls[0]}/v1/secrets", headers=twin.authorized())
    found.saw(twin.http.evidence(status))
    told = status.json()
    at = float(told["revoked"][0]["revoked_at"]) if isinstance(told, dict) and told.get("revoked") else None
    received = await twin.simulator.received()
    old = received[0].credential
    last = max(each.at for each in received if each.credential == old)
    after = sum(each.credential != old for each in received)
    found.saw(evidence("golive secrets revoke", out, twin.clock.now()))
    if at is None:
        return found.failed("the server does not know of the revocation")
    seconds = max(last - at, 0.0)
    found.measured = (
        f"{len(pair.urls)} servers, {len(received)} calls: the last with the revoked credential {seconds:.3f} s after "
        f"it, {after} with the next one, {len(failed)} questions failed"
    )
    if seconds > WITHIN_S or failed or not after:
        return found.failed("; ".join(failed[:3]) or f"it was used for {seconds:.2f} s after it was revoked")
    if len(pair.urls) == 1:
        return found.warned("one server alone: there is no PostgreSQL here on which two could be tried")
    return found.passed()


@asynccontextmanager
async def _servers(target: Target) -> AsyncIterator[_Pair]:
    async with AsyncExitStack() as stack:
        settings = _settings(target.twin, SECOND)
        other: ServerProcess | None = None
        if programs() is not None:
            folder = stack.enter_context(own_folder())
            settings["GOLIVE_STORE__URL"] = await stack.enter_async_context(postgres(folder, target.clock))
        twin = await target.twin.configured(settings)
        stack.push_async_callback(twin.end)
        old = twin.secrets["the provider's key"]
        twin.http.conceal(f"{old}-second", "$PROVIDER_KEY_SECOND")
        for name, value in ((FIRST, old), (SECOND, f"{old}-second")):
            (twin.folder / name).write_text(value)
        await twin.simulator.accept(old, f"{old}-second")
        await twin.simulator.play(Script(mode="text", tokens=4, pace_ms=10))
        urls = [twin.url]
        if "GOLIVE_STORE__URL" in settings:
            beside = twin.folder / "beside"
            beside.mkdir()
            other = twin.process.beside(beside, {})
            stack.push_async_callback(other.kill)
            urls.append(await other.start())
        yield _Pair(twin, urls)


@check(
    "SEC-2.environments",
    row="SEC-2",
    title="No two environments share a credential",
    phase="security",
    severity="major",
    needs={"process", "golive"},
    remediation="Have the vendor make one for each environment; `golive secrets manifest --write` in each notes them.",
)
async def environments_share_none(target: Target) -> Result:
    """By the manifest that the environments write their salted fingerprints into."""
    found = Finding("0 shared")
    loaded = target.twin.original
    name = loaded.config.environment.manifest
    if name is None:
        return found.unknown("[environment] names no manifest that the environments share")
    manifest = environments.read(loaded.root / name)
    if manifest is None or len(manifest.environments) < 2:
        return found.unknown("fewer than two environments have written `golive secrets manifest --write`")
    shared = manifest.shared()
    found.measured = f"{len(manifest.environments)} environments: {len(shared)} shared"
    lines = [f"{one} ({reference}) and {other} ({same})" for one, reference, other, same in shared]
    found.saw(evidence("golive secrets manifest", "\n".join(lines) or "none shared", target.clock.now()))
    return found.failed("; ".join(lines[:5])) if shared else found.passed()
