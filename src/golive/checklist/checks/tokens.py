"""Are tokens of an OpenID Connect issuer verified? Good ones are taken, bad ones refused, changes heeded.

The issuer is the drill's own, on this machine, and the server a twin that is configured with it: what is tried is how
golive verifies, not the user's issuer, of which no token can be had.
"""

import asyncio
from contextlib import AsyncExitStack

from golive.checklist.http import Reply
from golive.checklist.issuer import AUDIENCE, USER, DrillIssuer, issuing
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin

STARTING_S = 5.0
"""Within this the server has the issuer's keys."""
ROTATION_S = 12.0
"""Within this a token by a new key is taken: keys are read anew at most every 10 s."""
REVOKED_S = 1.0
SECTION = "GOLIVE_AUTH__OIDC__DRILL__"


@check(
    "GW-2.tokens",
    row="GW-2",
    title="Unsigned, forged, expired, foreign and revoked tokens are refused with 401, in one text; good ones taken",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "golive"},
    where="own",
    remediation="Report it: golive's own verification is broken. Until then remove [auth.oidc] and use API keys.",
    references=("RFC 8725", "OWASP API2:2023"),
    timeout_s=90.0,
)
async def tokens_are_verified(target: Target) -> Result:
    """A twin with the drill's issuer; each bad token is tried, then revocation, rotation, an outage of the issuer."""
    found = Finding("0 taken of the bad ones, 1 text for all; good ones taken")
    async with issuing(target.clock) as issuer, AsyncExitStack() as stack:
        settings = {"ISSUER": issuer.url, "AUDIENCE": AUDIENCE, "ROLE": "viewer", "TENANT": "default"}
        twin = await target.twin.configured({f"{SECTION}{name}": value for name, value in settings.items()})
        stack.push_async_callback(twin.end)
        good = issuer.token()
        taken = await _until(twin, good, 200, STARTING_S)
        found.saw(twin.http.evidence(await _ask(twin, good), "a good token"))
        if taken is None:
            return found.failed(f"a good token of the issuer was not taken within {STARTING_S:g} s")
        bad = issuer.bad()
        replies = [(what, await _ask(twin, token)) for what, token in bad]
        opened = [(what, reply) for what, reply in replies if reply.status != 401]
        texts = {(reply.body, reply.headers.get("www-authenticate", "")) for _, reply in replies}
        found.measured = f"{len(bad)} bad tokens: {len(opened)} not refused with 401, {len(texts)} texts"
        for what, reply in (opened or replies)[:3]:
            found.saw(twin.http.evidence(reply, f"a token with {what}"))
        if opened:
            return found.failed(f"not refused: {'; '.join(f'{what} ({reply.status})' for what, reply in opened[:6])}")
        if len(texts) > 1 or not all(challenge for _, challenge in texts):
            return found.failed("the refusals differ, or lack WWW-Authenticate: they tell a stranger what was wrong")
        return await _changes(found, twin, issuer, good)


async def _changes(found: Finding, twin: Twin, issuer: DrillIssuer, good: str) -> Result:
    """Revocation, a new key, an outage; adds to what was measured."""
    other = issuer.token("ec-1", jti="another", sub="someone")
    body = {"user": USER, "issuer": "drill"}
    revocation = await twin.send("POST", "/v1/auth/revocations", body)
    found.saw(twin.http.evidence(revocation, "all tokens of the user revoked"))
    revoked = await _until(twin, good, 401, REVOKED_S)
    if revocation.status != 201 or revoked is None:
        return found.failed(f"a revoked token was still taken after {REVOKED_S:g} s")
    if (await _ask(twin, other)).status != 200:
        return found.failed("a token of another user was refused, too")
    kid = issuer.rotate()
    rotated = await _until(twin, issuer.token(kid, sub="new"), 200, ROTATION_S)
    if rotated is None:
        return found.failed(f"a token by the issuer's new key was not taken within {ROTATION_S:g} s")
    if (await _ask(twin, other)).status != 401:
        return found.failed("a token by a key that the issuer has withdrawn was still taken")
    await issuer.stop()
    away = await _ask(twin, issuer.token(kid, sub="newer"))
    found.measured += (
        f"; revoked after {revoked * 1_000:.0f} ms; a new key counted after {rotated:.1f} s; "
        f"with the issuer away a token was answered {away.status}"
    )
    if away.status != 200:
        return found.failed("with the issuer away tokens by its known key are refused")
    return found.passed()


async def _ask(twin: Twin, token: str) -> Reply:
    twin.http.conceal(token, "$TOKEN")
    headers = {"Authorization": f"Bearer {token}"}
    return await twin.http.send("GET", f"{twin.url}/v1/agents", headers=headers)


async def _until(twin: Twin, token: str, status: int, within_s: float) -> float | None:
    """How long it took until the token was answered so, seconds; None: it was not."""
    began = twin.clock.monotonic()
    while (await _ask(twin, token)).status != status:
        if twin.clock.monotonic() - began > within_s:
            return None
        await asyncio.sleep(0.05)
    return twin.clock.monotonic() - began
