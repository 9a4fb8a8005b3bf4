"""An issuer for tests: keys, tokens by them, its documents, and a network that answers with these."""

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from golive.config.auth import OidcConfig
from golive.store.revocation import TokenRevocation
from golive.tenants.issuer import Fetched, FetchFailed, IssuerState
from golive.tenants.roles import BUILT_IN
from golive.tenants.verifier import Refusal, RevocationSource, TokenVerifier

ISSUER = "https://login.example.com/realms/acme"
NOW = 1_800_000_000.0
_RSA: dict[int, rsa.RSAPrivateKey] = {}


def private_key(alg: str, number: int = 0) -> Any:
    """A key that fits the algorithm; RSA keys are made once for a number."""
    if alg[:2] in ("RS", "PS"):
        if number not in _RSA:
            _RSA[number] = rsa.generate_private_key(65_537, 2_048)
        return _RSA[number]
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if alg == "ES384" else ec.SECP256R1())


def segment(value: object) -> str:
    """A part of a token: JSON, or these very bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(alg: str, key: Any, header: object, claims: object) -> str:
    """A token of exactly these parts, signed by the algorithm whatever the header says."""
    text = f"{segment(header)}.{segment(claims)}"
    return f"{text}.{segment(get_default_algorithms()[alg].sign(text.encode(), key))}"


class Issuer:
    """Keys by their kid, and the documents and tokens that come of them."""

    def __init__(self, url: str = ISSUER, algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")) -> None:
        self.url = url
        self.keys: dict[str, tuple[str, Any]] = {f"{alg}-1": (alg, private_key(alg)) for alg in algorithms}

    def jwk(self, kid: str) -> dict[str, Any]:
        """A public key as it is published."""
        alg, key = self.keys[kid]
        written: dict[str, Any] = get_default_algorithms()[alg].to_jwk(key.public_key(), as_dict=True)
        return written | {"kid": kid, "alg": alg, "use": "sig"}

    def key_set(self) -> dict[str, Any]:
        """The JWK Set document."""
        return {"keys": [self.jwk(kid) for kid in self.keys]}

    def discovery(self) -> dict[str, Any]:
        """The discovery document."""
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}

    def claims(self, **others: Any) -> dict[str, Any]:
        """Claims that are taken at `NOW`; None takes one away."""
        usual = {
            "iss": self.url, "aud": "golive", "sub": "alice", "exp": NOW + 300, "iat": NOW - 5, "nbf": NOW - 5,
            "jti": "t1", "realm_access": {"roles": ["golive-users", "else"]},
        }  # fmt: skip
        return {name: value for name, value in (usual | others).items() if value is not None}

    def token(self, kid: str = "RS256-1", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token by that key."""
        alg, key = self.keys[kid]
        return signed(alg, key, {"alg": alg, "kid": kid, "typ": "JWT"} | (header or {}), self.claims(**claims))

    def rotate(self, kid: str, alg: str = "ES256") -> None:
        """One key alone, a new one."""
        self.keys = {kid: (alg, private_key(alg))}


def config(issuer: Issuer | None = None, **settings: Any) -> OidcConfig:
    """A section for the issuer."""
    usual: dict[str, Any] = {
        "issuer": ISSUER if issuer is None else issuer.url, "audience": ("golive",),
        "roles_claim": "realm_access.roles", "roles": {"golive-users": "user", "golive-admins": "admin"},
    }  # fmt: skip
    return OidcConfig.model_validate(usual | settings)


class Network:
    """What `Fetch` asks: answers by address, and what was asked."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.asked: list[str] = []
        self.down = ""
        self.answers: dict[str, Fetched] = {}
        self.max_age_s: float | None = None

    async def fetch(self, url: str) -> Fetched:
        """The issuer's documents, or what `answers` says instead."""
        self.asked.append(url)
        if self.down:
            raise FetchFailed(self.down)
        if url in self.answers:
            return self.answers[url]
        documents = {
            f"{self.issuer.url.rstrip('/')}/.well-known/openid-configuration": self.issuer.discovery,
            f"{self.issuer.url}/keys": self.issuer.key_set,
        }
        if url not in documents:
            return Fetched(404, b"")
        return Fetched(200, json.dumps(documents[url]()).encode(), self.max_age_s)


class Revocations:
    """What the store holds."""

    def __init__(self) -> None:
        self.listed: list[TokenRevocation] = []
        self.at = 0

    def add(self, row: TokenRevocation) -> None:
        """One more, as another process writes it."""
        self.listed.append(row)
        self.at += 1

    async def version(self) -> int:
        """Grows with each."""
        return self.at

    async def rows(self) -> list[TokenRevocation]:
        """All."""
        return list(self.listed)


class TestClock:
    """Wall time that stands still unless moved; the two scales go together."""

    __test__ = False

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at - NOW + 100.0


class World:
    """A verifier of one issuer, and all around it."""

    def __init__(self, issuer: Issuer | None = None, **settings: Any) -> None:
        self.issuer = issuer or Issuer()
        self.network = Network(self.issuer)
        self.clock = TestClock()
        self.revocations = Revocations()
        self.refused: list[Refusal] = []
        self.accepted: list[bool] = []
        self.told: list[IssuerState] = []
        self.verifier = TokenVerifier(
            {"corp": config(self.issuer, **settings)},
            role=BUILT_IN.get,
            fetch=self.network.fetch,
            clock=self.clock,
            source=RevocationSource(self.revocations.version, self.revocations.rows),
            refused=self.refused.append,
            accepted=lambda _, remembered: self.accepted.append(remembered),
            told=self.told.append,
        )

    @property
    def reason(self) -> str:
        """Of the last refusal."""
        return self.refused[-1].reason


def hs256(claims: dict[str, Any], secret: bytes, header: dict[str, Any]) -> str:
    """A token whose signature is an HMAC, whatever the secret is."""
    text = f"{segment(header)}.{segment(claims)}"
    key = get_default_algorithms()["HS256"]
    return f"{text}.{segment(key.sign(text.encode(), secret))}"


def pem(key: Any) -> bytes:
    """The public key as text, which an attacker has, too."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


assert jwt.__version__
