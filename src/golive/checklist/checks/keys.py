"""Is every door locked? Each endpoint is tried with no key, malformed ones, wrong ones and a revoked one."""

import asyncio
import base64
from typing import Any, NamedTuple

from golive.checklist.http import Reply
from golive.checklist.registry import check
from golive.checklist.results import Evidence, Finding, Result
from golive.checklist.target import KEY_SHOWN, Target
from golive.core.tasks import Tasks

LOGIN = ("/login", "/login/start/{issuer}", "/login/callback/{issuer}", "/logout")
PUBLIC = frozenset({"/health/live", "/health/ready", *LOGIN})
"""What load balancers ask, and where browsers log in (see `logins.py`): all that may answer without a key."""
AT_ONCE = 8
MOST_TOLD = 5
"""Endpoints named in words; the evidence and the count cover all."""
WAIT_S = 1.0
"""Within this a revoked key must be refused."""

_METHODS = ("get", "post", "put", "patch", "delete")
_INVENTED = "gl_00000000_" + "A" * 43
_OTHERS = (("POST", "/v1/chat/completions"), ("GET", "/v1/models"))
"""What any server of the OpenAI kind has."""


class _Attempt(NamedTuple):
    method: str
    path: str
    credential: str
    header: str | None


@check(
    "GW-2.keys",
    row="GW-2",
    title="Every endpoint but live and ready refuses missing, malformed, wrong and revoked keys with 401",
    phase="security",
    severity="blocker",
    remediation="Register every route behind the one door that authenticates; let no proxy answer or add credentials.",
    references=("https://www.rfc-editor.org/rfc/rfc9110#name-401-unauthorized", "OWASP API2:2023"),
)
async def doors_are_locked(target: Target) -> Result:
    """The endpoints come from the server's own OpenAPI document; without one, the two of the OpenAI kind are tried."""
    found = Finding("0 accepted")
    doors, described = await _doors(target)
    found.saw(described)
    proof = await target.send("GET", "/v1/agents" if target.golive else "/v1/models")
    found.saw(target.http.evidence(proof, "the good key"))
    if proof.status != 200:
        return found.unknown(f"the good key is refused too (HTTP {proof.status}): nothing can be told apart")
    credentials = _credentials(target)
    if "inject" in target.handles:
        credentials.append(("revoked", f"Bearer {await _revoked(target)}"))
    attempts = [_Attempt(*door, name, header) for door in doors for name, header in credentials]
    replies = await _try_all(target, attempts)
    opened = [(attempt, reply) for attempt, reply in zip(attempts, replies, strict=True) if reply.status != 401]
    names = ", ".join(dict.fromkeys(name for name, _ in credentials))
    found.measured = f"{len(attempts)} attempts on {len(doors)} endpoints ({names}): {len(opened)} not refused with 401"
    if not opened:
        for attempt, reply in list(zip(attempts, replies, strict=True))[:2]:
            found.saw(target.http.evidence(reply, f"{attempt.credential} key"))
        return found.passed()
    opened.sort(key=lambda pair: pair[1].status)  # those that let somebody in come first
    for attempt, reply in opened[:5]:
        found.saw(target.http.evidence(reply, f"{attempt.credential} key"))
    return found.failed(_told(opened))


def _told(opened: list[tuple[_Attempt, Reply]]) -> str:
    """A line per endpoint, the first few."""
    by_door: dict[str, list[str]] = {}
    for attempt, reply in opened:
        by_door.setdefault(f"{attempt.method} {attempt.path}", []).append(f"{attempt.credential} key: {reply.status}")
    lines = [f"{door} with {', '.join(dict.fromkeys(tried))}" for door, tried in by_door.items()]
    return "; ".join(lines[:MOST_TOLD]) + ("" if len(lines) <= MOST_TOLD else f"; and {len(lines) - MOST_TOLD} more")


def _credentials(target: Target) -> list[tuple[str, str | None]]:
    """(what it is, the Authorization header)."""
    found: list[tuple[str, str | None]] = [
        ("no", None),
        ("malformed", "Bearer"),
        ("malformed", "Bearer not-a-key"),
        ("wrong", f"Bearer {_INVENTED}"),
        ("Basic", "Basic " + base64.b64encode(f"any:{_INVENTED}".encode()).decode()),
    ]
    if target.key:
        nearly = target.key[:-1] + ("A" if target.key[-1] != "A" else "B")
        target.http.conceal(nearly, f"{KEY_SHOWN}-with-another-last-character")
        found.append(("nearly right", f"Bearer {nearly}"))
    return found


async def _doors(target: Target) -> tuple[list[tuple[str, str]], Evidence]:
    """Method and path of every endpoint that must be locked, path parameters filled in."""
    reply = await target.send("GET", "/openapi.json")
    document = reply.json()
    doors: list[tuple[str, str]] = []
    if target.golive and reply.status == 200 and isinstance(document, dict):
        paths: dict[str, Any] = document.get("paths", {})
        for path, operations in paths.items():
            if path not in PUBLIC:
                doors += [(method.upper(), _filled(path, target)) for method in _METHODS if method in operations]
    return doors or list(_OTHERS), target.http.evidence(reply, f"{len(doors)} endpoints described")


def _filled(path: str, target: Target) -> str:
    """The path with names that exist where we know one; a request that got in could do no harm."""
    names = {"agent": target.agent or "none", "model": target.model or "none"}
    parts = path.split("/")
    return "/".join(names.get(part[1:-1], "none") if part.startswith("{") else part for part in parts)


async def _try_all(target: Target, attempts: list[_Attempt]) -> list[Reply]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(attempt: _Attempt) -> Reply:
        headers = {} if attempt.header is None else {"Authorization": attempt.header}
        body: object = {} if attempt.method in ("POST", "PUT", "PATCH") else None
        async with places:
            return await target.http.send(attempt.method, target.url + attempt.path, headers=headers, body=body)

    async with Tasks("doors") as tasks:
        tries = [tasks.start(one(attempt), f"{attempt.method} {attempt.path}") for attempt in attempts]
    return [done.result() for done in tries]


async def _revoked(target: Target) -> str:
    """A key that worked, was revoked, and had `WAIT_S` to stop working."""
    key_id, key = target.twin.revocable
    headers = {"Authorization": f"Bearer {key}"}
    await target.http.send("GET", f"{target.url}/v1/agents", headers=headers)
    await target.send("DELETE", f"/v1/keys/{key_id}")
    deadline = target.clock.monotonic() + WAIT_S
    while target.clock.monotonic() < deadline:
        if (await target.http.send("GET", f"{target.url}/v1/agents", headers=headers)).status == 401:
            break
        await asyncio.sleep(0.05)
    return key
