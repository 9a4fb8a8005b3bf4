"""What is given to a browser and comes back: one-time links, logins under way and session cookies.

Sealed under a key of the pepper's by AES-256-GCM, bound to what each is, so that a link is no cookie. Pure; who may
have one is decided elsewhere.
"""

import base64
import binascii
import hmac
from typing import TypeVar

import msgspec
from msgspec import Struct

from golive.core.chance import Chance

NONCE_BYTES = 12
MAX_CHARS = 3_800
"""Longest text that is opened; browsers keep cookies of 4,096 bytes, name and attributes included."""
LINK_TTL_S = 120.0
"""How long a link works unless whoever makes it says otherwise."""

_LINK, _SESSION, _PENDING = b"golive:login-link:1", b"golive:session:1", b"golive:login:1"
_LABEL = b"golive: links and sessions of browsers"


class Link(Struct, frozen=True, array_like=True):
    """Logs one browser in, once, until `expires_at` (seconds since the epoch)."""

    tenant: str
    id: str
    role: str
    expires_at: float


class Session(Struct, frozen=True, array_like=True):
    """A browser's API key: its id, the key, when the browser last asked, and when it ends (seconds since the epoch).

    What follows is of a login with an issuer: its section's name, what that section made of tokens then
    (`id_tokens.mapping_of`), and whose the token was: what ends with these ends the session.
    """

    tenant: str
    id: str
    key: str
    seen_at: float
    ends_at: float
    issuer: str = ""
    mapping: str = ""
    user: str = ""
    issued_at: float = 0.0
    jti: str | None = None


class Pending(Struct, frozen=True, array_like=True):
    """A login under way at an issuer, bound to the browser that holds it.

    `verifier`: of PKCE; `then`: the page that comes after it; `expires_at`: seconds since the epoch.
    """

    issuer: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    then: str
    expires_at: float


T = TypeVar("T", Link, Session, Pending)


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

    def seal_pending(self, pending: Pending, chance: Chance) -> str:
        """The value of the cookie of a login under way."""
        return self._seal(pending, _PENDING, chance)

    def pending(self, text: str) -> Pending | None:
        """The login under way, whether or not it may still end well; None for what is none of ours."""
        return self._open(text, _PENDING, Pending)

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
