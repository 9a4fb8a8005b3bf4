"""golive against a real OpenID Connect provider: login, every face, rotation, outage, revocation."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from openai import AsyncOpenAI

from golive.tenants.tokens import parse
from tests.e2e.process_kit import RUNS, Project, golive, project
from tests.oidc_kit import Provider, provider

SECTION = """
[auth.oidc.corp]
issuer = "{issuer}"
audience = ["golive"]
tokens = "any"
roles_claim = "groups"
{more}

[auth.oidc.corp.roles]
"golive-users" = "user"
"golive-admins" = "admin"
"""


@pytest.fixture
def issuer() -> Any:
    with provider() as found:
        yield found


@pytest.fixture
async def served(tmp_path: Path, issuer: Provider) -> AsyncIterator[Project]:
    async with project(tmp_path, SECTION.format(issuer=issuer.issuer, more="")) as made:
        await made.serve()
        yield made


async def token_of(issuer: Provider, sub: str = "alice", *groups: str, client: str = "golive") -> str:
    await issuer.user(sub, groups=list(groups or ("golive-users",)))
    return str((await issuer.login(sub, client))["id_token"])


async def status(served: Project, token: str, path: str = "/v1/agents") -> int:
    async with served.client(token) as http, http.get(path) as answer:
        body = await answer.read()
        if answer.status == 401:
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="golive"'
            assert b"golive:problem" in body
        return answer.status


async def until(served: Project, token: str, wanted: int, within_s: float) -> float:
    """How long it took until the token was answered so."""
    began = time.monotonic()
    while await status(served, token) != wanted:
        assert time.monotonic() - began < within_s, f"not {wanted} within {within_s} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def logged(served: Project, event: str) -> list[dict[str, Any]]:
    return [line for line in served.log() if line["event"] == event]


async def test_who_logs_in_at_the_provider_may_use_every_face(served: Project, issuer: Provider) -> None:
    """The OpenAI client's api_key, Anthropic's x-api-key, a stream of a run; journals name the user."""
    token = await token_of(issuer)
    served.script("sim-talk", text="Good morning.")
    async with AsyncOpenAI(api_key=token, base_url=f"{served.url}/v1", max_retries=0) as client:
        answer = await client.chat.completions.create(model="talk", messages=[{"role": "user", "content": "Hi"}])
        assert answer.choices[0].message.content == "Good morning."
        stream = await client.chat.completions.create(
            model="talk", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces) == "Good morning."
    async with anthropic.AsyncAnthropic(base_url=served.url, api_key=token, max_retries=0) as client:
        message = await client.messages.create(
            model="talk", max_tokens=50, messages=[{"role": "user", "content": "Hi"}]
        )
        assert message.content[0].text == "Good morning."  # type: ignore[union-attr]
    async with served.client(token) as http:
        async with http.post(RUNS, json={"input": "Hi", "stream": True}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            assert b"run.finished" in await answer.read()
        async with http.get("/v1/runs") as answer:
            runs = (await answer.json())["data"]
    assert {run["principal"] for run in runs} == {"user:alice"}


async def test_a_role_is_what_the_claims_map_to_and_without_one_nothing_is_allowed(
    served: Project, issuer: Provider
) -> None:
    """403 and not 401: who asks is known. An admin by claim may do what an admin may."""
    nobody = await token_of(issuer, "bob", "guests")
    assert await status(served, nobody) == 403
    assert await status(served, await token_of(issuer), "/v1/keys") == 403
    assert await status(served, await token_of(issuer, "carol", "golive-admins"), "/v1/keys") == 200


async def test_what_the_provider_did_not_sign_for_us_is_refused(served: Project, issuer: Provider) -> None:
    """Its opaque access token, a token for another client, one changed, one by nobody: 401, all in the same words."""
    tokens = await issuer.login("alice")
    token = await token_of(issuer)
    first, _, last = token.split(".")
    claims = parse(token).claims | {"groups": ["golive-admins"]}
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    bad = [
        tokens["access_token"], tokens["refresh_token"], await token_of(issuer, client="other"),
        f"{first}.{forged}.{last}", f"{first}.{forged}.", token[:-4], f"{token}.x", "", "Bearer", "eyJ",
    ]  # fmt: skip
    answers: set[tuple[int, str, str]] = set()
    for each in bad:
        async with served.client(each) as http, http.get("/v1/agents") as answer:
            answers.add((answer.status, answer.headers["WWW-Authenticate"], await answer.text()))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 401
    reasons = {line["reason"] for line in logged(served, "auth.token_refused")}
    assert {"audience", "signature", "malformed"} <= reasons
    assert await status(served, token) == 200
    assert not any(token in json.dumps(line) for line in served.log())


async def test_a_new_key_counts_at_once_and_the_old_one_no_longer(issuer: Provider, tmp_path: Path) -> None:
    """The provider's tokens name no key: one that the old key did not sign has the key set read anew."""
    async with project(tmp_path, SECTION.format(issuer=issuer.issuer, more="")) as served:
        await served.serve()
        old = await token_of(issuer)
        assert await status(served, old) == 200
        asked = issuer.asked.count("/jwks")
        issuer.rotate()
        new = await token_of(issuer, "dora")
        took = await until(served, new, 200, 15)
        assert await status(served, old) == 401
        assert issuer.asked.count("/jwks") == asked + 1
        assert took < 11


async def test_tokens_are_taken_while_the_provider_is_away(served: Project, issuer: Provider) -> None:
    """Keys are kept; a server that starts meanwhile serves keys of its own, and takes tokens once it is back."""
    token, later = await token_of(issuer), await token_of(issuer, "eve")
    assert await status(served, token) == 200
    issuer.stop()
    assert (await status(served, token), await status(served, later)) == (200, 200)
    await served.stop()
    await served.serve()
    assert await status(served, token) == 401
    assert await status(served, served.key) == 200
    assert "refused" in logged(served, "auth.keys_unreadable")[-1]["error"]
    issuer.start()
    await until(served, token, 200, 15)


@pytest.mark.parametrize("way", ["api", "cli"])
async def test_revoked_tokens_are_refused_within_a_second(served: Project, issuer: Provider, way: str) -> None:
    """By the user's name, over HTTP and beside the server; what is made later is taken again."""
    token, other = await token_of(issuer), await token_of(issuer, "bob")
    assert (await status(served, token), await status(served, other)) == (200, 200)
    if way == "api":
        async with served.client() as http, http.post("/v1/auth/revocations", json={"user": "alice"}) as answer:
            assert answer.status == 201
            assert (await answer.json())["kind"] == "user"
        assert await status(served, token) == 401
    else:
        code, out, err = await golive(served.root, "auth", "revoke", "--user", "alice", environ=served.environ)
        assert (code, out.partition(" made")[0]) == (0, f"tokens of alice of {issuer.issuer}"), err
        assert await until(served, token, 401, 1.0) < 1.0
        _, out, _ = await golive(served.root, "auth", "revocations", environ=served.environ)
        assert out.splitlines()[-1].split("\t")[:4] == ["default", issuer.issuer, "user", "alice"]
    assert await status(served, other) == 200
    await asyncio.sleep(1.1)  # `iat` is in whole seconds
    assert await status(served, await token_of(issuer)) == 200
    assert logged(served, "auth.token_refused")[-1]["reason"] == "revoked"


async def test_who_may_not_revoke_does_not(served: Project, issuer: Provider) -> None:
    """A user's token, and an admin's for every tenant."""
    token = await token_of(issuer)
    admin = await token_of(issuer, "carol", "golive-admins")
    for key, body, wanted in (
        (token, {"user": "carol"}, 403),
        (admin, {"user": "carol", "every_tenant": True}, 403),
        (admin, {"jti": "x", "user": "y"}, 400),
        (admin, {"issuer": "none"}, 404),
        (admin, {}, 400),
        (admin, {"before": 1.0}, 400),
        (admin, {"before": 9e12}, 400),
    ):
        async with served.client(key) as http, http.post("/v1/auth/revocations", json=body) as answer:
            assert answer.status == wanted, await answer.text()
    assert (await status(served, token), await status(served, admin)) == (200, 200)


async def test_the_operator_is_told_why(served: Project, issuer: Provider) -> None:
    """`golive auth check -` and `golive auth issuers`; the exit code says which it is."""
    token = await token_of(issuer)
    code, out, err = await golive(served.root, "auth", "check", token, environ=served.environ)
    assert code == 0, err
    assert out.startswith("token      taken\n")
    assert "user       user:alice" in out
    code, out, _ = await golive(
        served.root, "auth", "check", await token_of(issuer, client="other"), "--json", environ=served.environ
    )
    told = json.loads(out)
    assert (code, told["token"], told["why"]) == (1, "refused: audience", "it is for ['other']; taken is golive")
    code, out, _ = await golive(served.root, "auth", "issuers", "--json", environ=served.environ)
    [card] = json.loads(out)["data"]
    assert (code, card["error"], card["jwks_url"]) == (0, "", f"{issuer.issuer}/jwks")
    assert [key["algorithm"] for key in card["keys"]] == ["RS256"]
    async with served.client() as http, http.get("/v1/auth/issuers") as answer:
        there = (await answer.json())["data"][0]
    assert there["keys"] == card["keys"]
    async with served.client() as http, http.get("/metrics") as answer:
        assert 'golive_token_keys_age_seconds{issuer="corp"}' in await answer.text()
    issuer.stop()
    code, out, _ = await golive(served.root, "auth", "issuers", environ=served.environ)
    assert (code, "refused" in out) == (1, True)


async def test_no_flood_of_bad_tokens_fills_the_log(served: Project, issuer: Provider) -> None:
    """Twenty are told, the rest is counted; the metric has them all."""
    head, _, last = (await token_of(issuer)).rpartition(".")
    async with served.client(f"{head}.{'A' if last[0] != 'A' else 'B'}{last[1:]}") as http:
        for _ in range(50):
            async with http.get("/v1/agents") as answer:
                assert answer.status == 401
    assert len(logged(served, "auth.token_refused")) == 20
    async with served.client() as http, http.get("/metrics") as answer:
        assert 'golive_tokens_refused_total{issuer="corp",reason="signature"} 50.0' in await answer.text()
