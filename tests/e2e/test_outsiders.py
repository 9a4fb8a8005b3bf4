"""Over HTTP nobody of a tenant learns which reference, variable, file or setting of the installation is wrong."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_tenant_credentials import TURN, Tenants, tenants

WORDS = ("This server is not set up for that.", "whoever runs this server")
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"model": "sim/sim-agent", "messages": TURN}),
    ("/v1/chat/completions", {"model": "sim/sim-agent", "messages": TURN, "stream": True}),
    ("/v1/embeddings", {"model": "sim/sim-embed", "input": "x"}),
    ("/v1/responses", {"model": "sim/sim-agent", "input": "x"}),
    ("/v1/responses", {"model": "sim/sim-agent", "input": "x", "stream": True}),
    ("/v1/messages", {"model": "sim/sim-agent", "messages": TURN, "max_tokens": 9}),
]
RUNS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"model": "support", "messages": TURN}),
    ("/v1/chat/completions", {"model": "support", "messages": TURN, "stream": True}),
    ("/v1/messages", {"model": "support", "messages": TURN, "max_tokens": 9}),
    ("/v1/agents/support/runs", {"input": "x"}),
    ("/v1/agents/support/runs", {"input": "x", "stream": True}),
]


@pytest.fixture
async def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tenants]:
    """The installation's own credential is gone; the log is in a file."""
    with (tmp_path / "log.jsonl").open("w") as log:
        monkeypatch.setattr(sys, "stderr", log)
        async with tenants(tmp_path) as found:
            (tmp_path / "ours.key").unlink()
            yield found


def secretive(said: object) -> bool:
    return not any(word in str(said) for word in ("ours.key", "file:", "Write the secret"))


async def test_calls_and_runs_of_a_tenant_are_told_words_and_whom_to_ask(here: Tenants) -> None:
    """Each face, whole and streamed; the operator finds the rest in the log, by the run's id."""
    for path, body in CALLS:
        answer = await here.ask(here.keys["globex"], "POST", path, body)
        run = answer.headers["x-request-id"]
        assert answer.status == 500
        assert secretive(answer), answer
        assert all(word in str(answer.body) for word in (*WORDS, run, "secret.missing")), answer
        whole = await here.ask(here.keys["default"], "POST", path, body)
        assert "ours.key" in str(whole.body)
    for path, body in RUNS:
        answer = await here.ask(here.keys["globex"], "POST", path, body)
        assert secretive(answer), answer
    lines = [line for line in (here.root / "log.jsonl").read_text().splitlines() if run in line]
    assert any("file:ours.key" in line and "Write the secret into it." in line for line in lines)


async def test_journals_streams_exports_and_health_of_a_tenant_are_silent(here: Tenants) -> None:
    """Whoever acts across reads the whole in the journal."""
    globex, across = here.keys["globex"], here.keys["platform"]
    run = (await here.ask(globex, "POST", "/v1/agents/support/runs", {"input": "x"})).json["run"]
    for path in (f"/v1/runs/{run}/events", f"/v1/runs/{run}/events?format=json", f"/v1/runs/{run}",
                 "/v1/tenants/globex/export", "/health"):  # fmt: skip
        answer = await here.ask(globex, "GET", path)
        assert answer.status in (200, 503)
        assert secretive(answer), (path, answer)
        assert b"ours" not in answer.body, path
    assert b"secret.missing" in (await here.ask(globex, "GET", f"/v1/runs/{run}/events?format=json")).body
    whole = await here.ask(across, "GET", f"/v1/runs/{run}/events?format=json", headers={"x-golive-tenant": "globex"})
    assert b"the secret `file:ours.key` is missing" in whole.body
    assert b"ours.key" in (await here.ask(here.keys["default"], "GET", "/health")).body


async def test_a_tenant_is_not_told_which_providers_there_are(here: Tenants) -> None:
    """Of one that is not there it learns that, as before."""
    for path, body in CALLS[:1] + CALLS[2:4]:
        asked = body | {"model": "nope/x"}
        answer = await here.ask(here.keys["globex"], "POST", path, asked)
        assert (answer.status, "theirs" in str(answer.body)) == (404, False), answer
        assert "theirs" in str((await here.ask(here.keys["default"], "POST", path, asked)).body)
