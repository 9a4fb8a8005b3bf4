"""How messages to the outside are signed. Pure.

Source: Standard Webhooks, symmetric signatures (https://www.standardwebhooks.com).
"""

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64


def key_of(secret: str) -> bytes:
    """The key that a secret such as `whsec_MfKQ9r8GKYqr…` stands for.

    Raises:
        ValueError: it is none; the text says why, and never quotes it.
    """
    if not secret.startswith(PREFIX):
        raise ValueError(f"it does not begin with {PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"it stands for {len(key)} bytes, and {MIN_KEY_BYTES} to {MAX_KEY_BYTES} are needed")
    return key


def signature(key: bytes, id_: str, timestamp: int, body: bytes) -> str:
    """One signature of a message, such as `v1,g0hM9SsE…`. `timestamp`: seconds since the epoch."""
    signed = b"%b.%d.%b" % (id_.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
