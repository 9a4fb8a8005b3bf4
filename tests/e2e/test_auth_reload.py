"""Issuers that are edited under a server that takes edits over (`golive dev`): each counts as it stands now."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from golive.config.load import load
from golive.tenants.sealed_slips import Session
from tests.e2e.access_kit import Asked, asked
from tests.oidc_kit import Provider, provider

SECTION = """
[auth.oidc.corp]
issuer = "{issuer}"
audience = ["golive"]
client_id = "web"
tokens = "any"
role = "{role}"
"""


@pytest.fixture
def issuer() -> Any:
    with provider() as found:
        yield found


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Asked]:
    async with asked(tmp_path) as running:
        yield running


class Edited:
    """golive.toml, as it was and with more."""

    def __init__(self, server: Asked, root: Path) -> None:
        self.server = server
        self.root = root
        self.plain = (root / "golive.toml").read_text()

    def with_(self, more: str) -> None:
        """Saves it, and has the server take it over."""
        (self.root / "golive.toml").write_text(self.plain + more)
        self.server.server.adopt(load(self.root, {}))

    async def until(self, token: str, status: int, path: str = "/v1/agents") -> None:
        """Within two seconds the token is answered so."""
        async with asyncio.timeout(2):
            while (await self.server.ask(token, "GET", path)).status != status:
                await asyncio.sleep(0.01)


async def test_an_issuer_counts_from_when_it_is_written_to_when_it_is_gone(
    server: Asked, issuer: Provider, tmp_path: Path
) -> None:
    """Its tokens, what they map to, its button on the login page, and the sessions that began with it."""
    edited = Edited(server, tmp_path)
    token = str((await issuer.login("alice"))["id_token"])
    assert (await server.ask(token, "GET", "/v1/agents")).status == 401
    assert b"Log in with corp" not in (await server.ask("", "GET", "/login")).body

    edited.with_(SECTION.format(issuer=issuer.issuer, role="viewer"))
    await edited.until(token, 200)
    assert (await server.ask(token, "GET", "/v1/keys")).status == 403
    assert b"Log in with corp" in (await server.ask("", "GET", "/login")).body
    flow = server.server.security._signing_in.flow
    assert flow is not None
    verified = await flow._verifier.verify(token)
    session = flow.session_of(verified, Session("default", "k", "gl_k", 0.0, 9e9))
    browsers = server.server.security.browsers
    assert browsers is not None
    assert browsers._stands(session)

    edited.with_(SECTION.format(issuer=issuer.issuer, role="operator"))
    await edited.until(token, 200, "/v1/keys")
    assert not browsers._stands(session), "what the section makes of its tokens has changed: who it is, is asked anew"
    assert browsers._stands(msgspec.structs.replace(session, issuer="", mapping=""))

    edited.with_(SECTION.format(issuer=issuer.issuer, role="no-such-role"))
    assert (await server.ask(token, "GET", "/v1/keys")).status == 200, "what cannot be meant changes nothing"

    edited.with_("")
    assert (await server.ask(token, "GET", "/v1/agents")).status == 401
    assert b"Log in with corp" not in (await server.ask("", "GET", "/login")).body


async def test_what_did_not_change_is_not_read_again(server: Asked, issuer: Provider, tmp_path: Path) -> None:
    """An edit elsewhere leaves issuers as they are: their keys are not fetched anew."""
    edited = Edited(server, tmp_path)
    edited.with_(SECTION.format(issuer=issuer.issuer, role="viewer"))
    await edited.until(str((await issuer.login("alice"))["id_token"]), 200)
    before, verifier = issuer.asked.count("/jwks"), server.server.security._signing_in.verifier
    edited.with_(SECTION.format(issuer=issuer.issuer, role="viewer") + '\n[roles.guest]\nverbs = ["agents.read"]\n')
    assert server.server.security._signing_in.verifier is verifier
    assert issuer.asked.count("/jwks") == before
