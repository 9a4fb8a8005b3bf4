"""Keeps credentials out of what is written down: known secret values, and whatever has a credential's well-known shape.

Owns what counts as a credential in a log line. Leaves personal data and the content of conversations to other guards:
golive logs no content unless told to.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from golive.core.disguises import Finder, disguises

REDACTED = "[redacted]"
MIN_SECRET_CHARS = 8
"""Shorter known values are not searched for: they would blot out ordinary words."""
MAX_KEYS = 1_000
"""Names of fields, and short texts, whose verdict is kept."""
SHORT_CHARS = 40
"""Texts as short as this recur in logs (agents, versions, outcomes): what was clean once need not be searched again."""
MAX_DEPTH = 12
"""Nesting followed; what is deeper is replaced whole."""

SHAPES: dict[str, str] = {
    "golive key": r"\bgl_[0-9a-z]{8}_[A-Za-z0-9_-]{20,}",
    "API key": r"\b(?:sk|rk|pk)-[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic and many who follow them
    "Stripe key": r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "Slack token": r"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    "AWS access key id": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "Google API key": r"\bAIza[0-9A-Za-z_-]{35}",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "Vault token": r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}",
    "webhook signing key": r"\bwhsec_[A-Za-z0-9+/]{24,}={0,2}",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
}
"""What credentials look like, by what they are: to take them out of what is written (here), and to find them where they
lie (`scanning.py`)."""
# What follows one of these words is a credential whatever it looks like; the word itself stays.
_AFTER = re.compile(
    r"(?i)((?<![a-z0-9])(?:authorization|x-api-key|api[_-]?key|secret[_-]?access[_-]?key|password|client[_-]?secret)"
    r"[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic)\s+)?|\b(?:bearer|basic)\s+(?=\S*[0-9=]))"
    r"(?!\[redacted\])[^\s\"',;&)}\]]{6,}"
)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)")
_FIELD = re.compile(
    r"(?i)^(authorization|proxy-authorization|cookie|set-cookie|x-api-key|api[_-]?key|.*password|.*secret|pepper|.*private[_-]?key"
    r"|(access|refresh|id|bearer)[_-]?token)$"
)
_HINT = re.compile(
    r"(?i)[a-z0-9]{2,5}[-_][A-Za-z0-9]|hv[sbr]\.|bearer|basic|key|secret|password|authorization|AKIA|ASIA|AIza|eyJ|://"
)


_ALL_SHAPES = re.compile("|".join(SHAPES.values()))


def without_credentials(text: str) -> str:
    """The text without what has a credential's shape; words about credentials stay, as in a remedy."""
    return _URL_PASSWORD.sub(rf"\1{REDACTED}", _ALL_SHAPES.sub(REDACTED, text))


class Redactor:
    """Replaces credentials by `[redacted]` in text and in nested structures, which it copies and never changes."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` are values known to be secret, such as providers' keys and the pepper."""
        self._secrets: frozenset[str] = frozenset()
        self._shapes = _ALL_SHAPES
        self._finder = Finder()
        self._keys: dict[str, tuple[str, bool]] = {}
        self._clean: set[str] = set()
        self.learn(*secrets)

    def learn(self, *secrets: str) -> None:
        """Adds values to keep out, in every form of `disguises.py`; of those that begin alike the longest is taken."""
        new = [one for one in secrets if one not in self._secrets and len(one) >= MIN_SECRET_CHARS]
        if not new:
            return
        for one in new:
            self._finder.add(disguises(one))
        self._secrets = self._secrets.union(new)
        # New ones, after: another thread in the middle of a search must not add its old verdict to them.
        self._keys, self._clean = {}, set()

    def text(self, text: str) -> str:
        """The text with every credential replaced."""
        clean = self._clean
        if text in clean:
            return text
        shown = self._search(text)
        if len(text) <= SHORT_CHARS and shown == text:
            if len(clean) >= MAX_KEYS:
                clean.clear()
            clean.add(text)
        return shown

    def known(self, text: str) -> str:
        """The text without known values and without what has a credential's shape; words about credentials stay."""
        return without_credentials(self._finder.replaced(text, REDACTED))

    def _search(self, text: str) -> str:
        text = self._finder.replaced(text, REDACTED)
        if _HINT.search(text) is None:
            return text
        text = self._shapes.sub(REDACTED, text)
        text = _AFTER.sub(rf"\1{REDACTED}", text)
        return _URL_PASSWORD.sub(rf"\1{REDACTED}", text)

    def value(self, value: Any, depth: int = 0) -> Any:
        """A copy of nested mappings and lists with every credential replaced, keys' names telling secrets apart too."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth >= MAX_DEPTH:
            return REDACTED
        if isinstance(value, Mapping):
            return dict([self._field(key, item, depth) for key, item in value.items()])
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth + 1) for item in value]
        if isinstance(value, bytes | bytearray):
            return self.text(value.decode("utf-8", "replace"))
        return self.text(str(value))

    def _field(self, key: Any, item: Any, depth: int) -> tuple[Any, Any]:
        if not isinstance(key, str):
            return key, self.value(item, depth + 1)
        name, telling = self._keys.get(key) or self._look_at(key)
        if telling and item is not None and not isinstance(item, bool):
            return name, REDACTED
        return name, self.value(item, depth + 1)

    def _look_at(self, key: str) -> tuple[str, bool]:
        """The key as it may be shown, and whether its name says that the value is secret; kept, since keys recur."""
        keys = self._keys
        if len(keys) >= MAX_KEYS:
            keys.clear()
        seen = keys[key] = (self.text(key), _FIELD.match(key) is not None)
        return seen
