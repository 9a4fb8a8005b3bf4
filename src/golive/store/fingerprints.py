"""What the store keeps of secrets: never a value, only fingerprints: since when each was seen, and which are revoked.

Of the installation and not of a tenant: a credential that leaked is revoked for everybody at once.
"""

from typing import Protocol

from msgspec import Struct


class FingerprintRow(Struct, frozen=True):
    """One value of a secret. `fingerprint` is an HMAC in hex, or the beginning of one where a value was revoked that no
    server had seen; `seen_at` seconds since the epoch; `cut`: calls under way with it were ended, too."""

    fingerprint: str
    reference: str
    seen_at: float
    revoked_at: float | None = None
    revoked_by: str | None = None
    reason: str | None = None
    cut: bool = False


class Fingerprints(Protocol):
    """The fingerprints of one store."""

    async def rows(self) -> list[FingerprintRow]:
        """All of them, the oldest first."""
        ...

    async def put(self, row: FingerprintRow) -> None:
        """Adds the row, or its revocation to the one that is there; the control version rises.

        What was seen earlier stays so, and a revocation stands for good.
        """
        ...


class KeepsFingerprints(Protocol):
    """A store that keeps them."""

    fingerprints: Fingerprints


COLUMNS = ", ".join(FingerprintRow.__struct_fields__)
SELECT = f"SELECT {COLUMNS} FROM secret_fingerprints ORDER BY seen_at, fingerprint"  # noqa: S608 - names of our own
ON_CONFLICT = """
ON CONFLICT (fingerprint) DO UPDATE SET
    revoked_at = coalesce(secret_fingerprints.revoked_at, excluded.revoked_at),
    revoked_by = coalesce(secret_fingerprints.revoked_by, excluded.revoked_by),
    reason = coalesce(secret_fingerprints.reason, excluded.reason),
    cut = CASE WHEN secret_fingerprints.revoked_at IS NULL THEN excluded.cut ELSE secret_fingerprints.cut END
"""
"""Both databases say it so."""
CONTROL_CHANGED = "UPDATE installation SET control_version = control_version + 1"
