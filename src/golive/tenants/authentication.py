"""Who asks: one door for every kind of credential, with one refusal for all of them.

Owns reading the credential out of a header's value and handing it to whoever knows its kind: API keys (`gl_…`) to the
keyring, signed tokens (`eyJ…`) to the verifier. Whatever is wrong with one, the words are the same, so that nobody
learns which part was.
"""

from typing import Protocol

from golive.core.errors import Unauthenticated
from golive.tenants.authorize import Principal

_MESSAGE = "No valid API key came with the request."
_REMEDY = "Send `Authorization: Bearer gl_...`; `golive keys create` makes a key."


def unauthenticated() -> Unauthenticated:
    """The one refusal of every credential."""
    return Unauthenticated(_MESSAGE, remedy=_REMEDY)


class Authenticator(Protocol):
    """Knows one kind of credential."""

    async def authenticate(self, credential: str) -> Principal:
        """Who holds it. Raises `unauthenticated()` for whatever is wrong."""
        ...

    async def refresh(self) -> None:
        """Learns now what others have revoked. Raises StoreError."""
        ...


class Credentials:
    """Answers `authenticate` for the value of an `Authorization` header, whatever credential is in it."""

    def __init__(self, keys: Authenticator, tokens: Authenticator | None = None) -> None:
        """`tokens`: who knows signed tokens; None where none are accepted."""
        self._keys = keys
        self._tokens = tokens

    async def authenticate(self, header: str) -> Principal:
        """Who asks, from a header's value `Bearer CREDENTIAL`.

        Raises:
            Unauthenticated: always with the same words.
        """
        scheme, _, credential = header.partition(" ")
        if scheme == "Bearer" or scheme.lower() == "bearer":
            if credential.startswith("gl_"):
                return await self._keys.authenticate(credential)
            if self._tokens is not None and credential.startswith("eyJ"):
                return await self._tokens.authenticate(credential)
        raise unauthenticated()

    async def refresh(self) -> None:
        """See `Authenticator.refresh`."""
        await self._keys.refresh()
        if self._tokens is not None:
            await self._tokens.refresh()
