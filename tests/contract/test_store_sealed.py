"""What a sealed store leaves behind: words are planted wherever content goes in, and looked for in every table."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from golive.core.events import (
    Body,
    CancelRequested,
    DecisionMade,
    Event,
    ModelFailed,
    ModelFinished,
    RunAccepted,
    RunFinished,
    TextBlock,
    TextHeld,
    ToolFinished,
    ToolStarted,
    encode_body,
)
from golive.core.messages import Message, ToolCall, Usage
from golive.store.ports import Store
from tests.contract.store_kit import File, InPostgres, Place, Sealed, decision, entry, lease, message, view
from tests.untouched import contents

WORD = "xylophone"
SAID: tuple[Body, ...] = (
    RunAccepted("support", "1.0.0", input=(Message("user", WORD),), metadata={"note": WORD}),
    TextBlock("item_1", "answer", WORD, 0),
    TextHeld(1, "item_1", WORD, WORD),
    ModelFailed(1, 1, "sim/a", "model.failed", WORD, vendor_message=WORD),
    ModelFinished(1, 1, "sim/a", "i", "stop", Usage(1, 0, 1), 1, True, tool_calls=(ToolCall("c", "pay", WORD),)),
    ToolStarted(1, 1, "k", "c", "pay", WORD, WORD),
    ToolFinished(1, 1, "k", "c", "pay", False, WORD, "tool.raised"),
    DecisionMade(id="dec_1", choice="done", at=1.0, by="key:1", note=WORD, content=WORD),
    CancelRequested("key:1", WORD),
    RunFinished("completed", "done", message=WORD, output={"text": WORD}),
)
"""Prompt, metadata, text, what was held back, errors of providers, arguments and results of tools, a person's words."""


@pytest.mark.parametrize("place", ["sqlite-sealed", "postgres-sealed"], indirect=True)
async def test_no_planted_word_stands_in_any_table(place: Place, store: Store, tmp_path: Path) -> None:
    """Nor in the files of SQLite, its log included; read back, each is there."""
    of = lease()
    events = [
        Event("acme", "run_1", seq, 1, "", "digest", 1.5, body.kind, encode_body(body))
        for seq, body in enumerate(SAID, 1)
    ]
    told = replace(message(of, "msg_1"), body=WORD.encode())
    await store.append(
        of, 0, events, outbox=[told], views=[view(of)], ledger=[entry(of, 1, 5)], decisions=[decision(of)]
    )
    [found] = await store.claim_messages(10.0, 5)
    await store.settle_message("acme", found.id, "due", f"it answered 400: {WORD}", 60.0)
    assert isinstance(place, Sealed)
    planted = (WORD, WORD.encode().hex())
    assert [table for table, text in tables(place) if any(word in text for word in planted)] == []
    assert [file.name for file in tmp_path.iterdir() if file.is_file() and WORD.encode() in contents(file)] == []
    assert await store.tenant("acme").events("run_1") == events
    assert sum(event.body.count(WORD.encode()) for event in events) == 16
    [kept] = await store.tenant("acme").deliveries()
    assert (kept.body, kept.last_error) == (WORD.encode(), f"it answered 400: {WORD}")


def tables(place: Sealed) -> list[tuple[str, str]]:
    """Every table with all that it holds, as text; bytes in hexadecimal."""
    under = place.under
    if isinstance(under, InPostgres):
        psql, name = under.database.server.psql, under.database.name
        named = [row[0] for row in psql(name, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        return [(table, str(psql(name, f"SELECT t::text FROM {table} AS t"))) for table in named]
    assert isinstance(under, File)
    with closing(sqlite3.connect(under.path)) as connection:
        named = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [(table, shown(connection.execute(f"SELECT * FROM {table}").fetchall())) for table in named]


def shown(rows: list[Any]) -> str:
    return str([[value.hex() if isinstance(value, bytes) else value for value in row] for row in rows])
