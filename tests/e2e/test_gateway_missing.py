"""What a run cannot give, over HTTP: named in the result and in the stream's end, and said in the user's language."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.gateway_kit import Server, serving, sse

RUNS = "/v1/agents/brief/runs"
GERMAN = "Ich konnte nicht antworten."
MESSAGES = {"model_out": "No luck.", "model_cut": "Cut.", "de": {"model_out": GERMAN}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        running.put_agent("brief", "sim/sim-text")
        version = running.agents.get("default", "brief")
        running.agents.put(msgspec.structs.replace(version, messages=MESSAGES))
        running.script("sim-text", refuse=True)
        yield running


@pytest.mark.parametrize(
    ("fields", "header", "message"),
    [
        ({}, "", "No luck."),
        ({"language": "de"}, "", GERMAN),
        ({"language": "de-AT"}, "en", GERMAN),
        ({"language": "en"}, "de", "No luck."),
        ({}, "fr;q=0.9, de;q=0.8, en;q=0.1", GERMAN),
        ({}, "en, de", "No luck."),
    ],
)
async def test_a_run_speaks_the_language_asked_for(
    server: Server, fields: dict[str, str], header: str, message: str
) -> None:
    """The field stands above the header; what is missing is named in the run, its journal and its stream alike."""
    headers = {"Accept-Language": header} if header else {}
    async with server.client() as http:
        async with http.post(RUNS, json={"input": "Hi", "stream": True, **fields}, headers=headers) as response:
            ended = (await sse(response))[-1][2]
        async with http.get(f"/v1/runs/{ended['run']}/events", params={"format": "json"}) as response:
            last = (await response.json())["data"][-1]
    missing = [{"kind": "answer", "name": "", "code": "model.unreachable"}]
    assert (ended["outcome"], ended["message"], ended["missing"]) == ("failed", message, missing)
    assert (last["kind"], last["body"]["message"], last["body"]["missing"]) == ("run.finished", message, missing)


async def test_metadata_names_the_language_on_other_faces(server: Server) -> None:
    """`metadata.language` of a chat completion chooses the words, and is kept with the run."""
    body: dict[str, Any] = {"model": "brief", "messages": [{"role": "user", "content": "Hi"}]}
    async with server.client() as http:
        async with http.post("/v1/chat/completions", json={**body, "metadata": {"language": "de"}}) as response:
            assert GERMAN in (await response.json())["error"]["message"]
            run = response.headers["x-request-id"]
        async with http.get(f"/v1/runs/{run}") as response:
            assert (await response.json())["metadata"] == {"language": "de"}


@pytest.mark.parametrize("language", ["", "German!", "de_DE", "x" * 60])
async def test_what_is_no_language_is_refused(server: Server, language: str) -> None:
    """In the field of our own body, by name; a header or metadata that cannot be read is passed over."""
    async with server.client() as http:
        async with http.post(RUNS, json={"input": "Hi", "language": language}) as response:
            assert response.status == 400
            assert (await response.json())["field"] == "language"
        async with http.post(RUNS, json={"input": "Hi"}, headers={"Accept-Language": language}) as response:
            assert (response.status, (await response.json())["message"]) == (200, "No luck.")
