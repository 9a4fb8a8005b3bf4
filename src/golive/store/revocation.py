"""The row of a token's revocation. Made once, never changed; removed when every token that it means has expired."""

from typing import Literal

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
