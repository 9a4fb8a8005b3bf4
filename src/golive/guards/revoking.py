"""Revoking a secret: which value is meant, and the row that tells every server of it."""

import re
from collections.abc import Mapping

from golive.config.secret_use import OWN
from golive.config.secret_values import Held
from golive.config.secrets import FINGERPRINT_CHARS, Secrets
from golive.core.errors import GoliveError, InvalidRequest, SecretRevoked
from golive.store.fingerprints import FingerprintRow

_FINGERPRINT = re.compile(rf"[0-9a-f]{{{FINGERPRINT_CHARS},64}}")
MAX_REASON_CHARS = 500


def row_to_revoke(
    secrets: Secrets, named: str, used: Mapping[str, tuple[str, ...]], *, reason: str, by: str, cut: bool, now: float
) -> FingerprintRow:
    """The row of a revocation of `named`: a reference, or the fingerprint of a value; blocks.

    `used`: the references of the configuration, with the settings that name them.

    Raises:
        InvalidRequest: it is neither, there is no value to revoke, or it protects golive itself.
    """
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON_CHARS or not reason.isprintable():
        raise InvalidRequest(
            "a revocation needs a reason.", remedy=f"Give up to {MAX_REASON_CHARS} printable characters.",
            field="reason", value=reason[:100],
        )  # fmt: skip
    if _FINGERPRINT.fullmatch(named):
        whole = next((mac for mac in secrets.fingerprints() if mac.startswith(named)), named)
        text = next((held.reference.text for held in secrets.held() if _is(secrets, held, whole)), "")
        _refuse_own(text, used)
        return FingerprintRow(whole, text, now, now, by, reason, cut)
    _refuse_own(named, used)
    try:
        value = secrets.resolve(named)
    except SecretRevoked as error:
        raise InvalidRequest(
            f"the value of `{named}` is revoked already.", remedy=error.remedy, field="named", value=named
        ) from None
    except GoliveError as error:
        raise InvalidRequest(
            f"there is no value of `{named[:100]}` to revoke: {error.message}",
            remedy="Name a reference of the configuration, or a fingerprint of `golive secrets status`.",
            field="named", value=named[:100],
        ) from None  # fmt: skip
    return FingerprintRow(secrets.fingerprint(value, 64), named, now, now, by, reason, cut)


def _is(secrets: Secrets, held: Held, whole: str) -> bool:
    return held.found is not None and secrets.fingerprint(held.found.value, 64) == whole


def _refuse_own(reference: str, used: Mapping[str, tuple[str, ...]]) -> None:
    if any(name.startswith(OWN) for name in used.get(reference, ())):
        raise InvalidRequest(
            f"`{reference}` protects golive's own data and cannot be revoked.",
            remedy="Replace the pepper by making all API keys anew, and the master key by `golive secrets "
            "rotate-master`.", field="named", value=reference,
        )  # fmt: skip
