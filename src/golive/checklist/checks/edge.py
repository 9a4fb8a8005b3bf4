"""Does every answer protect whoever reads it in a browser, and do slow strangers keep nobody from being served?"""

import asyncio
import contextlib
from collections.abc import Mapping
from urllib.parse import urlsplit

from golive.checklist.drill import noted, too_long
from golive.checklist.http import Reply
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin

CONSTANT: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""What each answer must say, to the letter."""
FOREIGN = ("https://golive-check.example", "null")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_TOLD = 6

SLOW = 200
"""Connections that trickle."""
PACE_S = 0.05
"""Between two of their bytes, in real time."""
USERS_S = 1.0
"""Longest wait of another client for /v1/agents, in real time."""
MARGIN_S = 2.0
"""Beyond header_s, in real time, until a slow connection must be closed."""


@check(
    "GW-11.headers",
    row="GW-11",
    title="Every answer forbids caches, guessing, embedding and foreign scripts; no website may ask that is not named",
    phase="security",
    severity="major",
    needs={"golive"},
    remediation="Let no proxy take away or add headers of golive's; name websites exactly in server.cors.origins.",
    references=("https://owasp.org/www-project-secure-headers/", "https://fetch.spec.whatwg.org/#http-cors-protocol"),
)
async def headers(target: Target) -> Result:
    """Answers of every kind are looked at: to strangers, to a key, errors, a page; and to a foreign website."""
    found = Finding("every header on every answer, no policy that allows inline scripts, 0 foreign origins allowed")
    wrong: list[str] = []
    replies = [await _ask(target, *asked) for asked in (
        ("GET", "/health/live", False), ("GET", "/v1/agents", False), ("GET", "/v1/agents", True),
        ("GET", "/v1/no-such-path", True), ("POST", "/v1/chat/completions", True), ("GET", "/docs", True),
    )]  # fmt: skip
    for reply in replies:
        wrong += [f"{reply.sent.method} {urlsplit(reply.sent.url).path}: {fault}" for fault in _faults(reply)]
    foreign = [await _foreign(target, origin, method) for origin in FOREIGN for method in ("GET", "OPTIONS")]
    for reply in foreign:
        allowed = reply.headers.get("access-control-allow-origin")
        if allowed is not None:
            wrong.append(f"a website of another origin may ask (Access-Control-Allow-Origin: {allowed})")
    found.measured = f"{len(replies)} answers, {len(foreign)} of them to foreign websites: {len(wrong)} faults"
    for reply in (*replies[-1:], *foreign[:1]):
        lines = "\n".join(f"{name}: {value}" for name, value in reply.headers.items())
        found.saw(target.http.evidence(reply, lines))
    if wrong:
        return found.failed("; ".join(dict.fromkeys(wrong[:MOST_TOLD])) + (" …" if len(wrong) > MOST_TOLD else ""))
    if urlsplit(target.url).scheme == "http" and urlsplit(target.url).hostname not in LOOPBACK:
        return found.failed(f"{target.url} is not encrypted: keys and content go over the network as they are")
    return found.passed()


async def _ask(target: Target, method: str, path: str, known: bool) -> Reply:
    body: object = {} if method == "POST" else None
    sent = target.authorized() if known else {}
    return await target.http.send(method, target.url + path, headers=sent, body=body)


async def _foreign(target: Target, origin: str, method: str) -> Reply:
    asked = {"Origin": origin} | (
        {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        if method == "OPTIONS"
        else target.authorized()
    )
    return await target.http.send(method, f"{target.url}/v1/agents", headers=asked)


def _faults(reply: Reply) -> list[str]:
    """What is wrong with the headers of an answer."""
    told = reply.headers
    wrong = [
        f"{name} is {told.get(name, 'missing')!r}, not {value!r}"
        for name, value in CONSTANT.items()
        if told.get(name) != value
    ]
    if any(letter.isdigit() for letter in told.get("server", "")):
        wrong.append(f"Server tells a version ({told['server']})")
    if urlsplit(reply.sent.url).scheme == "https" and "max-age=" not in told.get("strict-transport-security", ""):
        wrong.append("Strict-Transport-Security is missing")
    policy = {
        name: rule
        for name, _, rule in (
            part.strip().partition(" ") for part in told.get("content-security-policy", "").split(";")
        )
    }
    if policy.get("frame-ancestors") != "'none'" or policy.get("default-src") not in ("'none'", "'self'"):
        wrong.append("Content-Security-Policy is missing, or lets others embed it, or begins with everything")
    if any(word in " ".join(policy.values()) for word in ("'unsafe-inline'", "'unsafe-eval'")):
        wrong.append("Content-Security-Policy allows what is inline")
    return wrong


@check(
    "GW-11.slow",
    row="GW-11",
    title=f"{SLOW} connections that trickle their headers keep nobody from being served, and are closed in time",
    phase="resilience",
    severity="major",
    needs={"process", "clock", "golive"},
    where="fast",
    remediation="Lower server.limits.header_s and server.limits.connections_per_ip; let proxies have such limits, too.",
    references=("https://www.rfc-editor.org/rfc/rfc9110#name-408-request-timeout", "CWE-400"),
)
async def slow(target: Target) -> Result:
    """Byte by byte, never silent for long and never done: only a limit for the whole head ends that."""
    twin = await target.twin.fast()
    limit_s = twin.loaded.config.server.limits.header_s
    real_s = limit_s / twin.speed
    found = Finding(
        f"each of the others within {USERS_S:g} s; all {SLOW} closed {limit_s:g} s after they began, {MARGIN_S:g} s of "
        "this machine's more at most"
    )
    if why := too_long(twin, limit_s):
        return found.unknown(f"server.limits.header_s: {why}")
    parts = urlsplit(twin.url)
    held = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(SLOW)]
    clock = twin.http.clock
    began = clock.monotonic()
    open_now, served, last_s = set(range(SLOW)), [], 0.0
    try:
        for byte in _trickle():
            for number in list(open_now):
                reader, writer = held[number]
                if reader.at_eof() or writer.is_closing():
                    open_now.discard(number)
                    last_s = clock.monotonic() - began
                else:
                    writer.write(byte)
            served.append(await _served(twin))
            if not open_now or clock.monotonic() - began > real_s + MARGIN_S:
                break
            await asyncio.sleep(PACE_S)
    finally:
        for _, writer in held:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    slowest_s = max(seconds for _, seconds in served)
    refused = [status for status, _ in served if status != 200]
    found.measured = (
        f"{len(served)} others asked meanwhile, {len(served) - len(refused)} answered, the slowest after "
        f"{slowest_s * 1000:.0f} ms; {SLOW - len(open_now)} of {SLOW} closed, the last after "
        f"{last_s * twin.speed:.1f} s by the server's clock ({limit_s:g} s configured)"
    )
    found.saw(noted(twin, f"{SLOW} connections, a byte every {PACE_S:g} s", found.measured))
    if refused:
        return found.failed(f"{len(refused)} others were not served (HTTP {refused[0]})")
    if slowest_s > USERS_S:
        return found.failed(f"another client waited {slowest_s:.1f} s")
    if open_now:
        return found.failed(f"{len(open_now)} of {SLOW} slow connections were still open: nothing limits a whole head")
    return found.passed()


def _trickle() -> "list[bytes]":
    """A head that goes on and on, byte by byte."""
    return [bytes((byte,)) for byte in b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 2_000]


async def _served(twin: Twin) -> tuple[int, float]:
    reply = await twin.http.send("GET", f"{twin.url}/v1/agents", headers=twin.authorized(), remember=False)
    return reply.status, reply.seconds
