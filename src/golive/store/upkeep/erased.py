"""What was erased stays so when an older backup takes the store's place: done again there, before anybody can read it.

Which erasures there were is read from the store that is replaced, or from a file that was kept elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, text

from golive.core.errors import InvalidRequest
from golive.store.erasures import ALL, RUN_TABLES, TENANT_TABLES, Erasure
from golive.store.tenancy import BY_GOLIVE

KNOWN_FROM = 12
"""The first schema that knows of erasures."""

# ruff: noqa: S608 - what is put into these statements are names of our own tables, never a value
_TENANT = """
INSERT INTO tenants (tenant, state, created_at, created_by, agents, limits, note, changed_at, erased_at)
VALUES (:tenant, 'erased', :now, :by, '[]', '{}', '', :now, :at)
ON CONFLICT (tenant) DO UPDATE SET state = 'erased', agents = '[]', limits = '{}', note = '', erased_at = :at
"""
_USER = """
INSERT INTO tenant_users (tenant, id, state, created_at, created_by, note, erased_at)
VALUES (:tenant, :user, 'erased', :now, :by, '', :at)
ON CONFLICT (tenant, id) DO UPDATE SET state = 'erased', note = '', last_seen_at = NULL, erased_at = :at
"""
_RUNS = """
SELECT run FROM leases WHERE tenant = :tenant AND (:user IS NULL OR "user" = :user)
UNION SELECT run FROM runs WHERE tenant = :tenant AND (:user IS NULL OR "user" = :user)
"""
_KEYS = """
UPDATE data_keys SET wrapped = x'', erased_at = :now
WHERE tenant = :tenant AND erased_at IS NULL AND (:user IS NULL OR (scope = 'user' AND subject = :user))
"""
_KEEP_PLACE = """
INSERT INTO events (rowid, tenant, run, seq, epoch, branch, version, at, kind, body)
SELECT :place, '', '', :place, 1, '', '', 0, 'erased', x'' WHERE :place > (SELECT coalesce(max(rowid), 0) FROM events)
"""
"""So that nobody who follows the journal misses what comes: events to come get places behind all that there were."""


class Again(Struct, frozen=True):
    """What was erased once more: how many tenants and users, of which so many runs were there."""

    subjects: int = 0
    runs: int = 0


def known(connection: Connection, version: int) -> list[Erasure]:
    """The erasures that a database of that schema knows of."""
    if version < KNOWN_FROM:
        return []
    return [Erasure(*row) for row in connection.execute(text(ALL))]


def read(path: Path) -> list[Erasure]:
    """Those of a file that `golive tenants erasures` wrote.

    Raises:
        InvalidRequest: it cannot be read, or a line is none.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error.strerror}.", remedy="Give what `golive tenants erasures` wrote.",
            field="erasures", value=str(path),
        ) from error  # fmt: skip
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=Erasure))
            except msgspec.MsgspecError as error:
                raise InvalidRequest(
                    f"Line {number} of {path} is no erasure: {error}.",
                    remedy="Give what `golive tenants erasures` wrote.", field="erasures", value=str(path), line=number,
                ) from error  # fmt: skip
    return found


def apply(connection: Connection, erasures: Iterable[Erasure], now: float) -> Again:
    """Erases them in a SQLite database of the present schema, overwriting what is removed."""
    connection.execute(text("PRAGMA secure_delete = ON"))
    place = int(connection.execute(text("SELECT coalesce(max(rowid), 0) FROM events")).scalar_one())
    subjects = runs = 0
    for one in erasures:
        values = {
            "tenant": one.tenant, "user": one.user, "now": now, "by": BY_GOLIVE,
            "at": now if one.erased_at is None else one.erased_at,
        }  # fmt: skip
        runs += _remove(connection, values)
        if one.user is None:
            for table in TENANT_TABLES:
                connection.execute(text(f"DELETE FROM {table} WHERE tenant = :tenant"), values)
        connection.execute(text(_TENANT if one.user is None else _USER), values)
        connection.execute(text(_KEYS), values)
        subjects += 1
    connection.execute(text(_KEEP_PLACE), {"place": place})
    return Again(subjects, runs)


def _remove(connection: Connection, values: Mapping[str, object]) -> int:
    named: Sequence[str] = [str(run) for (run,) in connection.execute(text(_RUNS), values)]
    for table in RUN_TABLES:
        for run in named:
            given = {"tenant": values["tenant"], "run": run}
            connection.execute(text(f"DELETE FROM {table} WHERE tenant = :tenant AND run = :run"), given)
    return len(named)
