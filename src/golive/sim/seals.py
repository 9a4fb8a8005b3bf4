"""State that a vendor signs and demands back: seals over text, and names that say a seal must come with them.

Nothing is remembered: a seal is a keyed hash. Two simulators have different keys, so neither accepts the other's, as
two vendors would not; one that comes back at its old address accepts its own.
"""

import hmac
from base64 import b64encode
from hashlib import blake2b

_MARK = "z"


class Seals:
    """Seals of one simulator. `secret` is what tells it from others."""

    def __init__(self, secret: str) -> None:
        self._key = blake2b(secret.encode()).digest()

    def sign(self, text: str) -> str:
        """The seal of a text."""
        data = text.encode("utf-8", "surrogatepass")
        digest = blake2b(data, key=self._key, digest_size=24).hexdigest()
        return b64encode(digest.encode()).decode()  # of digits, so that both alphabets of Base64 write it alike

    def valid(self, text: str, seal: object) -> bool:
        """Whether the seal is this simulator's, and of this text."""
        return isinstance(seal, str) and hmac.compare_digest(self.sign(text).encode(), seal.encode("utf-8", "replace"))

    def demanding(self, name: str) -> str:
        """The name, changed so that `demands` knows it again."""
        return f"{name}{_MARK}{self._tag(name)}"

    def demands(self, name: str) -> bool:
        """Whether this simulator made the name by `demanding`."""
        front, _, tag = name.rpartition(_MARK)
        return bool(front) and tag == self._tag(front)

    def _tag(self, name: str) -> str:
        return blake2b(name.encode("utf-8", "replace"), key=self._key, digest_size=5).hexdigest()
