"""Tokens that must be taken, and every kind that must not; and what the claims of a good one come to."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from golive.core.errors import Unauthenticated
from golive.tenants.tokens import claim
from tests.token_kit import NOW, Issuer, World, config, hs256, pem, private_key, segment, signed


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    await found.verifier.refresh()
    await found.verifier.issuers[found.issuer.url].refresh()
    yield found
    await found.verifier.close()


async def refused(world: World, token: str) -> str:
    """The reason in the log; the words for the client are always the same."""
    with pytest.raises(Unauthenticated) as error:
        await world.verifier.authenticate(token)
    told = (error.value.message, error.value.remedy, error.value.fields)
    with pytest.raises(Unauthenticated) as other:
        await world.verifier.authenticate("eyJ")
    assert told == (other.value.message, other.value.remedy, other.value.fields)
    return world.refused[-2].reason


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"])
async def test_a_good_token_says_who_asks(alg: str) -> None:
    """By every algorithm that can be written into `algorithms`."""
    world = World(Issuer(algorithms=(alg,)), algorithms=(alg,))
    principal = await world.verifier.authenticate(world.issuer.token(f"{alg}-1"))
    assert (principal.tenant, principal.id, principal.role) == ("default", "user:alice", "user")
    assert principal.expires_at == NOW + 360
    assert any("runs.create" in grant.verbs for grant in principal.grants)
    assert not principal.across
    await world.verifier.close()


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - 61}, "expired"),
        ({"exp": None}, "claims"),
        ({"exp": "1900000000"}, "claims"),
        ({"exp": True}, "claims"),
        ({"exp": -1}, "claims"),
        ({"exp": 10**400}, "claims"),
        ({"exp": 1e308}, "claims"),
        ({"exp": NOW + 86_461}, "claims"),
        ({"nbf": NOW + 61}, "not_yet_valid"),
        ({"nbf": []}, "claims"),
        ({"iat": NOW + 61}, "not_yet_valid"),
        ({"iat": {}}, "claims"),
        ({"iat": None}, "claims"),
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": ["other", 7, None]}, "audience"),
        ({"aud": {"golive": 1}}, "audience"),
        ({"aud": "golive "}, "audience"),
        ({"aud": "GOLIVE"}, "audience"),
        ({"iss": "https://login.example.com/realms/other"}, "issuer"),
        ({"iss": "https://login.example.com/realms/acme/"}, "issuer"),
        ({"iss": "https://login.example.com/realms/acme\x00"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": ["https://login.example.com/realms/acme"]}, "issuer"),
        ({"sub": None}, "user"),
        ({"sub": ""}, "user"),
        ({"sub": 7}, "user"),
        ({"sub": "a\x00b"}, "user"),
        ({"sub": "\ud800"}, "user"),
        ({"sub": "a\nb"}, "user"),
        ({"sub": "x" * 201}, "user"),
        ({"jti": 7}, "claims"),
        ({"nonce": "n"}, "type"),
        ({"at_hash": "h"}, "type"),
        ({"typ": "ID"}, "type"),
        ({"typ": "Refresh"}, "type"),
        ({"token_use": "id"}, "type"),
        ({"cnf": {"jkt": "x"}}, "type"),
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, "type"),
        ({"sub": " alice"}, "user"),
    ],
)
async def test_a_token_with_other_claims_is_refused(world: World, claims: dict[str, Any], reason: str) -> None:
    """Its signature is good; the words are the same for all."""
    assert await refused(world, world.issuer.token(**claims)) == reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"typ": "logout+jwt"}, "type"),
        ({"typ": "dpop+jwt"}, "type"),
        ({"typ": 7}, "type"),
        ({"crit": ["exp"], "exp": 1}, "header"),
        ({"crit": []}, "header"),
        ({"b64": False}, "header"),
        ({"zip": "DEF"}, "header"),
        ({"enc": "A256GCM"}, "header"),
        ({"cty": "JWT"}, "header"),
        ({"kid": 7}, "header"),
        ({"kid": ["RS256-1"]}, "header"),
        ({"kid": "RS256-2"}, "key"),
        ({"kid": "../../etc/passwd"}, "key"),
        ({"kid": "' OR 1=1 --"}, "key"),
        ({"kid": "https://evil.example/keys"}, "key"),
        ({"kid": "RS256-1\x00"}, "key"),
        ({"kid": "ES256-1"}, "key"),
        ({"alg": "RS384"}, "algorithm"),
        ({"alg": "ES256"}, "key"),
        ({"alg": "EdDSA", "kid": "ES256-1"}, "key"),
        ({"alg": None}, "algorithm"),
        ({"alg": ["RS256"]}, "algorithm"),
        ({"alg": "rs256"}, "algorithm"),
    ],
)
async def test_a_token_with_another_header_is_refused(world: World, header: dict[str, Any], reason: str) -> None:
    """Signed by the right key, over this very header."""
    assert await refused(world, world.issuer.token(header=header)) == reason


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "none ", "", "HS256", "HS384", "HS512", "\x00"])
async def test_no_token_without_a_signature_by_a_private_key_is_taken(world: World, name: str) -> None:
    """However it spells that it has none, with and without bytes in the signature's place."""
    text = f"{segment({'alg': name, 'kid': 'RS256-1'})}.{segment(world.issuer.claims())}"
    assert await refused(world, f"{text}.") == "malformed"
    assert await refused(world, text) == "malformed"
    assert await refused(world, f"{text}.AAAA") == "algorithm"


async def test_a_public_key_is_no_secret_to_sign_with(world: World) -> None:
    """HS256 with the public key as the secret, in the forms in which attackers have it."""
    _, key = world.issuer.keys["RS256-1"]
    jwk = world.issuer.jwk("RS256-1")
    from jwt.algorithms import HMACAlgorithm

    with pytest.MonkeyPatch.context() as patch:  # pyjwt itself refuses to sign with such a secret
        patch.setattr(HMACAlgorithm, "prepare_key", lambda _, secret: secret)
        for secret in (pem(key), pem(key).strip(), json.dumps(jwk).encode(), jwk["n"].encode()):
            token = hs256(world.issuer.claims(), secret, {"alg": "HS256", "kid": "RS256-1"})
            assert await refused(world, token) == "algorithm"
            token = hs256(world.issuer.claims(), secret, {"alg": "RS256", "kid": "RS256-1"})
            assert await refused(world, token) == "signature"


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
async def test_keys_and_addresses_in_a_header_are_never_followed(world: World, name: str) -> None:
    """A token by a key that it brings along is by no key of the issuer, and nobody else is asked."""
    mine = Issuer("https://evil.example")
    brings = {"jwk": mine.jwk("RS256-1"), "jku": "https://evil.example/keys", "x5u": "https://evil.example/x",
              "x5c": ["MIIB"]}[name]  # fmt: skip
    mine.url = world.issuer.url
    mine.keys["RS256-1"] = ("RS256", private_key("RS256", 7))
    asked = list(world.network.asked)
    assert await refused(world, mine.token(header={name: brings})) == "signature"
    assert world.network.asked == asked
    assert (await world.verifier.authenticate(world.issuer.token(header={name: brings}))).id == "user:alice"


async def test_a_signature_counts_only_whole_and_in_its_one_spelling(world: World) -> None:
    """Cut, lengthened, emptied, spelled otherwise, of another token, in DER instead of raw."""
    token = world.issuer.token("ES256-1")
    head, _, last = token.rpartition(".")
    for wrong in (last[:-2], last[:-1], last + "AA", "", "AA", last[:40], last + "=", last + "\n"):
        assert await refused(world, f"{head}.{wrong}") in {"signature", "malformed"}
    raw = base64.urlsafe_b64decode(last + "==")
    spelled = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert spelled == last
    other = {"A": "B", "Q": "R", "g": "h", "w": "x"}[last[-1]]
    assert base64.urlsafe_b64decode(last[:-1] + other + "==") == raw
    assert await refused(world, f"{head}.{last[:-1]}{other}") == "malformed"
    assert await refused(world, f"{head}.{segment(bytes(64))}") == "signature"
    assert await refused(world, f"{head}.{world.issuer.token('ES256-1', sub='bob').rpartition('.')[2]}") == "signature"


async def test_a_changed_token_is_refused(world: World) -> None:
    """Claims and header of one, signature of another; keys of the right kind that are not the issuer's."""
    good = world.issuer.token("EdDSA-1")
    first, _, last = good.split(".")
    assert await refused(world, f"{first}.{segment(world.issuer.claims(sub='root'))}.{last}") == "signature"
    for alg in ("RS256", "ES256", "EdDSA"):
        key = private_key(alg, 9)
        assert (
            await refused(world, signed(alg, key, {"alg": alg, "kid": f"{alg}-1"}, world.issuer.claims()))
            == "signature"
        )


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"1", b"null", b'"x"', b"{", b"{}x", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"{'a': 1}",
        b'{"iss": NaN}', b'{"iss": Infinity}', b'{"iss": "\xff"}', b'{"a":' * 2_000,
        b"[" * 3_000, b'{"a": 1, "a": 2}', b'{"x": {"b": 1, "b": 1}}', b'{"exp": ' + b"9" * 4_500 + b"}",
    ],
)  # fmt: skip
async def test_what_is_no_strict_json_object_is_refused(world: World, payload: bytes) -> None:
    """As the payload under a good signature, and as the header."""
    _, key = world.issuer.keys["RS256-1"]
    header = {"alg": "RS256", "kid": "RS256-1"}
    if len(segment(payload)) < 7_000:
        assert await refused(world, signed("RS256", key, header, payload)) == "malformed"
        assert await refused(world, signed("RS256", key, payload, world.issuer.claims())) == "malformed"


async def test_a_claim_that_stands_twice_is_refused(world: World) -> None:
    """Whichever would win: another reader may take the other one."""
    _, key = world.issuer.keys["RS256-1"]
    claims = json.dumps(world.issuer.claims())[:-1] + ', "aud": "golive"}'
    assert (
        await refused(world, signed("RS256", key, {"alg": "RS256", "kid": "RS256-1"}, claims.encode())) == "malformed"
    )


@pytest.mark.parametrize(
    "token",
    [
        "eyJ", "eyJ.", "eyJ..", "...", "eyJ.eyJ", "eyJ.eyJ.eyJ.eyJ", "eyJ eyJ.eyJ.eyJ", "eyJ\x00.e.e", "eyJ.\ud800.x",
        "eyJé.eyJ.eyJ", "eyJ.ey+/.AA", "eyJ.eyJ.A", "eyJ\n.eyJ.eyJ", "ey\u212a.eyJ.eyJ",
    ],
)  # fmt: skip
async def test_what_is_no_token_is_refused(world: World, token: str) -> None:
    """Before anything of it is decoded."""
    assert await refused(world, token) == "malformed"


async def test_encrypted_tokens_and_endless_ones_are_refused(world: World) -> None:
    """Five parts; 8,193 characters, of which none is looked at."""
    assert await refused(world, f"{segment({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.a.b.c.d") == "encrypted"
    assert await refused(world, world.issuer.token(more="x" * 8_000)) == "too_long"


async def test_clocks_may_differ_by_the_skew(world: World) -> None:
    """60 s either way, and not a second more; to the expiry belongs the end of what is remembered."""
    for claims in ({"exp": NOW - 59}, {"nbf": NOW + 60}, {"iat": NOW + 60}):
        await world.verifier.authenticate(world.issuer.token(**claims))
    token = world.issuer.token()
    await world.verifier.authenticate(token)
    world.clock.at = NOW + 359.9
    await world.verifier.authenticate(token)
    world.clock.at = NOW + 360
    assert await refused(world, token) == "expired"


async def test_a_verified_token_is_remembered_until_something_changes(world: World) -> None:
    """The second time no signature is checked; after a revocation of another token it is again, once."""
    token = world.issuer.token()
    first, second = await world.verifier.authenticate(token), await world.verifier.authenticate(token)
    assert first is second
    assert world.accepted == [False, True]
    world.verifier.forget()
    await world.verifier.authenticate(token)
    assert world.accepted == [False, True, False]


async def test_memory_of_tokens_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first makes way, and is verified again."""
    monkeypatch.setattr("golive.tenants.verifier.MAX_KNOWN", 2)
    tokens = [world.issuer.token("EdDSA-1", sub=name) for name in ("a", "b", "c")]
    for token in (*tokens, tokens[2], tokens[0]):
        await world.verifier.authenticate(token)
    assert world.accepted == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("tokens", "header", "claims", "taken"),
    [
        ("access", {"typ": "at+jwt"}, {}, True),
        ("access", {"typ": "application/AT+JWT"}, {}, True),
        ("access", {"typ": "jwt"}, {}, True),
        ("access", {"typ": "JWT"}, {"nonce": "n"}, False),
        ("at+jwt", {"typ": "at+jwt"}, {}, True),
        ("at+jwt", {"typ": "JWT"}, {}, False),
        ("any", {"typ": "JWT"}, {"nonce": "n", "at_hash": "h", "typ": "ID"}, True),
        ("any", {"typ": "JWT"}, {"typ": "Refresh"}, False),
        ("any", {"typ": "JWT"}, {"typ": "Bearer"}, True),
    ],
)
async def test_only_the_kind_of_token_that_is_asked_for_is_taken(
    tokens: str, header: dict[str, Any], claims: dict[str, Any], taken: bool
) -> None:
    """`tokens` of the section."""
    world = World(tokens=tokens)
    token = world.issuer.token(header=header, **claims)
    if taken:
        assert (await world.verifier.authenticate(token)).id == "user:alice"
    else:
        assert await refused(world, token) == "type"
    await world.verifier.close()


async def test_a_token_may_leave_out_its_kid_where_one_key_fits(world: World) -> None:
    """With two of them it must say by which it is."""
    assert (await world.verifier.authenticate(world.issuer.token("ES256-1", header={"kid": None}))).id == "user:alice"
    world.issuer.keys["ES256-2"] = ("ES256", private_key("ES256"))
    await world.verifier.issuers[world.issuer.url].refresh()
    assert await refused(world, world.issuer.token("ES256-1", header={"kid": None}, jti="t2")) == "key"


# ---- who it is -------------------------------------------------------------------------------------------------------


async def who(claims: dict[str, Any], **settings: Any) -> Any:
    world = World(**settings)
    try:
        return await world.verifier.authenticate(world.issuer.token("ES256-1", **claims))
    except Unauthenticated:
        return world.reason
    finally:
        await world.verifier.close()


async def test_the_tenant_is_fixed_or_named_by_a_claim_or_mapped() -> None:
    """What names no tenant is refused, and so is what the table does not hold."""
    assert (await who({}, tenant="acme")).tenant == "acme"
    assert (await who({"org": {"id": "acme"}}, tenant_claim="org.id")).tenant == "acme"
    assert (await who({"org": "ACME GmbH"}, tenant_claim="org", tenants={"ACME GmbH": "acme"})).tenant == "acme"
    for value in ("ACME", "*", "", "../x", 7, None, ["acme"], {"acme": 1}, "acme\n"):
        assert await who({"org": value}, tenant_claim="org") == "tenant"
    assert await who({"org": "beta"}, tenant_claim="org", tenants={"ACME GmbH": "acme"}) == "tenant"


async def test_roles_are_mapped_and_all_that_map_count() -> None:
    """A list, or OAuth's text with spaces; what does not map gives nothing."""
    both = await who({"realm_access": {"roles": ["golive-admins", "golive-users", 7, "x"]}})
    assert (both.role, len(both.grants)) == ("admin+user", 2)
    assert (await who({"scope": "openid golive-users"}, roles_claim="scope")).role == "user"
    named = await who({"https://example.com/roles": ["golive-users"]}, roles_claim="https://example.com/roles")
    assert named.role == "user"
    assert (await who({"realm_access": None}, role="viewer")).role == "viewer"
    assert (await who({"realm_access": {"roles": ["platform"]}}, role="viewer")).across is False
    assert (await who({}, roles={"golive-users": "platform"})).across is True


async def test_a_token_without_a_role_is_known_and_may_do_nothing_or_is_refused() -> None:
    """403 by the door, as `no_role` says by default; 401 where it says `refuse`."""
    for value in (None, [], "golive-users", {"roles": {"golive-users": 1}}, {"roles": ["admin", "user"]}):
        nobody = await who({"realm_access": value})
        assert (nobody.id, nobody.role, nobody.grants) == ("user:alice", "", ())
        assert await who({"realm_access": value}, no_role="refuse") == "role"


async def test_agents_of_a_claim_only_narrow() -> None:
    """What the role does not give, no claim gives; without the claim, none."""
    some = await who({"agents": ["support", "shop-*"]}, agents_claim="agents")
    assert some.grants[0].agents == ("support", "shop-*")
    assert some.grants[0].models == ()
    assert (await who({}, agents_claim="agents")).grants[0].agents == ()
    assert (await who({"agents": "support"}, agents_claim="agents")).grants[0].agents == ("support",)


async def test_users_bear_their_issuers_prefix_and_another_claim_may_name_them() -> None:
    """So that no user of one issuer bears the name of another's."""
    assert (await who({}, user_prefix="corp:")).id == "user:corp:alice"
    assert (await who({"email": "a@example.com"}, user_claim="email")).id == "user:a@example.com"


def test_a_path_leads_into_objects_and_a_name_may_hold_dots() -> None:
    """The name counts first; a path through anything but objects leads nowhere."""
    claims = {"a": {"b": {"c": 1}}, "a.b": 2, "l": [{"c": 3}]}
    assert (claim(claims, "a.b"), claim(claims, "a.b.c"), claim(claims, "l.0.c"), claim(claims, "x")) == (
        2,
        1,
        None,
        None,
    )


def test_an_unknown_role_is_a_mistake_of_the_configuration() -> None:
    """Told at the start, naming the section."""
    from golive.core.errors import ConfigError

    with pytest.raises(ConfigError, match=r"\[auth.oidc.corp\] gives the role 'chef'"):
        World(roles={"x": "chef"})
    assert config().algorithms == ("RS256", "ES256", "EdDSA")
