"""An OpenID Connect issuer of a drill's own, on this machine: discovery, a key set, and tokens, good and bad.

Shares nothing with what verifies them but the algorithms of the library. Speaks just enough HTTP for two documents.
"""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from golive.core.clock import Clock

AUDIENCE = "golive-check"
USER = "drill"
_LIFE_S = 600


def segment(value: object) -> str:
    """A part of a token: JSON, or these very bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(alg: str, key: Any, header: object, claims: object) -> str:
    """A token of exactly these parts, signed by the algorithm, whatever the header says."""
    from jwt.algorithms import get_default_algorithms

    text = f"{segment(header)}.{segment(claims)}"
    return f"{text}.{segment(get_default_algorithms()[alg].sign(text.encode(), key))}"


class DrillIssuer:
    """`url` is its issuer. `keys`: kid -> (algorithm, private key); what is in it is published."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._port = 0
        self.keys = {"rsa-1": ("RS256", _rsa()), "ec-1": ("ES256", _ec())}
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/drill"

    async def start(self) -> None:
        """Answers, at the address that it had before."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Answers no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def rotate(self) -> str:
        """Another key instead of all there were; its kid."""
        self.keys = {"ec-2": ("ES256", _ec())}
        return "ec-2"

    def claims(self, **others: Any) -> dict[str, Any]:
        """Claims that are to be taken now; None takes one away."""
        now = int(self._clock.now())
        usual = {
            "iss": self.url, "aud": AUDIENCE, "sub": USER, "exp": now + _LIFE_S, "iat": now, "nbf": now,
            "jti": f"drill-{now}",
        }  # fmt: skip
        return {name: value for name, value in (usual | others).items() if value is not None}

    def token(self, kid: str = "rsa-1", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token by that key."""
        alg, key = self.keys[kid]
        return signed(alg, key, {"alg": alg, "kid": kid, "typ": "JWT"} | (header or {}), self.claims(**claims))

    def bad(self) -> list[tuple[str, str]]:
        """What must be refused: (what is wrong with it, the token)."""
        now = int(self._clock.now())
        good = self.token()
        head, _, last = good.rpartition(".")
        claims = segment(self.claims())
        unsigned = [
            (f"alg {name!r}", f"{segment({'alg': name, 'kid': 'rsa-1'})}.{claims}.{end}")
            for name in ("none", "None", "NONE", "nOnE") for end in ("", last)
        ]  # fmt: skip
        foreign = {alg: make() for alg, make in (("RS256", _rsa), ("ES256", _ec))}
        return [
            *unsigned,
            ("a signature by a key that is not the issuer's (RS256)",
             signed("RS256", foreign["RS256"], {"alg": "RS256", "kid": "rsa-1"}, self.claims())),
            ("a signature by a key that is not the issuer's (ES256)",
             signed("ES256", foreign["ES256"], {"alg": "ES256", "kid": "ec-1"}, self.claims())),
            ("its own key brought along (jwk)", self._brings_its_key(foreign["ES256"])),
            ("HS256 by the public key", self._hs256()),
            ("claims changed after signing",
             f"{head.partition('.')[0]}.{segment(self.claims(sub='root'))}.{last}"),
            ("a signature cut short", f"{head}.{last[:-8]}"),
            ("no signature", f"{head}."),
            ("another audience", self.token(aud="somebody-else")),
            ("no audience", self.token(aud=None)),
            ("another issuer", self.token(iss="https://issuer.example.com")),
            ("expired", self.token(exp=now - 3_600, iat=now - 7_200, nbf=now - 7_200)),
            ("no expiry", self.token(exp=None)),
            ("not yet valid", self.token(nbf=now + 3_600)),
            ("an unknown key", self.token(header={"kid": "rsa-9"})),
            ("a key id that is a path", self.token(header={"kid": "../../../etc/passwd"})),
            ("another algorithm than its key's", self.token(header={"alg": "ES256"})),
            ("critical extensions", self.token(header={"crit": ["exp"]})),
            ("an ID token", self.token(nonce="n", at_hash="h")),
            ("no user", self.token(sub=None)),
            ("half a token", good[: len(good) // 2]),
            ("three dots", "eyJ.eyJ.eyJ."),
        ]  # fmt: skip

    def _brings_its_key(self, key: Any) -> str:
        from jwt.algorithms import get_default_algorithms

        jwk = get_default_algorithms()["ES256"].to_jwk(key.public_key(), as_dict=True)
        return signed("ES256", key, {"alg": "ES256", "kid": "mine", "jwk": jwk}, self.claims())

    def _hs256(self) -> str:
        import hmac

        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = self.keys["rsa-1"][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        text = f"{segment({'alg': 'HS256', 'kid': 'rsa-1'})}.{segment(self.claims())}"
        return f"{text}.{segment(hmac.digest(public, text.encode(), 'sha256'))}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readline()).decode("latin-1").split(" ")[1]
            while (await reader.readline()).strip():
                pass
            self.asked += 1
            body = json.dumps(self._document(path)).encode()
            head = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            )
            writer.write(head % len(body) + body)
            await writer.drain()
        except (OSError, IndexError, ValueError):
            pass
        finally:
            writer.close()

    def _document(self, path: str) -> dict[str, Any]:
        from jwt.algorithms import get_default_algorithms

        if path.endswith("/openid-configuration"):
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return {
            "keys": [
                get_default_algorithms()[alg].to_jwk(key.public_key(), as_dict=True)
                | {"kid": kid, "alg": alg, "use": "sig"}
                for kid, (alg, key) in self.keys.items()
            ]
        }


def _rsa() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65_537, 2_048)


def _ec() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


@asynccontextmanager
async def issuing(clock: Clock) -> AsyncIterator[DrillIssuer]:
    """An issuer for the time of the block."""
    issuer = DrillIssuer(clock)
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()
