"""The pepper of an installation, held against its store: keys work under the one that they were made under alone.

The store keeps a mark of the pepper that keys were last made under: an HMAC under that pepper, which tells nothing of
it. Owns when a pepper may be made, and the refusal of one that would void every key there is. Leaves reading it to
`config/secrets.py`.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from golive.config.master_keys import path_of
from golive.config.secrets import Secrets
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import ConfigError, SecretMissing
from golive.store.fingerprints import FingerprintRow
from golive.store.ports import KeyRow, Store
from golive.tenants.keys import SESSION, usable

MARK = "secrets.pepper"
"""What stands as the reference of a mark, which is no reference."""
_PURPOSE = b"golive: the pepper that keys are made under\0"
_PUT_BACK = "Put it back from where you keep a copy, or correct secrets.pepper: all servers of a database share one."
_ON_PURPOSE = (
    "To go over to a new one, revoke the keys that there are first: `golive keys list --all-tenants` shows them."
)


async def pepper_of(store: Store, secrets: Secrets, root: Path, reference: str, chance: Chance, clock: Clock) -> bytes:
    """The pepper; made where it is a file that there is not, and nothing hangs on it.

    Args:
        root: folder of golive.toml.

    Raises:
        SecretMissing: there is none, and keys were made, or secrets revoked, under one.
        ConfigError: keys were made under another one; or as `Secrets.pepper`.
    """
    keys, rows = await _keys(store, clock), await store.fingerprints.rows()
    path = path_of(reference, root)
    revoked = sum(row.revoked_at is not None for row in rows)
    if path is not None and not path.exists() and (keys or revoked):
        raise SecretMissing(
            f"the pepper `{reference}` is missing: there is no file {path}, and what the database holds hangs "
            f"on it (API keys: {len(keys)}, revoked secrets: {revoked}).",
            remedy=f"{_PUT_BACK} golive makes no new one over what is there: every key would be refused. {_ON_PURPOSE}",
            key=MARK, value=reference, origin=reference,
        )  # fmt: skip
    pepper = secrets.pepper(reference, chance)
    marks = _marks(rows)
    seen = [row.fingerprint for row in rows if row.reference == reference]
    if marks:
        same = marks[-1] in _marks_of(pepper, len(marks))
    else:  # keys of a golive that made no marks: its servers wrote down which values of the reference they used
        same = not seen or secrets.fingerprint(pepper.decode(), 64) in seen
    if keys and not same:
        raise _another(reference, len(keys))
    return pepper


def marking(
    store: Store, pepper: bytes, reference: str, clock: Clock, then: Callable[[KeyRow], Awaitable[None]] | None = None
) -> Callable[[KeyRow], Awaitable[None]]:
    """What is told of each key that was made or revoked: the first that is made under this pepper leaves its mark.

    Args:
        then: told afterwards.

    Raises: (what it gives)
        ConfigError: other keys were made under another pepper meanwhile; this one works here alone.
    """
    marked = False

    async def told(row: KeyRow) -> None:
        nonlocal marked
        if not marked and row.revoked_at is None:
            marks = _marks(await store.fingerprints.rows())
            if not marks or marks[-1] not in _marks_of(pepper, len(marks)):
                others = [key for key in await _keys(store, clock) if key.id != row.id]
                if marks and others:
                    raise _another(reference, len(others))
                mark = _marks_of(pepper, len(marks) + 1)[-1]
                await store.fingerprints.put(FingerprintRow(mark, MARK, clock.now()))
            marked = True
        if then is not None:
            await then(row)

    return told


async def _keys(store: Store, clock: Clock) -> list[KeyRow]:
    """The keys that somebody holds and that work; browsers begin new sessions by themselves."""
    now = clock.now()
    return [row for row in await store.all_keys() if row.name != SESSION and usable(row, now)]


def _marks(rows: Sequence[FingerprintRow]) -> list[str]:
    return [row.fingerprint for row in rows if row.reference == MARK]


def _marks_of(pepper: bytes, count: int) -> list[str]:
    """Its marks as the first, the second and so on: one that is gone back to leaves a new one."""
    return [hmac.digest(pepper, _PURPOSE + b"%d" % number, "sha256").hex() for number in range(count)]


def _another(reference: str, keys: int) -> ConfigError:
    return ConfigError(
        f"the pepper `{reference}` is not the one that the API keys in the database were made under: every one of "
        f"{keys} would be refused.",
        remedy=f"{_PUT_BACK} {_ON_PURPOSE}", key=MARK, value=reference, origin=reference,
    )  # fmt: skip
