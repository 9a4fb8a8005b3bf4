"""An issuer's keys: where they are found, which are used, when they are read again, and how an outage is outlived."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from golive.core.errors import Unauthenticated
from golive.gateway.fetching import _max_age
from golive.store.revocation import EVERY_TENANT, TokenRevocation
from golive.tenants.issuer import Fetched
from golive.tenants.jwks import KeySetUnusable, read_key_set
from tests.token_kit import ISSUER, NOW, Issuer, World, private_key

KEYS = f"{ISSUER}/keys"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    await found.verifier.refresh()
    yield found
    await found.verifier.close()


def issuer_of(world: World) -> Any:
    return world.verifier.issuers[world.issuer.url]


async def taken(world: World, token: str) -> bool:
    try:
        await world.verifier.authenticate(token)
    except Unauthenticated:
        return False
    return True


async def test_keys_are_found_by_discovery_and_kept(world: World) -> None:
    """Two documents, once, however many ask at once."""
    tokens = [world.issuer.token("ES256-1", jti=str(number)) for number in range(20)]
    assert await asyncio.gather(*(taken(world, token) for token in tokens)) == [True] * 20
    assert world.network.asked == [DISCOVERY, KEYS]
    assert [state.error for state in world.told] == [""]


async def test_an_invented_key_id_has_the_keys_read_at_most_every_ten_seconds(world: World) -> None:
    """A flood of them costs the issuer two requests in ten seconds; a real new key is then found at once."""
    await issuer_of(world).refresh()
    world.clock.at += 10
    asked = len(world.network.asked)
    bad = [world.issuer.token(header={"kid": f"evil-{number}"}) for number in range(50)]
    assert not any(await asyncio.gather(*(taken(world, token) for token in bad)))
    assert len(world.network.asked) == asked + 2
    world.issuer.keys["new"] = ("ES256", private_key("ES256"))
    world.clock.at += 9.9
    assert not await taken(world, world.issuer.token("new"))
    world.clock.at += 0.1
    assert await taken(world, world.issuer.token("new"))
    assert len(world.network.asked) == asked + 4


async def test_a_key_that_is_gone_takes_its_tokens_with_it_also_those_remembered(world: World) -> None:
    """Another key under the same id, too."""
    token, other = world.issuer.token("ES256-1"), world.issuer.token("RS256-1")
    assert (await taken(world, token), await taken(world, other)) == (True, True)
    world.issuer.keys["ES256-1"] = ("ES256", private_key("ES256"))
    assert await taken(world, token)
    await issuer_of(world).refresh()
    assert (await taken(world, token), world.reason) == (False, "signature")
    del world.issuer.keys["RS256-1"]
    assert await taken(world, other)
    await issuer_of(world).refresh()
    assert (await taken(world, other), world.reason) == (False, "key")


async def test_an_outage_is_outlived_for_as_long_as_configured() -> None:
    """With the keys that there were; told once, and again when it is over."""
    world = World(keys_s=600, keys_stale_s=1_000, max_life_s=86_400)
    late = NOW + 3_000
    await world.verifier.refresh()
    await issuer_of(world).refresh()
    world.network.down = "connection refused"
    world.clock.at += 1_600
    await issuer_of(world).refresh()
    await issuer_of(world).refresh()
    assert await taken(world, world.issuer.token("ES256-1", exp=late))
    world.clock.at += 1
    assert not await taken(world, world.issuer.token("ES256-1", exp=late, jti="t2"))
    assert world.reason == "key"
    world.network.down = ""
    world.clock.at += 10
    assert await taken(world, world.issuer.token("ES256-1", exp=late, jti="t3"))
    assert [state.error for state in world.told] == ["", "connection refused", ""]
    await world.verifier.close()


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "names no issuer"),
        (b"[]", "names no issuer"),
        (b"[" * 100_000, "names no issuer"),
        (b'{"issuer": "https://evil.example", "jwks_uri": "https://evil.example/k"}', "is that of"),
        (json.dumps({"issuer": ISSUER}).encode(), "no jwks_uri"),
        (json.dumps({"issuer": ISSUER, "jwks_uri": "http://login.example.com/k"}).encode(), "plain HTTP"),
        (json.dumps({"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}).encode(), "is no address"),
        (json.dumps({"issuer": ISSUER, "jwks_uri": 7}).encode(), "is no address"),
    ],
)
async def test_a_discovery_document_that_is_not_its_own_or_leads_astray_is_refused(
    world: World, document: bytes, why: str
) -> None:
    """No other address is asked."""
    world.network.answers[DISCOVERY] = Fetched(200, document)
    assert not await taken(world, world.issuer.token())
    assert world.network.asked == [DISCOVERY]
    assert why in world.told[-1].error


@pytest.mark.parametrize("answer", [Fetched(500, b""), Fetched(302, b""), Fetched(200, b"<html>"), Fetched(200, b"{}")])
async def test_a_key_set_that_cannot_be_read_leaves_the_one_before(world: World, answer: Fetched) -> None:
    """Also an empty one."""
    assert await taken(world, world.issuer.token())
    world.network.answers[KEYS] = answer
    await issuer_of(world).refresh()
    assert await taken(world, world.issuer.token(jti="t2"))
    assert world.told[-1].error


async def test_an_issuer_that_never_answers_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `FETCH_S`; whoever waits is refused like everybody else."""
    monkeypatch.setattr("golive.tenants.issuer.FETCH_S", 0.05)

    async def never(_: str) -> Fetched:
        await asyncio.Event().wait()
        raise AssertionError

    issuer_of(world)._fetch = never
    assert not await taken(world, world.issuer.token())
    assert world.told[-1].error == "no answer within 0.05 s"


@pytest.mark.parametrize(("max_age_s", "good_for_s"), [(None, 900), (0.0, 60), (30.0, 60), (120.0, 120), (1e9, 900)])
async def test_keys_are_read_again_as_often_as_their_issuer_says(
    world: World, max_age_s: float | None, good_for_s: float
) -> None:
    """Within 60 s and `keys_s`."""
    world.network.max_age_s = max_age_s
    await issuer_of(world).refresh()
    assert issuer_of(world)._good_for_s == good_for_s


def test_cache_control_is_read() -> None:
    """Only what is a directive of its own."""
    for text, wanted in (
        ("max-age=300", 300.0), ("public, max-age=300, must-revalidate", 300.0), ("Max-Age=\"7\"", 7.0),
        ("no-store", 0.0), ("no-cache, max-age=9", 0.0), ("s-maxage=300", None), ("x-max-age=3", None), ("", None),
    ):  # fmt: skip
        assert _max_age(text) == wanted, text


# ---- key sets --------------------------------------------------------------------------------------------------------


def read(*keys: Any, algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "ES384", "EdDSA")) -> Any:
    return read_key_set(json.dumps({"keys": keys}).encode(), algorithms)


def test_a_key_is_bound_to_the_algorithms_that_fit_it() -> None:
    """Its type, its curve, its own `alg`, and what the section takes."""
    issuer = Issuer(algorithms=("RS256", "ES256", "ES384", "EdDSA"))
    keys = [issuer.jwk(kid) for kid in issuer.keys]
    assert sorted(read(*keys).keys) == [
        ("ES256-1", "ES256"), ("ES384-1", "ES384"), ("EdDSA-1", "EdDSA"), ("RS256-1", "RS256"),
    ]  # fmt: skip
    rsa = {name: value for name, value in issuer.jwk("RS256-1").items() if name != "alg"}
    assert sorted(read(rsa).keys) == [("RS256-1", "PS256"), ("RS256-1", "RS256")]
    assert sorted(read(rsa, algorithms=("RS256",)).keys) == [("RS256-1", "RS256")]
    assert list(read(issuer.jwk("EdDSA-1") | {"alg": "Ed25519"}).keys) == [("EdDSA-1", "EdDSA")]


@pytest.mark.parametrize(
    "others",
    [
        {"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": "verify"}, {"alg": "HS256"}, {"alg": "none"},
        {"alg": "ES256"}, {"alg": ["RS256"]}, {"kty": "oct"}, {"kty": None}, {"kty": ["RSA"]}, {"kty": "EC"},
        {"kid": 7}, {"kid": "x" * 501}, {"d": "AQAB"}, {"n": 7}, {"n": "!!"}, {"e": ""}, {"n": None}, {"n": "AQAB"},
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_trusted_with_signatures_is_passed_over(others: dict[str, Any]) -> None:
    """The rest of the set counts; the operator is told."""
    issuer = Issuer(algorithms=("RS256", "ES256"))
    found = read(issuer.jwk("RS256-1") | others, issuer.jwk("ES256-1"))
    assert list(found.keys) == [("ES256-1", "ES256")]
    assert len(found.skipped) == 1
    with pytest.raises(KeySetUnusable):
        read(issuer.jwk("RS256-1") | others)


def test_short_keys_points_off_the_curve_and_doubles_are_passed_over() -> None:
    """1,024 bits; a point that is none; two keys of one name."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from jwt.algorithms import RSAAlgorithm

    short = RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 1_024).public_key(), as_dict=True)
    good = Issuer(algorithms=("ES256",)).jwk("ES256-1")
    double = Issuer(algorithms=("ES256",)).jwk("ES256-1")
    with pytest.raises(KeySetUnusable, match="1024 bits"):
        read(short | {"kid": "short"})
    with pytest.raises(KeySetUnusable):
        read(good | {"x": good["y"]})
    with pytest.raises(KeySetUnusable, match="2 times"):
        read(good, double)
    assert read(good, double | {"kid": "other"}).find(None, "ES256") is None


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"keys": {}}', b'{"keys": [7, null]}', b"\xff", b"[" * 99_999])
def test_what_is_no_key_set_is_none(body: bytes) -> None:
    """Nothing else is raised."""
    with pytest.raises(KeySetUnusable):
        read_key_set(body, ("RS256",))


# ---- revocation ------------------------------------------------------------------------------------------------------


def revocation(kind: Any, value: str = "", *, tenant: str = "default", before: float = NOW) -> TokenRevocation:
    return TokenRevocation(tenant, f"rev_{kind}", ISSUER, kind, value, before, NOW + 9e4, NOW, "cli")


@pytest.mark.parametrize(
    ("row", "covered"),
    [
        (revocation("jti", "t1"), True),
        (revocation("jti", "t2"), False),
        (revocation("jti", "t1", tenant="other"), False),
        (revocation("jti", "t1", tenant=EVERY_TENANT), True),
        (revocation("user", "alice"), True),
        (revocation("user", "alice", before=NOW - 6), False),
        (revocation("user", "alice", before=NOW - 5), True),
        (revocation("user", "bob"), False),
        (revocation("issuer"), True),
        (revocation("issuer", tenant=EVERY_TENANT), True),
        (revocation("issuer", before=NOW - 6), False),
    ],
)
async def test_a_revocation_covers_what_it_names_and_nothing_else(
    world: World, row: TokenRevocation, covered: bool
) -> None:
    """Also of a token that was verified before: learned with the next poll."""
    token = world.issuer.token("ES256-1")
    assert await taken(world, token)
    world.revocations.add(row)
    assert await taken(world, token)
    await world.verifier.refresh()
    assert await taken(world, token) is not covered
    if covered:
        assert (world.reason, world.refused[-1].user) == ("revoked", "alice")


async def test_every_replica_learns_of_a_revocation_by_itself() -> None:
    """Two verifiers over one store, each polling; well within a second."""
    worlds = [World(), World()]
    worlds[1].revocations = worlds[0].revocations
    worlds[1].verifier._source = worlds[0].verifier._source
    token = worlds[0].issuer.token("ES256-1")
    worlds[1].issuer.keys = worlds[0].issuer.keys
    for world in worlds:
        await world.verifier.start()
        assert await taken(world, token)
    worlds[0].revocations.add(revocation("user", "alice"))
    async with asyncio.timeout(1.0):
        for world in worlds:
            while await taken(world, token):
                await asyncio.sleep(0.01)
    for world in worlds:
        await world.verifier.close()
