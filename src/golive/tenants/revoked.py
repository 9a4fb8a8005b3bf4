"""Which tokens are revoked: one by its id, all of a user's, or all of an issuer's, made before a moment.

Pure look-up over what the store holds; `verifier.py` keeps it fresh, `revoking.py` writes it.
"""

from collections.abc import Iterable

from golive.store.revocation import EVERY_TENANT, TokenRevocation
from golive.tenants.tokens import Identity


class Revoked:
    """An index of revocations."""

    def __init__(self, rows: Iterable[TokenRevocation] = ()) -> None:
        """Takes all that there are, of every tenant."""
        self._ids: set[tuple[str, str, str]] = set()
        self._before: dict[tuple[str, str, str | None], float] = {}
        for row in rows:
            if row.kind == "jti":
                self._ids.add((row.tenant, row.issuer, row.value))
            else:
                at = (row.tenant, row.issuer, row.value if row.kind == "user" else None)
                self._before[at] = max(row.before, self._before.get(at, 0.0))

    def covers(self, issuer: str, who: Identity) -> bool:
        """Whether a verified token of the issuer (its `iss`) is revoked."""
        if not self._ids and not self._before:
            return False
        for tenant in (who.tenant, EVERY_TENANT):
            if who.jti is not None and (tenant, issuer, who.jti) in self._ids:
                return True
            for value in (who.user, None):
                before = self._before.get((tenant, issuer, value))
                if before is not None and who.issued_at <= before:
                    return True
        return False
