"""The audit log as a file: JSON lines that hold all that a chain needs to be verified, with the public key alone.

The first line says what it is; then the marks and entries of a tenant in order, its checkpoints, its last signature.
Lines of a server's log that tell of checkpoints (`audit.checkpoint`) are read as checkpoints too.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec

from golive.audit.chain import Verdict, Verifier
from golive.audit.signing import AuditKey, Trusted
from golive.audit.verifying import PAGE
from golive.core.clock import Clock
from golive.core.errors import InvalidRequest
from golive.store.audit import AuditCheckpoint, AuditHead, AuditRow, AuditStore

FORMAT = "golive audit log"
VERSION = 1


async def lines(store: AuditStore, tenants: Iterable[str], key: AuditKey, clock: Clock) -> AsyncIterator[str]:
    """The lines of an export, without line breaks; each tenant's end is signed anew."""
    yield _line({"format": FORMAT, "version": VERSION, "public_key": key.public.hex(), "at": clock.now()})
    for tenant in tenants:
        mine = store.tenant(tenant)
        last: AuditHead | None = None
        for mark in await mine.checkpoints():
            yield checkpoint_line(mark)
        after = 0
        while rows := await mine.rows(after, PAGE):
            for row in rows:
                yield row_line(row)
            after, last = rows[-1].seq, AuditHead(tenant, rows[-1].seq, rows[-1].hash)
        if last is not None:
            yield checkpoint_line(key.sign(last, clock.now()))


def row_line(row: AuditRow) -> str:
    """An entry as a line; `detail` is the very text that was hashed."""
    return _line({"entry": msgspec.structs.asdict(row) | {"hash": row.hash.hex()}})


def checkpoint_line(row: AuditCheckpoint) -> str:
    """A checkpoint as a line."""
    told = msgspec.structs.asdict(row) | {"hash": row.hash.hex(), "signature": row.signature.hex()}
    return _line({"checkpoint": told})


def _line(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class Export(msgspec.Struct):
    """What was read of a file."""

    public_key: str | None
    rows: dict[str, list[AuditRow]]
    checkpoints: dict[str, list[AuditCheckpoint]]


def read(text: Iterable[str], name: str) -> Export:
    """What stands in an export, or a log.

    Raises:
        InvalidRequest: a line is neither; it is named.
    """
    found = Export(None, {}, {})
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            _take(found, msgspec.json.decode(line))
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError):
            raise InvalidRequest(
                f"Line {number} of {name} is no line of an audit log.",
                remedy="Give what `golive audit export` wrote, or lines of a server's log (JSON).",
                field="file", value=name, line=number,
            ) from None  # fmt: skip
    return found


def _take(found: Export, value: Any) -> None:
    if "entry" in value:
        entry = value["entry"]
        row = msgspec.convert(entry | {"hash": b""}, AuditRow)
        row = msgspec.structs.replace(row, hash=bytes.fromhex(entry["hash"]))
        found.rows.setdefault(row.tenant, []).append(row)
    elif "checkpoint" in value or value.get("event") == "audit.checkpoint":
        told = value.get("checkpoint") or value
        names = AuditCheckpoint.__struct_fields__
        fields = {name: told[name] for name in names} | dict.fromkeys(("hash", "signature"), b"")
        mark = msgspec.convert(fields, AuditCheckpoint)
        mark = msgspec.structs.replace(
            mark, hash=bytes.fromhex(told["hash"]), signature=bytes.fromhex(told["signature"])
        )
        found.checkpoints.setdefault(mark.tenant, []).append(mark)
    elif value.get("format") == FORMAT and value.get("version") == VERSION:
        found.public_key = str(value["public_key"])
    elif "event" not in value:
        raise KeyError("neither")


def verify_export(found: Export, trusted: Trusted, pinned: Export | None = None) -> Iterator[Verdict]:
    """What is wrong, tenant by tenant; nothing but the file and the key is asked."""
    others = pinned.checkpoints if pinned is not None else {}
    for tenant in sorted(found.rows.keys() | found.checkpoints.keys()):
        verifier = Verifier(tenant, trusted, found.checkpoints.get(tenant, []), others.get(tenant, []))
        for row in found.rows.get(tenant, []):
            verifier.add(row)
        yield verifier.end(None)
