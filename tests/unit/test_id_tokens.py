"""ID tokens of a login: what makes one the answer to this login, and none else."""

import base64
import hashlib
from typing import Any

import pytest

from golive.tenants.code_flow import CodeFlow, NotLoggedIn
from golive.tenants.id_tokens import Expected, mapping_of
from golive.tenants.sealed_slips import Pending
from golive.tenants.tokens import Refused
from tests.token_kit import NOW, World, config

NONCE = "n" * 43
SETTINGS: dict[str, Any] = {"client_id": "web"}


def expected(access_token: str | None = "access", issuer: str = "corp") -> Expected:
    return Expected(issuer, NONCE, access_token)


def half_hash(name: str, text: str = "access") -> str:
    digest = hashlib.new(name, text.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


async def refused(world: World, wanted: Expected, kid: str = "RS256-1", **claims: Any) -> str:
    """Why the token is refused; "" where it is taken."""
    token = world.issuer.token(kid, header=claims.pop("header", None), **{"aud": "web", "nonce": NONCE, **claims})
    try:
        verified = await world.verifier.verify_id(token, wanted)
    except Refused as error:
        return error.reason
    assert verified.principal.id == "user:alice"
    return ""


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, ""), ({"aud": ["web"]}, ""), ({"aud": ["web", "api"], "azp": "web"}, ""), ({"azp": "web"}, ""),
        ({"typ": "ID"}, ""), ({"token_use": "id"}, ""),
        ({"nonce": None}, "nonce"), ({"nonce": NONCE[:-1]}, "nonce"), ({"nonce": [NONCE]}, "nonce"),
        ({"nonce": ""}, "nonce"), ({"nonce": NONCE + "ü"}, "nonce"),
        ({"aud": "golive"}, "audience"), ({"aud": ["web", "api"]}, "party"), ({"azp": "api"}, "party"),
        ({"azp": ["web"]}, "party"), ({"azp": None, "aud": ["web", "api"]}, "party"),
        ({"typ": "Bearer"}, "type"), ({"token_use": "access"}, "type"), ({"typ": "Refresh"}, "type"),
        ({"header": {"typ": "at+jwt"}}, "type"), ({"sub": None}, "user"), ({"cnf": {"jkt": "x"}}, "type"),
        ({"exp": NOW - 300}, "expired"), ({"iss": "https://other.example"}, "issuer"),
    ],
)  # fmt: skip
async def test_an_id_token_is_for_this_client_and_this_login(claims: dict[str, Any], reason: str) -> None:
    """Whatever `audience` and `tokens` of the section ask of access tokens."""
    assert await refused(World(**SETTINGS), expected(), **claims) == reason


@pytest.mark.parametrize(
    ("kid", "name"), [("RS256-1", "sha256"), ("ES256-1", "sha256"), ("EdDSA-1", "sha512")]
)  # fmt: skip
async def test_the_access_token_beside_it_is_the_one_it_was_made_with(kid: str, name: str) -> None:
    """By half of the hash that goes with the algorithm; where there is none to compare with, it is not believed."""
    world = World(**SETTINGS)
    assert await refused(world, expected(), kid, at_hash=half_hash(name)) == ""
    assert await refused(world, expected("another"), kid, at_hash=half_hash(name)) == "at_hash"
    assert await refused(world, expected(None), kid, at_hash=half_hash(name)) == "at_hash"
    assert await refused(world, expected(), kid, at_hash=half_hash("sha1")) == "at_hash"


async def test_an_id_token_of_another_issuer_answers_nothing() -> None:
    """Nor does one where nobody can log in; and a login's token is no access token."""
    world = World(**SETTINGS)
    assert await refused(world, expected(issuer="other")) == "issuer"
    assert await refused(World(), expected()) == "issuer"
    with pytest.raises(Refused):
        await world.verifier.verify(world.issuer.token(aud="golive", nonce=NONCE))


def test_what_a_section_makes_of_tokens_has_a_name() -> None:
    """It changes with who somebody is and what they may, and with nothing else."""
    before = mapping_of(config(**SETTINGS))
    assert len(before) == 16
    assert mapping_of(config(**SETTINGS, skew_s=5, title="Corp", keys_s=100)) == before
    for other in ({"roles": {"golive-users": "admin"}}, {"tenant": "acme"}, {"user_prefix": "x:"}, {"client_id": "b"}):
        assert mapping_of(config(**{**SETTINGS, **other})) != before


def flow_of(world: World) -> CodeFlow:
    async def post(url: str, headers: Any, body: bytes) -> Any:
        raise AssertionError(f"{url} was asked")

    from golive.core.chance import SystemChance

    return CodeFlow(world.verifier, world.network.fetch, post, str, world.clock, SystemChance())


async def test_a_login_takes_ten_minutes_at_most() -> None:
    """Then its answer is as good as none."""
    world = World(**SETTINGS)
    flow = flow_of(world)
    pending = Pending("corp", "s", "n", "v", "https://a.example/login/callback/corp", "/docs", NOW + 600)
    assert flow.check("corp", pending, [("state", "s")]) is pending
    world.clock.at = NOW + 600
    with pytest.raises(NotLoggedIn) as late:
        flow.check("corp", pending, [("state", "s")])
    assert (late.value.status, late.value.reason) == (400, "late")


async def test_an_issuer_without_a_login_says_so() -> None:
    """Its discovery document names no authorization endpoint, or one that nobody can trust."""
    world = World(**SETTINGS)
    flow = flow_of(world)
    with pytest.raises(NotLoggedIn) as away:
        await flow.begin("corp", "https://a.example/login/callback/corp", "/docs")
    assert (away.value.status, away.value.words) == (503, "corp does not answer as it should.")
    assert "authorization_endpoint" in away.value.detail
    for url in ("http://login.example.com/a", "https://login.example.com/a\r\nX: y", "javascript:alert(1)", 7):
        found = {"authorization_endpoint": url, "token_endpoint": "https://login.example.com/t"}
        world.issuer.discovery = lambda found=found: {  # type: ignore[method-assign,misc]
            "issuer": world.issuer.url, "jwks_uri": f"{world.issuer.url}/keys", **found
        }  # fmt: skip
        with pytest.raises(NotLoggedIn) as unsafe:
            await flow.begin("corp", "https://a.example/login/callback/corp", "/docs")
        assert unsafe.value.reason == "away"


@pytest.mark.parametrize(
    ("place", "offered"),
    [
        ("https://login.example/end", "https://login.example/end?client_id=web"),
        ("https://login.example/end?tab=1", "https://login.example/end?tab=1&client_id=web"),
        ("http://login.example/end", ""), ("javascript:alert(1)", ""), (7, ""), (None, ""),
    ],
)  # fmt: skip
async def test_a_logout_offers_the_issuers_own_where_it_names_a_safe_place(place: object, offered: str) -> None:
    """An address that cannot be used keeps nobody from logging in; nor is a logout kept waiting by who is away."""
    world = World(**SETTINGS)
    url = world.issuer.url
    document = world.issuer.discovery() | {"authorization_endpoint": f"{url}/auth", "token_endpoint": f"{url}/token"}
    if place is not None:
        document["end_session_endpoint"] = place
    await world.verifier.verify_id(world.issuer.token(aud="web", nonce=NONCE), expected(None))
    world.issuer.discovery = document.copy  # type: ignore[method-assign]
    flow = flow_of(world)
    address, _ = await flow.begin("corp", "https://golive.example/login/callback/corp", "/docs")
    assert address.startswith(f"{url}/auth?")
    assert await flow.leaving("corp") == offered
    assert await flow.leaving("nobody") == ""
    world.network.down = "away"
    assert await flow_of(world).leaving("corp") == ""
