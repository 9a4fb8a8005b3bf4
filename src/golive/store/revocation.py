"""The row of a token's revocation. Made once, never changed; removed when every token that it means has expired."""

from typing import Literal, Protocol

from msgspec import Struct

EVERY_TENANT = "*"
"""In the place of a tenant: the revocation counts in all."""


class TokenRevocation(Struct, frozen=True):
    """Tokens that are not taken any more.

    `issuer`: as in `iss`. `kind`: the token whose `jti` is `value`; all of the user `value`, or of the issuer (`value`
    is ""), made at or before `before`. `until`: from when on no such token can be valid (seconds since the epoch).
    """

    tenant: str
    id: str
    issuer: str
    kind: Literal["jti", "user", "issuer"]
    value: str
    before: float
    until: float
    created_at: float
    created_by: str


class RevocationStore(Protocol):
    """The revocations of an installation."""

    async def all(self) -> list[TokenRevocation]:
        """Those of every tenant, the oldest first: tokens are verified before the tenant is known."""
        ...

    async def of(self, tenant: str) -> list[TokenRevocation]:
        """Those of one tenant, or those that count in every (`EVERY_TENANT`), the oldest first."""
        ...

    async def add(self, row: TokenRevocation) -> None:
        """Adds it, and removes those whose `until` is before its `created_at`; the control version rises.

        Durable on return.
        """
        ...

    async def prune(self, before: float) -> int:
        """Removes those of every tenant whose `until` is before that moment; how many there were."""
        ...


class KeepsRevocations(Protocol):
    """A store that keeps them."""

    revocations: RevocationStore


COLUMNS = ", ".join(TokenRevocation.__struct_fields__)
