"""Sealing rows that were written before content was sealed: where they stand, in batches; may be ended and begun again.

A row in plain words proves nothing: whoever can write to the database can have put it there. So only those are sealed
that are older than the first key of their tenant; others are told, and stay as they are, which no server reads.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from golive.core.chance import Chance
from golive.core.errors import ContentErased
from golive.core.events import Event
from golive.core.sealing import NONCE_BYTES
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.values import MARK, Key, sealed_body, sealed_event
from golive.store.upkeep.database import Database, work

AT_ONCE = 500
"""Rows that are read, sealed and written together."""

_FIELDS = Event.__struct_fields__
# ruff: noqa: S608 - names of our own columns, never a value
_EVENTS = f"""
SELECT {", ".join(f"e.{name}" for name in _FIELDS)}, l."user" FROM events AS e
    LEFT JOIN leases AS l ON l.tenant = e.tenant AND l.run = e.run
WHERE e.key_id IS NULL AND e.tenant <> '' AND (e.tenant, e.run, e.seq) > (:tenant, :run, :seq)
ORDER BY e.tenant, e.run, e.seq LIMIT :most
"""
_MESSAGES = """
SELECT o.tenant, o.id, o.topic, o.body, o.at, l."user" FROM outbox AS o
    LEFT JOIN leases AS l ON l.tenant = o.tenant AND l.run = o.run
WHERE substr(o.body, 1, 8) <> :mark AND (o.tenant, o.id) > (:tenant, :id)
ORDER BY o.tenant, o.id LIMIT :most
"""
_SEAL_EVENT = """
UPDATE events SET body = :body, key_id = :key_id
WHERE tenant = :tenant AND run = :run AND seq = :seq AND key_id IS NULL
"""
_SEAL_MESSAGE = "UPDATE outbox SET body = :body WHERE tenant = :tenant AND id = :id AND substr(body, 1, 8) <> :mark"
_SINCE = "SELECT tenant, min(created_at) FROM data_keys GROUP BY tenant"


class SealedUp(Struct):
    """What was done, or would be: `events` and `messages` sealed; `younger`: rows left that claim to be of a time when
    their tenant's content was sealed already; `erased`: rows left of who was erased."""

    events: int = 0
    messages: int = 0
    younger: int = 0
    erased: int = 0


class _Rows:
    """One table's rows in plain words, batch by batch, and how they are sealed."""

    def __init__(self, database: Database, keys: DataKeys, chance: Chance, since: dict[str, float]) -> None:
        self._database = database
        self._keys = keys
        self._chance = chance
        self._since = since
        self.done = SealedUp()

    async def key(self, tenant: str, user: str | None, at: float, *, dry: bool) -> Key | None:
        """The key for one more value; None: it stays as it is, and is counted, or only to be counted."""
        if at >= self._since.get(tenant, float("inf")):
            self.done.younger += 1
            return None
        if dry:
            return None
        try:
            return self._keys.at_hand(tenant, 1, user) or await self._keys.renewed(tenant, 1, user)
        except ContentErased:
            self.done.erased += 1
            return None

    def nonce(self) -> bytes:
        return self._chance.token(NONCE_BYTES)

    async def read(self, sql: str, given: dict[str, Any]) -> list[Any]:
        def reading() -> list[Any]:
            with self._database.connected(writable=self._database.kind == "postgresql") as connection:
                return list(connection.execute(text(sql), given))

        return await work(reading)

    async def write(self, sql: str, rows: Sequence[dict[str, Any]]) -> None:
        """In one transaction; what stood there is overwritten in a SQLite file."""

        def writing() -> None:
            with self._database.connected() as connection:
                if self._database.kind == "sqlite":
                    connection.exec_driver_sql("PRAGMA secure_delete = ON")
                self._database.begin(connection, "IMMEDIATE")
                for row in rows:
                    connection.execute(text(sql), row)
                connection.commit()

        if rows:
            await work(writing)


async def seal_up(database: Database, keys: DataKeys, chance: Chance, *, dry: bool = False) -> SealedUp:
    """Seals what stands there in plain words under the present keys; `dry`: only counts.

    Raises:
        ContentSealed: a present key is under a master key that we do not have. What was sealed before stays so.
        StoreUnavailable: likewise.
    """
    rows = _Rows(database, keys, chance, {})
    rows._since.update({str(tenant): float(at) for tenant, at in await rows.read(_SINCE, {})})
    await _events(rows, dry)
    await _messages(rows, dry)
    return rows.done


async def _events(rows: _Rows, dry: bool) -> None:
    place: dict[str, Any] = {"tenant": "", "run": "", "seq": 0}
    while found := await rows.read(_EVENTS, place | {"most": AT_ONCE}):
        sealed: list[dict[str, Any]] = []
        for *fields, user in found:
            event, left = Event(*fields), rows.done.younger + rows.done.erased
            key = await rows.key(event.tenant, user, event.at, dry=dry)
            rows.done.events += left == rows.done.younger + rows.done.erased
            if key is not None:
                new = sealed_event(event, key, rows.nonce())
                sealed.append({
                    "tenant": new.tenant, "run": new.run, "seq": new.seq, "body": new.body, "key_id": new.key_id,
                })  # fmt: skip
        await rows.write(_SEAL_EVENT, sealed)
        place = {"tenant": event.tenant, "run": event.run, "seq": event.seq}


async def _messages(rows: _Rows, dry: bool) -> None:
    place: dict[str, Any] = {"tenant": "", "id": ""}
    while found := await rows.read(_MESSAGES, place | {"most": AT_ONCE, "mark": MARK}):
        sealed: list[dict[str, Any]] = []
        for tenant, id_, topic, body, at, user in found:
            left = rows.done.younger + rows.done.erased
            key = await rows.key(tenant, user, at, dry=dry)
            rows.done.messages += left == rows.done.younger + rows.done.erased
            if key is not None:
                new = sealed_body(tenant, id_, topic, bytes(body), key, rows.nonce())
                sealed.append({"tenant": tenant, "id": id_, "body": new, "mark": MARK})
        await rows.write(_SEAL_MESSAGE, sealed)
        place = {"tenant": tenant, "id": id_}
