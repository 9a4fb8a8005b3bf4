"""What is held of one secret: the value, since when, and what the last attempt to fetch it brought.

A value from the network is good for `ttl_s`, and fetched anew before that is over. While its backend cannot be asked it
goes on being used for `stale_s` more; then it counts as missing. Owns those rules, which are pure: times come in.
"""

from typing import Literal

from golive.config.secret_backends.local import Stamp
from golive.config.secret_backends.reference import Found, Reference
from golive.core.errors import GoliveError, SecretUnavailable

State = Literal["fresh", "stale", "lost", "never", "revoked"]
EARLY = 0.75
"""Which part of its time a value is used before it is fetched anew."""
FIRST_RETRY_S = 1.0
"""Wait after the first failed attempt; it doubles, up to `ttl_s`."""


class Held:
    """One reference. Written by one thread at a time; a reader sees the old state or the new one.

    `fetched_at`, `tried_at`: monotonic seconds. `used_at`, `changed_at`: wall time, seconds since the epoch: when it
    was last handed out, and when another value than the one before came in here.
    """

    __slots__ = ("changed_at", "error", "failures", "fetched_at", "fetching", "found", "reference", "stamp", "tried_at",
                 "used_at")  # fmt: skip

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.found: Found | None = None
        self.fetched_at = 0.0
        self.tried_at = float("-inf")
        self.failures = 0
        self.error: GoliveError | None = None
        self.used_at: float | None = None
        self.changed_at: float | None = None
        self.stamp: Stamp | None = None
        """Of a file, as it was when it was read."""
        self.fetching = False

    def took(self, found: Found, monotonic: float, now: float) -> bool:
        """A value came; whether it is another than before."""
        before = self.found
        changed = before is not None and before.value != found.value
        self.found, self.fetched_at, self.tried_at = found, monotonic, monotonic
        self.failures, self.error = 0, None
        if changed:
            self.changed_at = now
        return changed

    def failed(self, error: GoliveError, monotonic: float) -> None:
        """An attempt failed; the value there is stays."""
        self.error, self.tried_at = error, monotonic
        self.failures += 1

    def due(self, monotonic: float, ttl_s: float) -> bool:
        """Whether to fetch it now."""
        if self.fetching:
            return False
        if self.failures:
            wait_s = min(FIRST_RETRY_S * 2.0 ** min(self.failures - 1, 20), max(ttl_s * EARLY, FIRST_RETRY_S))
            return monotonic >= self.tried_at + wait_s
        return self.found is None or monotonic >= self.fetched_at + ttl_s * EARLY

    def state(self, monotonic: float, ttl_s: float, stale_s: float) -> State:
        """How good the value is that there is."""
        if self.found is None:
            return "never"
        age_s = monotonic - self.fetched_at
        return "fresh" if age_s <= ttl_s else "stale" if age_s <= ttl_s + stale_s else "lost"

    def why_lost(self, stale_s: float) -> SecretUnavailable:
        """The error of a value that must not be used any more."""
        cause = f" The last attempt: {self.error.message}" if self.error is not None else ""
        return SecretUnavailable(
            f"the secret `{self.reference.text}` could not be fetched anew for longer than secrets.stale_s "
            f"({stale_s:g} s), and is used no more.{cause}",
            remedy=self.error.remedy if self.error is not None and self.error.remedy else "Look at its backend.",
            key="", value=self.reference.text, origin=self.reference.text,
        )  # fmt: skip
