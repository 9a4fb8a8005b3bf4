"""Keys that people make, at a server whose issuer puts a prefix before their names: they end with the person."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process_kit import Project, golive, project
from tests.e2e.test_oidc import SECTION, status, token_of
from tests.oidc_kit import Provider, provider


@pytest.fixture
def issuer() -> Any:
    with provider() as found:
        yield found


@pytest.fixture
async def served(tmp_path: Path, issuer: Provider) -> AsyncIterator[Project]:
    section = SECTION.format(issuer=issuer.issuer, more='user_prefix = "partner:"')
    async with project(tmp_path, f"[auth]\nkeys_of_people_days = 2\n{section}") as made:
        await made.serve()
        yield made


async def test_a_persons_keys_end_with_the_person(served: Project, issuer: Provider) -> None:
    """Suspended at the server, revoked beside it by the name that golive shows; and none lasts longer than is set."""
    token = await token_of(issuer, "bob", "golive-admins")
    async with served.client(token) as http:
        async with http.post("/v1/keys", json={"name": "x", "role": "viewer"}) as answer:
            made = await answer.json()
        assert answer.status == 201, made
        async with http.post("/v1/keys", json={"name": "x", "role": "viewer", "expires_in_s": 172_801}) as answer:
            assert (answer.status, (await answer.json())["field"]) == (400, "expires_in_s")
    assert (made["created_by"], made["expires_at"] - made["created_at"]) == ("user:partner:bob", 172_800.0)
    async with served.client() as http, http.post("/v1/users/partner:bob/suspend") as answer:
        assert answer.status == 200
    async with served.client(made["key"]) as http, http.get("/v1/agents") as answer:
        assert (answer.status, (await answer.json())["reason"]) == (403, "maker.suspended")
    async with served.client() as http, http.post("/v1/users/partner:bob/resume") as answer:
        assert answer.status == 200
    assert await status(served, made["key"]) == 200
    code, out, err = await golive(served.root, "auth", "revoke", "--user", "partner:bob", environ=served.environ)
    assert (code, out.splitlines()[1]) == (0, f"API keys and sessions of theirs that were revoked: {made['id']}"), err
    began = time.monotonic()
    while (await status(served, made["key"]), await status(served, token)) != (401, 401):
        assert time.monotonic() - began < 1.0
        await asyncio.sleep(0.02)


async def test_a_key_that_is_made_while_its_maker_is_revoked_is_none(served: Project, issuer: Provider) -> None:
    """The server has not heard of the revocation when the key is made; its maker is not told its secret."""
    token = await token_of(issuer, "bob", "golive-admins")
    assert await status(served, token) == 200

    async def made() -> int:
        async with served.client(token) as http, http.post("/v1/keys", json={"name": "x", "role": "viewer"}) as answer:
            return answer.status

    task = asyncio.ensure_future(golive(served.root, "auth", "revoke", "--user", "bob", environ=served.environ))
    answers = [await made()]
    while not task.done() or answers[-1] != 401:
        answers.append(await made())
    assert (await task)[0] == 0
    async with served.client() as http, http.get("/v1/keys") as answer:
        keys = [key for key in (await answer.json())["data"] if key["name"] == "x"]
    assert len(keys) >= answers.count(201) > 0
    assert [key["id"] for key in keys if key["revoked_at"] is None] == []
