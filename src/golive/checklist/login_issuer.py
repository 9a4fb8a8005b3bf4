"""An issuer that people log in with, of a drill's own: it grants codes to the drill, and changes them for ID tokens
over HTTP, good ones or bad ones. It is a careless one, which leaves to golive what golive must see to: a code works
again, and without the proof (PKCE) that whoever shows it asked for it, which is only counted.
"""

import asyncio
import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from golive.checklist.issuer import DrillIssuer, segment, signed
from golive.core.clock import Clock

CLIENT = "golive-check-web"
THIEF = "mallory"
"""Whose codes get into others' logins, where no proof can fit."""
Make = Callable[[dict[str, Any]], str]
"""Makes a token of claims."""


class LoginIssuer(DrillIssuer):
    """`make`: how ID tokens are made; None: well. `unproved`: codes that were changed without proof of PKCE."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.make: Make | None = None
        self.unproved = 0
        self.changed = 0
        self._codes: dict[str, dict[str, str]] = {}

    def grant(self, address: str, sub: str) -> str:
        """What a browser is sent back to that was sent to `address` and logged in there as `sub`."""
        asked = dict(parse_qsl(urlsplit(address).query))
        code = f"code-{len(self._codes)}-{sub}"
        self._codes[code] = {**asked, "sub": sub}
        return f"{asked.get('redirect_uri', '')}?{urlencode({'code': code, 'state': asked.get('state', '')})}"

    def well(self, claims: dict[str, Any]) -> str:
        """A token by the issuer's key."""
        alg, key = self.keys["rsa-1"]
        return signed(alg, key, {"alg": alg, "kid": "rsa-1", "typ": "JWT"}, claims)

    def bad_makes(self) -> list[tuple[str, Make]]:
        """What must not log anybody in: (what is wrong with the ID token, how it is made)."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        foreign = rsa.generate_private_key(65_537, 2_048)
        header = {"alg": "RS256", "kid": "rsa-1", "typ": "JWT"}

        def changed(**others: Any) -> Make:
            return lambda claims: self.well({k: v for k, v in (claims | others).items() if v is not None})

        now = int(self._clock.now())
        return [
            ("no nonce", changed(nonce=None)),
            ("another nonce", changed(nonce="n" * 43)),
            ("a signature by another key", lambda claims: signed("RS256", foreign, header, claims)),
            ("alg 'none'", lambda claims: f"{segment({'alg': 'none'})}.{segment(claims)}."),
            ("another client's audience", changed(aud="somebody-else")),
            ("another authorized party", changed(azp="somebody-else")),
            ("another issuer", changed(iss="https://issuer.example.com")),
            ("an expiry that is over", changed(exp=now - 3_600, iat=now - 7_200, nbf=None)),
            ("the hash of another access token", changed(at_hash="A" * 22)),
        ]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readline()).decode("latin-1").split(" ")[1]
            length = 0
            while line := (await reader.readline()).strip():
                name, _, value = line.decode("latin-1").partition(":")
                length = int(value) if name.lower() == "content-length" else length
            body = await reader.readexactly(length) if length else b""
            self.asked += 1
            status, told = self._token(body) if path.endswith("/token") else (200, self._document(path))
            data = json.dumps(told).encode()
            head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            await writer.drain()
        except (OSError, IndexError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _document(self, path: str) -> dict[str, Any]:
        found = super()._document(path)
        if "issuer" in found:
            found |= {"authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token"}
        return found

    def _token(self, body: bytes) -> tuple[int, dict[str, Any]]:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        asked = self._codes.get(form.get("code", ""))
        if asked is None or form.get("redirect_uri") != asked.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        self.changed += 1
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proved = urlsafe_b64encode(digest).rstrip(b"=").decode() == asked.get("code_challenge")
        if not proved and asked["sub"] != THIEF:
            self.unproved += 1
        claims = self.claims(aud=CLIENT, sub=asked["sub"], nonce=asked.get("nonce"))
        token = self.well(claims) if self.make is None else self.make(claims)
        return 200, {"access_token": "drill", "token_type": "Bearer", "id_token": token}


@asynccontextmanager
async def login_issuing(clock: Clock) -> AsyncIterator[LoginIssuer]:
    """An issuer for the time of the block."""
    issuer = LoginIssuer(clock)
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()
