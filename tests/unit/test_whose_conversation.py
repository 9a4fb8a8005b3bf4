"""A conversation's past is its user's, also where two servers began it for two users at once."""

from pathlib import Path

from golive.core.events import Event as Row
from golive.core.events import RunAccepted, RunFinished, TextBlock, encode_body
from golive.core.messages import Message
from golive.runtime.conversations import past
from golive.runtime.shown import view_of
from golive.runtime.state import RunState
from golive.store.ports import Lease
from golive.store.sqlite.store import SqliteStore
from tests.unit.chain_kit import Time


async def said(store: SqliteStore, run: str, user: str | None, text: str) -> None:
    """A run of the conversation `c` that has finished."""
    bodies = [
        RunAccepted("support", "1", input=(Message("user", f"from {text}"),), conversation="c", user=user or ""),
        TextBlock("msg_1", "answer", text, 0),
        RunFinished("completed", "done", "", None),
    ]
    rows, state = [], RunState("default", run, "d")
    state.epoch = 1
    for seq, body in enumerate(bodies, 1):
        kind, data = body.kind, encode_body(body)
        rows.append(Row("default", run, seq, 1, "", "d", 1.0, kind, data))
        state.apply(seq, 1, 1.0, body)
    await store.append(Lease("default", run, 1, "h", user), 0, rows, views=[view_of(state)], at_rest=True)


async def test_nobody_hears_what_another_user_said(tmp_path: Path) -> None:
    """Each user, and nobody in particular, hears their own runs alone."""
    store = SqliteStore.open(tmp_path / "golive.db", clock=Time())
    try:
        for number, user in enumerate(("ann", "ben", None, "ann"), 1):
            await said(store, f"run_{number}", user, f"{user} {number}")
        theirs: dict[str | None, list[str]] = {
            "ann": ["from ann 1", "from ann 4"], "ben": ["from ben 2"], None: ["from None 3"], "eve": [],
        }  # fmt: skip
        for user, words in theirs.items():
            found = await past(store.tenant("default"), "c", "run_9", summarised=True, user=user)
            heard = [message.content for run in found.runs for message in run.messages if message.role == "user"]
            assert heard == words, user
    finally:
        await store.close()
