"""ID tokens of a login: whether one is the answer to this login, and no other token in its place. Pure.

What holds for every token (form, signature, issuer, audience, times) is `tokens.py`'s; here is what a login adds.

Source: OpenID Connect Core 1.0, 3.1.3.7 and 3.1.3.8.
"""

import base64
import hashlib
import hmac

from msgspec import Struct

from golive.config.auth import OidcConfig
from golive.tenants.tokens import Refused, Token

_KINDS = frozenset({"id", "jwt"})
"""What an issuer may write into `typ` or `token_use` of an ID token."""
_HASHES = {"256": "sha256", "384": "sha384", "512": "sha512", "DSA": "sha512"}
"""End of an algorithm's name -> the hash in `at_hash` (of EdDSA: that of Ed25519)."""


class Expected(Struct, frozen=True):
    """What the ID token of one login must say. `issuer`: the section's name. `access_token`: what came with it."""

    issuer: str
    nonce: str
    access_token: str | None

    def config_of(self, name: str, config: OidcConfig) -> OidcConfig:
        """The section as it counts for ID tokens: they are for the client, whoever access tokens are for.

        Raises:
            Refused: the token is another issuer's than the one that was asked.
        """
        if name != self.issuer or config.client_id is None:
            raise Refused("issuer", f"it is of the issuer {name!r}, and {self.issuer!r} was asked")
        return _of_client(config)

    def check(self, token: Token, client_id: str) -> None:
        """Whether a token that is good for the client is the answer to this login.

        Raises:
            Refused
        """
        claims = token.claims
        kind = claims.get("typ", claims.get("token_use", "id"))
        if str(token.header.get("typ", "JWT")).upper() != "JWT" or str(kind).lower() not in _KINDS:
            raise Refused("type", "it is no ID token")
        if not isinstance(claims.get("sub"), str):
            raise Refused("user", "it names no subject (`sub`)")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), self.nonce.encode()):
            raise Refused("nonce", "its nonce is not that of this login" if "nonce" in claims else "it has no nonce")
        several = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else client_id) != client_id:
            raise Refused("party", "it was made for another client (`azp`)")
        if "at_hash" in claims and claims["at_hash"] != self._at_hash(token.alg):
            raise Refused("at_hash", "the access token that came with it is not the one it was made with (`at_hash`)")

    def _at_hash(self, alg: str) -> str | None:
        if self.access_token is None:
            return None
        digest = hashlib.new(_HASHES[alg[-3:]], self.access_token.encode()).digest()
        return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _of_client(config: OidcConfig) -> OidcConfig:
    return config.model_copy(update={"audience": (config.client_id,), "tokens": "any"})


def mapping_of(config: OidcConfig) -> str:
    """A short text that changes with what the section makes of a token: who it is, and what they may."""
    said = config.model_dump_json(include=_MAPPING)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


_MAPPING = {
    "issuer", "client_id", "tenant", "tenant_claim", "tenants", "user_claim", "user_prefix", "roles_claim", "roles",
    "role", "no_role", "agents_claim",
}  # fmt: skip
