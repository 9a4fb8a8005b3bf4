"""Signed tokens (JWT): what is in one, and whether it may be believed. Pure: no network, no state, no cryptography.

Owns reading a token strictly, and the claims: whose token it is, for whom, how long, of what kind, and which tenant,
user and roles it names. Leaves keys to `jwks.py`, and putting it all together to `verifier.py`.

What a stranger sends is looked at before its signature only as far as finding the key takes: form, `alg`, `kid`, `iss`.
Headers that name keys or addresses (`jwk`, `jku`, `x5c`, `x5u`) are never read.

Source: RFC 7515, 7519; RFC 8725 (best practice); RFC 9068 (access tokens).
"""

import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from golive.config.auth import OidcConfig
from golive.core.people import MAX_USER_CHARS, may_be_user

MAX_CHARS = 8_192
"""Longest token that is read."""
MAX_ROLES = 1_000
"""Most values of a roles claim, or an agents claim, that are looked at."""

Reason = Literal[
    "malformed", "encrypted", "too_long", "header", "issuer", "algorithm", "key", "signature", "type", "audience",
    "expired", "not_yet_valid", "claims", "tenant", "user", "role", "revoked", "nonce", "party", "at_hash",
]  # fmt: skip
"""Why a token is refused: for the log, the audit and the operator; never for whoever sent it."""

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ENCRYPTED = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){4}")
_LAST = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
"""The characters that may end base64 of that length (modulo 4): the bits that stand for nothing are 0."""
_URLSAFE = str.maketrans("-_", "+/")
_REFUSED_HEADERS = ("crit", "b64", "zip", "enc", "cty")
"""Extensions that must be understood, payloads that are no JSON, compressed, encrypted, or a token in a token."""
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_ACCESS = frozenset({"at+jwt", "application/at+jwt"})
_ID_CLAIMS = ("nonce", "at_hash", "c_hash", "s_hash")
"""Claims that ID tokens have and access tokens do not."""
_OTHER_TYPES = frozenset({"id", "refresh", "offline", "logout", "serialized-id"})
"""What Keycloak writes into the claim `typ`, and Cognito into `token_use`, of what is no access token."""


class Refused(Exception):
    """A token is not believed. `reason` and `detail` are for those who run the server."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Token(Struct, frozen=True):
    """A token taken apart, nothing of it verified. `signed`: the bytes that `signature` is said to be of."""

    signed: bytes
    signature: bytes
    header: dict[str, Any]
    claims: dict[str, Any]
    alg: str
    kid: str | None
    issuer: str


class Identity(Struct, frozen=True):
    """Who a verified token says it is of. `roles`: names of roles here; `agents`: None where it narrows nothing."""

    tenant: str
    user: str
    roles: tuple[str, ...]
    agents: tuple[str, ...] | None
    expires_at: float
    issued_at: float
    jti: str | None


# ---- form ------------------------------------------------------------------------------------------------------------


def parse(text: str) -> Token:
    """Takes a token apart.

    Raises:
        Refused: it is none, or says what is not taken whoever signed it.
    """
    if len(text) > MAX_CHARS:
        raise Refused("too_long", f"it has {len(text)} characters; {MAX_CHARS} at most are read")
    if _FORM.fullmatch(text) is None:
        if _ENCRYPTED.fullmatch(text) is not None:
            raise Refused("encrypted", "it is encrypted (JWE); only signed tokens are taken")
        raise Refused("malformed", "it is not three parts of base64url with dots between")
    signed, _, last = text.rpartition(".")
    first, _, middle = signed.partition(".")
    header = _object(first, "header")
    for name in _REFUSED_HEADERS:
        if name in header:
            raise Refused("header", f"its header has {name!r}, which is not taken")
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str):
        raise Refused("algorithm", "its header names no algorithm")
    if kid is not None and not isinstance(kid, str):
        raise Refused("header", "its key id is no text")
    claims = _object(middle, "payload")
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise Refused("issuer", "it names no issuer")
    return Token(signed.encode(), _bytes(last, "signature"), header, claims, alg, kid, issuer)


def _bytes(part: str, what: str) -> bytes:
    odd = len(part) & 3
    if odd and (odd == 1 or part[-1] not in _LAST[odd]):
        raise Refused("malformed", f"its {what} is not base64url")
    return binascii.a2b_base64(part.translate(_URLSAFE) + "=" * (-len(part) & 3))


def _object(part: str, what: str) -> dict[str, Any]:
    """The JSON object of a part. UTF-8 alone, no name twice, no number that JSON does not know."""
    try:
        found = _DECODER.decode(_bytes(part, what).decode())
    except (ValueError, RecursionError) as error:
        raise Refused("malformed", f"its {what} is not JSON ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise Refused("malformed", f"its {what} is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


# ---- claims ----------------------------------------------------------------------------------------------------------


def check_header(token: Token, config: OidcConfig) -> None:
    """What the issuer's section says of the header, before a key is looked for. Raises Refused."""
    if token.alg not in config.algorithms:
        raise Refused("algorithm", f"it is signed with {token.alg[:20]!r}; taken are {', '.join(config.algorithms)}")


def check_claims(token: Token, config: OidcConfig, now: float) -> None:
    """Whether a token whose signature is good is of the right kind, for us, and valid at `now` (since the epoch, s).

    Raises:
        Refused
    """
    _check_type(token, config)
    claims = token.claims
    if "cnf" in claims:
        raise Refused("type", "it is bound to a key of its holder (`cnf`), who proves nothing here")
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not any(one in config.audience for one in named if isinstance(one, str)):
        raise Refused("audience", f"it is for {_shown(audience)}; taken is {' or '.join(config.audience)}")
    _check_times(claims, config, now)


def _check_type(token: Token, config: OidcConfig) -> None:
    if "events" in token.claims:
        raise Refused("type", "it tells of something that happened (`events`), such as a logout; it is no access token")
    typ = token.header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        raise Refused("type", f"its type is {_shown(typ)}, which is no access token")
    if config.tokens == "at+jwt" and typ.lower() not in _ACCESS:
        raise Refused("type", f"its type is {_shown(typ)}, and `tokens` asks for at+jwt")
    if typ.lower() in _ACCESS:
        return
    kind = token.claims.get("typ", token.claims.get("token_use"))
    kind = kind.lower() if isinstance(kind, str) else ""
    if kind in _OTHER_TYPES and not (kind == "id" and config.tokens == "any"):
        raise Refused("type", f"it says that it is of the kind {kind!r}, which is no access token")
    found = next((name for name in _ID_CLAIMS if name in token.claims), None)
    if found is not None and config.tokens != "any":
        raise Refused("type", f"it is an ID token (it has {found!r}); an access token is asked for")


def _check_times(claims: Mapping[str, Any], config: OidcConfig, now: float) -> None:
    expires = _time(claims, "exp")
    if expires is None:
        raise Refused("claims", "it does not say when it expires (`exp`)")
    if now >= expires + config.skew_s:
        raise Refused("expired", f"it expired {now - expires:.0f} s ago")
    issued = _time(claims, "iat")
    if issued is None:
        raise Refused("claims", "it does not say when it was made (`iat`)")
    if now < issued - config.skew_s:
        raise Refused("not_yet_valid", f"it says that it will be made in {issued - now:.0f} s (`iat`)")
    if expires - issued > config.max_life_s + config.skew_s:
        raise Refused("claims", f"it is valid for {expires - issued:.0f} s; `max_life_s` is {config.max_life_s:g}")
    not_before = _time(claims, "nbf")
    if not_before is not None and now < not_before - config.skew_s:
        raise Refused("not_yet_valid", f"it is valid in {not_before - now:.0f} s (`nbf`)")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A point in time, seconds since the epoch. Raises Refused where it is no finite number of a sane size."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise Refused("claims", f"its {name!r} is no point in time")
    return float(value)


# ---- who it is -------------------------------------------------------------------------------------------------------


def identity(token: Token, config: OidcConfig) -> Identity:
    """Whom the claims of a verified token mean.

    Raises:
        Refused: it names no tenant or user, or no role where `no_role` is `refuse`.
    """
    claims = token.claims
    user = claim(claims, config.user_claim)
    if not isinstance(user, str) or not may_be_user(user) or not may_be_user(config.user_prefix + user):
        raise Refused("user", f"its {config.user_claim!r} is no name of a user")
    roles = _roles(claims, config)
    if not roles and config.no_role == "refuse":
        raise Refused("role", f"its {config.roles_claim!r} holds no role that `roles` maps")
    agents = None
    if config.agents_claim is not None:
        agents = tuple(_texts(claim(claims, config.agents_claim)))
    jti = claims.get("jti")
    if jti is not None and not (isinstance(jti, str) and len(jti) <= MAX_USER_CHARS):
        raise Refused("claims", "its 'jti' is no id")
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    assert expires is not None
    assert issued is not None
    return Identity(_tenant(claims, config), user, roles, agents, expires + config.skew_s, issued, jti)


def _tenant(claims: Mapping[str, Any], config: OidcConfig) -> str:
    if config.tenant_claim is None:
        return config.tenant or "default"
    value = claim(claims, config.tenant_claim)
    named = config.tenants.get(value) if config.tenants and isinstance(value, str) else value
    if not isinstance(named, str) or _TENANT.fullmatch(named) is None:
        raise Refused("tenant", f"its {config.tenant_claim!r} is {_shown(value)}, which is no tenant here")
    return named


_TENANT = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def _roles(claims: Mapping[str, Any], config: OidcConfig) -> tuple[str, ...]:
    found: list[str] = []
    if config.roles_claim is not None:
        found = [config.roles[text] for text in _texts(claim(claims, config.roles_claim)) if text in config.roles]
    if not found and config.role is not None:
        found = [config.role]
    return tuple(dict.fromkeys(found))


def claim(claims: Mapping[str, Any], path: str) -> Any:
    """The value of a claim: of that very name (names may hold dots), else along the path; None where there is none."""
    if path in claims:
        return claims[path]
    here: Any = claims
    for part in path.split("."):
        if not isinstance(here, dict) or part not in here:
            return None
        here = here[part]
    return here


def _texts(value: Any) -> list[str]:
    """The texts of a list, or of a text with spaces between, as OAuth's `scope` has them."""
    if isinstance(value, str):
        return value.split(" ")[:MAX_ROLES]
    if isinstance(value, list):
        return [text for text in value[:MAX_ROLES] if isinstance(text, str)]
    return []


def _shown(value: Any) -> str:
    return ascii(value)[:80]
