"""What may be shown of secrets: where each is used, how old it is, when it is to be replaced. Never a value."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from golive.config.secret_settings import RotationConfig
from golive.config.secret_values import Held, State
from golive.config.secrets import Secrets
from golive.store.fingerprints import FingerprintRow

DAY_S = 86_400.0


class SecretCard(Struct, frozen=True, kw_only=True):
    """One reference. Times are seconds since the epoch.

    `state`: `fresh`; `stale`: its backend cannot be asked, and the value of before is used; `lost`: it could not be for
    too long; `never`: there was no value yet; `revoked`; `unusable`: it is no reference. `since`: from when on the
    value is this one. `due_at`: when it is to be replaced, where [secrets.rotation] says so; `remind`: whether that is
    near or past. `other_environments`: those that have the same value, by the manifest.
    """

    reference: str
    backend: str
    used_by: tuple[str, ...]
    state: State | Literal["unusable"]
    fingerprint: str
    version: str
    since: float | None
    age_days: float | None
    due_at: float | None
    remind: bool
    last_used_at: float | None
    changed_at: float | None
    problem: str
    other_environments: tuple[str, ...] = ()


class RevokedCard(Struct, frozen=True, kw_only=True):
    """A value that no call begins with any more."""

    fingerprint: str
    reference: str
    revoked_at: float
    revoked_by: str
    reason: str
    cut: bool


def card_of(
    held: Held, used_by: Sequence[str], secrets: Secrets, rows: Mapping[str, FingerprintRow],
    rotation: Mapping[str, RotationConfig], now: float,
) -> SecretCard:  # fmt: skip
    """The card of one reference; `rows` by whole fingerprint."""
    found, text = held.found, held.reference.text
    since = due_at = None
    fingerprint = ""
    if found is not None:
        fingerprint = secrets.fingerprint(found.value)
        row = rows.get(secrets.fingerprint(found.value, 64))
        since = found.made_at or (row.seen_at if row is not None else None)
    schedule = rotation.get(text)
    if schedule is not None and since is not None:
        due_at = since + schedule.every_days * DAY_S
    return SecretCard(
        reference=text, backend=held.reference.kind, used_by=tuple(used_by), state=secrets.state(held),
        fingerprint=fingerprint, version=found.version if found is not None else "", since=since,
        age_days=None if since is None else round(max(now - since, 0.0) / DAY_S, 3), due_at=due_at,
        remind=due_at is not None and schedule is not None and now >= due_at - schedule.remind_days * DAY_S,
        last_used_at=held.used_at, changed_at=held.changed_at,
        problem="" if held.error is None else held.error.message,
    )  # fmt: skip


def unusable_card(text: str, used_by: Sequence[str], problem: str) -> SecretCard:
    """The card of what is stored as a reference and is none."""
    return SecretCard(
        reference=text, backend=text.partition(":")[0], used_by=tuple(used_by), state="unusable", fingerprint="",
        version="", since=None, age_days=None, due_at=None, remind=False, last_used_at=None, changed_at=None,
        problem=problem,
    )  # fmt: skip


def revoked_card(row: FingerprintRow) -> RevokedCard:
    """The card of a row that is revoked."""
    assert row.revoked_at is not None
    return RevokedCard(
        fingerprint=row.fingerprint[:8], reference=row.reference, revoked_at=row.revoked_at,
        revoked_by=row.revoked_by or "", reason=row.reason or "", cut=row.cut,
    )  # fmt: skip
