"""The credentials of calls under way: which call uses which value, a refused value asked for anew, a revoked one cut.

A value that the provider refuses may just have been rotated: its backend is asked at once, and the call begins again
with what comes, before anybody hears of it. Owns that and the list of open calls; values are `config/secrets.py`'s.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

Resolve = Callable[[str], str]
"""The value behind a reference, at once; its errors go to the caller."""
Renew = Callable[[str, str | None], Awaitable[str | None]]
"""Another value behind the reference than this one, which was refused; None: there is none. Raises nothing."""


class Open(Protocol):
    """A call under way."""

    def cut(self) -> None:
        """Ends it now, because its credential was revoked."""
        ...


class OpenCalls:
    """The calls under way, by the value that each was begun with."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[str, dict[Open, None]] = {}  # a dict and no set: cut in the order they began

    def begin(self, secret: str | None, call: Open) -> None:
        """The call uses this value from now on."""
        if secret is not None:
            self._calls.setdefault(secret, {})[call] = None

    def end(self, secret: str | None, call: Open) -> None:
        """It does not any more."""
        if secret is not None and (calls := self._calls.get(secret)) is not None:
            calls.pop(call, None)
            if not calls:
                del self._calls[secret]

    def cut(self, secrets: Iterable[str]) -> int:
        """Ends every call that uses one of these values; how many those were."""
        found = [call for secret in secrets for call in self._calls.get(secret, ())]
        for call in found:
            call.cut()
        return len(found)

    def count(self, secrets: Iterable[str]) -> int:
        """How many calls use one of these values now."""
        return sum(len(self._calls.get(secret, ())) for secret in secrets)


async def never(reference: str, refused: str | None) -> str | None:
    """A `Renew` where values do not change."""
    return None


class Credential:
    """One reference of one provider, as its calls see it; no reference: the provider needs no credential."""

    __slots__ = ("_renew", "_resolve", "reference")

    def __init__(self, reference: str | None, resolve: Resolve, renew: Renew) -> None:
        self.reference = reference
        self._resolve = resolve
        self._renew = renew

    def __call__(self) -> str | None:
        """The value now. Raises what the resolver does."""
        return None if self.reference is None else self._resolve(self.reference)

    async def renewed(self, refused: str | None) -> str | None:
        """Another value than the refused one, where the backend has one by now."""
        return None if self.reference is None else await self._renew(self.reference, refused)
