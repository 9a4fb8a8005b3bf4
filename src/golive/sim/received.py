"""The log of what clients sent, so that tests can look at it. Credentials are left out, not masked in part."""

from collections import deque
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct

MAX_REQUESTS = 1_000
MAX_BYTES = 64 * 1024 * 1024
_CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key")
_SECRET_WORDS = ("auth", "key", "token", "secret", "cookie", "password")
REDACTED = "[redacted]"


class Received(Struct, frozen=True):
    """One request. `body` is its JSON, or its text as a JSON string when it was not JSON.

    `credential` tells those that came with the same one: eight hex digits of its hash, "" where there was none.
    """

    id: str
    at: float
    method: str
    path: str
    headers: dict[str, str]
    credential: str
    body: Raw


def redacted(headers: dict[str, str]) -> dict[str, str]:
    """The headers with every value that may be a credential replaced."""
    return {name: REDACTED if _secret(name) else value for name, value in headers.items()}


def _credential(headers: dict[str, str]) -> str:
    given = next((headers[name] for name in _CREDENTIALS if headers.get(name)), "")
    return blake2b(given.encode("utf-8", "replace"), digest_size=4).hexdigest() if given else ""


def _secret(name: str) -> bool:
    return name != "idempotency-key" and any(word in name for word in _SECRET_WORDS)


class RequestLog:
    """The newest requests, at most `MAX_REQUESTS` and `MAX_BYTES` of bodies."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, float, str, str, dict[str, str], bytes]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, call: str, at: float, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        """Keeps one request; the oldest make room. Cheap: nothing is parsed until somebody looks."""
        self._kept.append((call, at, method, path, headers, body))
        self._bytes += len(body)
        while len(self._kept) > MAX_REQUESTS or (self._bytes > MAX_BYTES and len(self._kept) > 1):
            self._bytes -= len(self._kept.popleft()[-1])

    def entries(self, last: int = MAX_REQUESTS) -> list[Received]:
        """The newest `last` requests, oldest first."""
        return [
            Received(call, at, method, path, redacted(headers), _credential(headers), _as_json(body))
            for call, at, method, path, headers, body in list(self._kept)[max(0, len(self._kept) - last) :]
        ]

    def clear(self) -> None:
        """Forgets all."""
        self._kept.clear()
        self._bytes = 0


def _as_json(body: bytes) -> Raw:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Raw(msgspec.json.encode(body.decode("utf-8", "replace")))
    return Raw(body)
