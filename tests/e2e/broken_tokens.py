"""What `broken_server.py` can break of tokens."""

import base64
import json
from typing import Any

from msgspec.structs import replace


def token_signature() -> None:
    """Whatever is signed by anybody is taken."""
    from golive.tenants import verifier

    async def unchecked(token: Any, issuer: Any) -> None:
        return None

    verifier._check_signature = unchecked


def token_audience() -> None:
    """Tokens for others are taken."""
    from golive.tenants import verifier

    real = verifier.check_claims
    verifier.check_claims = lambda token, config, now: real(
        replace(token, claims=token.claims | {"aud": config.audience[0]}), config, now
    )


def token_expiry() -> None:
    """Tokens are valid for ever."""
    from golive.tenants import tokens

    tokens._check_times = lambda *_: None


def token_none() -> None:
    """A token that says that it is not signed needs no signature."""
    from golive.tenants import verifier
    from golive.tenants.tokens import Token

    real = verifier.TokenVerifier.verify

    async def verify(self: Any, text: str) -> Any:
        parts = [_read(part) for part in text.split(".")[:2]]
        if len(parts) < 2 or str(parts[0].get("alg")).lower() != "none":
            return await real(self, text)
        token = Token(b"", b"", parts[0], parts[1], "none", None, parts[1]["iss"])
        issuer = self.issuers[token.issuer]
        who = verifier.identity(token, issuer.config)
        return verifier.Verified(issuer.name, self._principal(issuer.config, who), who)

    verifier.TokenVerifier.verify = verify  # type: ignore[method-assign]


def token_reasons() -> None:
    """Whoever sends a bad token is told what is wrong with it."""
    from golive.core.errors import Unauthenticated
    from golive.tenants import verifier
    from golive.tenants.tokens import Refused

    real = verifier.TokenVerifier.verify

    async def verify(self: Any, text: str) -> Any:
        try:
            return await real(self, text)
        except Refused as error:
            raise Unauthenticated(f"The token was refused: {error.detail}.") from None

    verifier.TokenVerifier.verify = verify  # type: ignore[method-assign]


def token_revocation() -> None:
    """Revoked tokens go on working."""
    from golive.tenants.revoked import Revoked

    Revoked.covers = lambda *_: False  # type: ignore[method-assign]


def token_rotation() -> None:
    """Keys are read once, at the start."""
    from golive.tenants.issuer import Issuer

    real = Issuer.refresh

    async def refresh(self: Any) -> None:
        if self._keys is None:
            await real(self)

    Issuer.refresh = refresh  # type: ignore[method-assign]


def token_outage() -> None:
    """Whenever a token comes the issuer is asked."""
    from golive.tenants.issuer import Issuer

    real = Issuer._read

    async def find(self: Any, kid: Any, alg: str) -> Any:
        await real(self)
        return None if self._error else self.known(kid, alg)

    Issuer.find = find  # type: ignore[method-assign]


def _read(part: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
