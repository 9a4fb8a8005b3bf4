"""Sealing: AES-256-GCM over values that are bound to their place. Pure; keys, nonces and places are handed in.

A sealed value is one byte of format, the nonce, and the ciphertext with its tag: 29 bytes more than the plain one. What
it is bound to is not stored: whoever opens it says from where it was read, and a value that was moved does not open.

Source: NIST SP 800-38D, Galois/Counter Mode (November 2007), section 8.3 on the number of values under one key.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
MOST_VALUES = 1 << 30
"""How many values may be sealed under one key. Nonces are drawn: NIST allows 2^32, and with a quarter of that two of
them are alike with a chance of 2^-37."""

_FORMAT = b"\x01"
_TAG_BYTES = 16
_HEAD_BYTES = len(_FORMAT) + NONCE_BYTES


class NotAuthentic(Exception):
    """What was to be opened is not what was sealed: another key, another place, or changed bytes."""


class SealingKey:
    """One key of 32 bytes."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        """Raises ValueError where it has another length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, place: bytes, nonce: bytes) -> bytes:
        """The value, sealed.

        Args:
            place: what it is bound to, as `place` says it.
            nonce: 12 random bytes, never used twice under one key.
        """
        return _FORMAT + nonce + self._aead.encrypt(nonce, plain, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """The plain value.

        Raises:
            NotAuthentic: it was not sealed under this key, for this place, or its bytes were changed.
        """
        if len(sealed) < _HEAD_BYTES + _TAG_BYTES or sealed[:1] != _FORMAT:
            raise NotAuthentic
        try:
            return self._aead.decrypt(sealed[1:_HEAD_BYTES], sealed[_HEAD_BYTES:], place)
        except InvalidTag:
            raise NotAuthentic from None


def place(*parts: str) -> bytes:
    """Where a value stands, as bytes: no two different lists of parts give the same."""
    return "".join([f"{len(part)}:{part}" for part in parts]).encode("utf-8", "surrogatepass")


def fingerprint(key: bytes) -> str:
    """A name for a key that tells nothing of it: 16 hexadecimal digits."""
    return hmac.digest(key, b"golive: the name of a key", hashlib.sha256).hex()[:16]
