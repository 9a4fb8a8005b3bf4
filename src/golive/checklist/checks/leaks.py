"""Does a credential turn up where it does not belong: in the log, in the database, in an answer?"""

import base64
from collections.abc import Iterator, Mapping

from golive.checklist.registry import check
from golive.checklist.results import Evidence, Finding, Result, evidence
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.sim.script import Script

BAD_KEY = "gl_12345678_" + "mistyped" * 5 + "xyz"
"""A key that nobody was given: a mistyped one is still somebody's secret."""


@check(
    "SEC-1.log",
    row="SEC-1",
    title="No key in the server's log, in its database, or in any answer",
    phase="security",
    severity="blocker",
    needs={"process", "store", "inject", "golive"},
    remediation="Log no headers, no query strings and no vendor's words unredacted; keep only a key's HMAC.",
    references=("OWASP LLM02:2025 Sensitive Information Disclosure", "CWE-532"),
)
async def no_key_in_log(target: Target) -> Result:
    """Plants good and bad keys in headers, queries and broken bodies, lets a provider repeat its key, then searches."""
    twin = target.twin
    found = Finding("0 places")
    needles = _forms(twin.secrets | {"a mistyped key": BAD_KEY})
    twin.http.conceal(BAD_KEY, "$MISTYPED_KEY")
    for each in await _plant(target, twin):
        found.saw(each)
    places = [*_search_log(twin, needles), *_search_store(twin, needles), *_search_answers(twin, needles)]
    files = ", ".join(path.name for path in twin.store_files())
    searched = f"log of {len(twin.process.log())} characters, {files}, {len(twin.http.answers)} answers"
    found.measured = f"{len(needles)} forms of {len(twin.secrets) + 1} secrets in {searched}: {len(places)} places"
    command = f"grep -F -f secrets.txt {twin.process.log_file.name} {files}"
    report = "\n".join(places) or "nothing found"
    found.saw(evidence(command, twin.process.log(), twin.clock.now(), shown=report))
    return found.failed("; ".join(places[:5])) if places else found.passed()


def _forms(secrets: Mapping[str, str]) -> dict[str, bytes]:
    """What to look for: each secret as it is, and as the password of HTTP Basic."""
    forms = {name: secret.encode() for name, secret in secrets.items()}
    for name, secret in secrets.items():
        if secret.startswith("gl_"):
            forms[f"{name} (Basic)"] = base64.b64encode(f":{secret}".encode()).rstrip(b"=")
    return forms


async def _plant(target: Target, twin: Twin) -> list[Evidence]:
    """Requests that tempt a careless server to write a key down."""
    send = twin.http.send
    good, bad = target.authorized(), {"Authorization": f"Bearer {BAD_KEY}"}
    basic = {"Authorization": "Basic " + base64.b64encode(f":{target.key}".encode()).decode()}
    chat = f"{target.url}/v1/chat/completions"
    said = f"Incorrect API key provided: {twin.secrets[PROVIDER]}. You can find your API key in your account."
    refusing = Script(status=401, error_message=said, error_code="invalid_api_key")
    failing = Script(status=500, error_message=said)
    replies = [
        await send("GET", f"{target.url}/v1/agents", headers=bad),
        await send("GET", f"{target.url}/docs", headers=basic),
        await send("GET", f"{target.url}/v1/agents?api_key={target.key}", headers=good),
        await send("GET", f"{target.url}/v1/runs?api_key={BAD_KEY}", headers=good | {"X-Api-Key": target.key}),
        await send("POST", chat, headers=good, body=f'{{"model": "x", "api_key": "{target.key}"'.encode()),
        await send("POST", chat, headers=good, body={"model": target.model, "messages": 1, "api_key": target.key}),
    ]
    seen = [twin.http.evidence(reply) for reply in replies[:3]]
    for script in (refusing, failing):
        seen.append(await twin.simulator.play(script))
        replies.append(await target.send("POST", "/v1/chat/completions", target.chat("Hello?")))
        replies.append(await target.send("POST", "/v1/chat/completions", target.chat("Hello?", stream=True)))
        if target.agent is not None:
            replies.append((await target.run("Hello?"))[0])
            await target.journal(str((replies[-1].json() or {}).get("run")))
    seen.append(twin.http.evidence(replies[-1], "the provider's error repeated its key"))
    for path in ("/v1/config", "/v1/keys", "/metrics", "/health"):
        await target.send("GET", path)
    return seen


PROVIDER = "the provider's key"


def _search_log(twin: Twin, needles: Mapping[str, bytes]) -> Iterator[str]:
    log = (twin.process.log() + twin.process.out_file.read_text(errors="replace")).encode()
    for name, needle in needles.items():
        if needle in log:
            line = log[: log.index(needle)].count(b"\n") + 1
            yield f"{name} stands in the server's log, line {line}, {log.count(needle)} times"


def _search_store(twin: Twin, needles: Mapping[str, bytes]) -> Iterator[str]:
    for path in twin.store_files():
        data = path.read_bytes()
        for name, needle in needles.items():
            if needle in data:
                yield f"{name} stands in {path.name}, at byte {data.index(needle)}"


def _search_answers(twin: Twin, needles: Mapping[str, bytes]) -> Iterator[str]:
    for asked, answer in twin.http.answers:
        for name, needle in needles.items():
            if needle in answer:
                yield f"{name} stands in the answer to {twin.http.clean(asked)}"
