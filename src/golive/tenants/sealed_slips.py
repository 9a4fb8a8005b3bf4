"""What is given to a browser and comes back: one-time links and session cookies, sealed under a key of the pepper's.

AES-256-GCM, bound to what it is, so that a link is no cookie. Pure; who may have one is decided elsewhere.
"""

import base64
import binascii
import hmac
from typing import TypeVar

import msgspec
from msgspec import Struct

from golive.core.chance import Chance

NONCE_BYTES = 12
MAX_CHARS = 2_048
LINK_TTL_S = 120.0
"""How long a link works unless whoever makes it says otherwise."""

_LINK, _SESSION = b"golive:login-link:1", b"golive:session:1"
_LABEL = b"golive: links and sessions of browsers"


class Link(Struct, frozen=True, array_like=True):
    """Logs one browser in, once, until `expires_at` (seconds since the epoch)."""

    tenant: str
    id: str
    role: str
    expires_at: float


class Session(Struct, frozen=True, array_like=True):
    """A browser's API key: its id, the key, when the browser last asked, and when it ends (seconds since the epoch)."""

    tenant: str
    id: str
    key: str
    seen_at: float
    ends_at: float


T = TypeVar("T", Link, Session)


class Slips:
    """Seals and opens. All servers and commands of one installation share the pepper, and so these."""

    def __init__(self, pepper: bytes) -> None:
        self._key = hmac.digest(pepper, _LABEL, "sha256")

    def seal_link(self, link: Link, chance: Chance) -> str:
        """The text behind the `#` of a link."""
        return self._seal(link, _LINK, chance)

    def seal_session(self, session: Session, chance: Chance) -> str:
        """The value of a cookie."""
        return self._seal(session, _SESSION, chance)

    def link(self, text: str) -> Link | None:
        """The link, whether or not it works still; None for what is none of ours."""
        return self._open(text, _LINK, Link)

    def session(self, text: str) -> Session | None:
        """The session, whether or not it goes on; None for what is none of ours."""
        return self._open(text, _SESSION, Session)

    def _seal(self, slip: Struct, kind: bytes, chance: Chance) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = chance.token(NONCE_BYTES)
        sealed = AESGCM(self._key).encrypt(nonce, msgspec.json.encode(slip), kind)
        return base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()

    def _open(self, text: str, kind: bytes, form: type[T]) -> T | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if not text.isascii() or len(text) > MAX_CHARS:
            return None
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            plain = AESGCM(self._key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], kind)
            return msgspec.json.decode(plain, type=form)
        except (binascii.Error, InvalidTag, ValueError):
            return None
