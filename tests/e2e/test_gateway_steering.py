"""What people do to runs, over HTTP and from the command line, with a real server that is killed in mid-call."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from golive.config.load import load
from golive.tenants.opening import create_key
from tests.e2e.gateway_kit import sse
from tests.e2e.process_kit import RUNS, Project, golive, project

PAYING = '''
import pathlib, time

BOOK = pathlib.Path({book!r})


def _note(line: str) -> None:
    with BOOK.open("a") as book:
        book.write(line + "\\n")


def pay(amount_cents: int, ctx) -> str:
    """Pays."""
    _note(f"paid {{ctx.idempotency_key}}")
    if not BOOK.with_name("quick").exists():
        time.sleep(60)
    return "receipt " + ctx.idempotency_key


def _pay_back(result: str, ctx) -> str:
    _note(f"back {{ctx.idempotency_key}} {{ctx.undoes}} {{result}}")
    return "paid back"
'''.replace("ctx)", "ctx: ToolContext)").replace(
    "import pathlib, time", "import pathlib, time\n\nfrom golive.tools.context import ToolContext"
)
PAY = {"tool_calls": [{"name": "pay", "arguments": {"amount_cents": 100}}]}
PAYS = "/v1/agents/pays/runs"


class Till(Project):
    """A project with the agent `pays`, whose tool notes each payment in a book, and is slow unless told otherwise."""

    @property
    def book(self) -> list[str]:
        path = self.root / "book"
        return path.read_text().splitlines() if path.exists() else []

    def quick(self) -> None:
        """From now on payments return at once."""
        (self.root / "quick").touch()

    async def killed_in_a_payment(self, http: aiohttp.ClientSession) -> str:
        """A run whose server is killed while it pays; the next server is up, and the run waits."""
        async with http.post(PAYS, json={"input": "Pay.", "background": True}) as response:
            run: str = (await response.json())["run"]
        async with asyncio.timeout(20):
            while not self.book:
                await asyncio.sleep(0.01)
        await self.kill()
        self.quick()
        await self.serve()
        return run

    async def waiting(self, run: str) -> dict[str, Any]:
        """The run, once it waits for a person."""
        async with asyncio.timeout(20), self.client() as http:
            while True:
                found: dict[str, Any] = await told(http, f"/v1/runs/{run}")
                if found["state"] == "waiting":
                    return found
                await asyncio.sleep(0.02)

    async def cli(self, *words: str, code: int = 0) -> tuple[str, str]:
        """A command against the server: standard output and error."""
        environ = self.environ | {"GOLIVE_URL": self.url, "GOLIVE_KEY": self.key}
        ended, out, err = await golive(self.root, *words, environ=environ)
        assert ended == code, (out, err)
        return out, err


async def told(http: aiohttp.ClientSession, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
    """What the server answers, to a GET or with a body to a POST."""
    async with http.request("GET" if body is None else "POST", path, json=body) as response:
        answer = await response.json()
        assert response.status == status, answer
        return answer


async def finished(http: aiohttp.ClientSession, run: str) -> dict[str, Any]:
    """The run, once it has ended."""
    async with http.get(f"/v1/runs/{run}/events") as response:
        end: dict[str, Any] = (await sse(response))[-1][2]
    return end


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    async with project(tmp_path) as made:
        made.__class__ = Till
        assert isinstance(made, Till)
        made.agent(
            "pays", "sim-pays", tools=PAYING.format(book=str(tmp_path / "book")),
            more='[tools.pay]\nundo = "_pay_back"\ntimeout_s = 70\n',
        )  # fmt: skip
        made.script("sim-pays", turns=(PAY, {"text": "Paid."}))
        await made.serve()
        yield made


async def test_what_a_kill_left_unknown_is_decided_over_http(till: Till) -> None:
    """The run waits, is listed, refuses what is no choice, takes one choice once, and pays no second time."""
    async with till.client() as http:
        run = await till.killed_in_a_payment(http)
    found = await till.waiting(run)
    (asked,) = found["decisions"]
    assert (asked["about"], asked["subject"], asked["key"]) == ("unknown_effect", "pay", f"{run}//1")
    assert (asked["choices"], asked["default"]) == (["done", "again", "skip"], "skip")
    async with till.client() as http:
        (row,) = (await told(http, "/v1/decisions?pending=true"))["data"]
        assert (row["id"], row["run"], row["agent"], row["choice"]) == (asked["id"], run, "pays", None)
        assert (await told(http, "/health"))["decisions_pending"] == 1
        assert "\ngolive_decisions_pending 1.0\n" in await (await http.get("/metrics")).text()
        path = f"/v1/runs/{run}/decisions/{asked['id']}"
        wrong = await told(http, path, {"choice": "maybe"}, 400)
        assert (wrong["field"], wrong["value"]) == ("choice", "maybe")
        assert wrong["remedy"] == "Choose one of done, again, skip."
        assert (await told(http, path, {"choice": "done", "content": "x" * 100_001}, 400))["field"] == "content"
        assert (await told(http, path, {"choice": "done", "note": "a\nb"}, 400))["field"] == "note"
        assert (await told(http, path, {"choose": "done"}, 400))["code"] == "request.invalid"
        nowhere = await told(http, f"/v1/runs/{run}/decisions/dec_0", {"choice": "done"}, 404)
        assert nowhere["remedy"] == (
            f"`golive decisions --run {run} --all` (GET /v1/decisions?run={run}) shows those it has."
        )
        assert (await told(http, "/v1/runs/run_0/decisions/dec_0", {"choice": "done"}, 404))["field"] == "run"
        await told(http, path, {"choice": "done", "content": "receipt 9", "note": "seen in the bank's list"})
        assert (await told(http, path, {"choice": "done"}, 409))["code"] == "store.conflict"
        end = await finished(http, run)
        assert (end["outcome"], end["text"], end["decisions"]) == ("completed", "Paid.", [])
        (row,) = (await told(http, f"/v1/decisions?run={run}"))["data"]
        assert (row["choice"], row["decided_by"]) == ("done", f"key:{till.key[3:11]}")
        metrics = await (await http.get("/metrics")).text()
    assert "\ngolive_decisions_pending 0.0\n" in metrics
    assert till.book == [f"paid {run}//1"]
    assert till.sent()[-1]["messages"][-1]["content"] == "receipt 9"
    assert 'golive_decisions_asked_total{about="unknown_effect",agent="pays",tenant="default"} 1.0' in metrics
    assert 'golive_decisions_made_total{agent="pays",by="person",choice="done",tenant="default"} 1.0' in metrics
    assert "golive_runs_taken_over_total 1.0" in metrics
    (line,) = [line for line in till.log() if line["event"] == "decision.requested"]
    assert line["remedy"] == f"golive runs decide {run} {asked['id']} done|again|skip"
    assert "receipt 9" not in till.log_path.read_text()


async def test_the_same_from_the_command_line(till: Till) -> None:
    """Listed, refused with the choices, decided; `again` calls under the same key."""
    async with till.client() as http:
        run = await till.killed_in_a_payment(http)
    (asked,) = (await till.waiting(run))["decisions"]
    out, _ = await till.cli("decisions")
    assert out.split("\t")[:6] == [asked["id"], run, "pays", "unknown_effect", "pay", "- (else skip)"]
    _, said = await till.cli("health")
    assert "1 decision to be made: golive decisions" in said
    _, err = await till.cli("runs", "decide", run, asked["id"], "perhaps", code=1)
    assert err == "error: 'perhaps' is no choice here.\n  Choose one of done, again, skip.\n"
    _, err = await till.cli("runs", "decide", run, "dec_0", "done", code=1)
    assert err.startswith(f"error: Run {run} has no decision 'dec_0'.\n")
    out, _ = await till.cli("runs", "decide", run, asked["id"], "again", "--note", "not in the list")
    assert out.startswith(f"{run} ")
    out, err = await till.cli("runs", "tail", run)
    assert out == "Paid.\n"
    assert f"golive runs decide {run} {asked['id']} done|again|skip" in err
    assert "✓ decided: again" in err
    assert till.book == [f"paid {run}//1"] * 2
    _, err = await till.cli("runs", "decide", run, asked["id"], "again", code=1)
    assert "is decided already" in err
    out, err = await till.cli("decisions")
    assert (out, err.strip()) in (("", "No run waits for a decision."), ("No run waits for a decision.\n", ""))
    rows = json.loads((await till.cli("decisions", "--all", "--json"))[0])["data"]
    assert [(row["id"], row["choice"]) for row in rows] == [(asked["id"], "again")]


async def test_a_user_may_neither_decide_nor_resume(till: Till) -> None:
    """It names the verb and who may; what a user may do to runs of its own, it may: see them, cancel, retry, fork."""
    async with till.client() as http:
        run = await till.killed_in_a_payment(http)
    (asked,) = (await till.waiting(run))["decisions"]
    loaded = load(till.root, till.environ)
    user = (await create_key(loaded, "a user", "user", till.environ)).secret
    async with asyncio.timeout(30), till.client(user) as http:
        while (await http.get(f"/v1/runs/{run}")).status == 401:  # a running server learns of keys within a second
            await asyncio.sleep(0.05)
    async with till.client(user) as http:
        refused = await told(http, f"/v1/runs/{run}/decisions/{asked['id']}", {"choice": "done"}, 403)
        assert (refused["verb"], refused["role"], refused["roles"]) == ("runs.decide", "user", ["operator", "admin"])
        assert (await told(http, f"/v1/runs/{run}/resume", {}, 403))["verb"] == "runs.resume"
        assert (await told(http, f"/v1/runs/{run}"))["state"] == "waiting"
        assert (await told(http, f"/v1/runs/{run}/cancel", {}))["outcome"] == "cancelled"
        assert (await told(http, f"/v1/runs/{run}/retry", {}, 202))["retry_of"] == run


async def test_a_run_that_waits_can_be_cancelled(till: Till) -> None:
    """Its question is closed, and nobody can answer it any more."""
    async with till.client() as http:
        run = await till.killed_in_a_payment(http)
    (asked,) = (await till.waiting(run))["decisions"]
    async with till.client() as http:
        refused = await told(http, f"/v1/runs/{run}/retry", {}, 409)
        assert (refused["code"], refused["state"]) == ("run.open", "waiting")
        assert (await told(http, f"/v1/runs/{run}/resume", {"force": True}))["state"] == "waiting"
        assert (await told(http, f"/v1/runs/{run}/resume", {"forse": True}, 400))["code"] == "request.invalid"
    _, err = await till.cli("runs", "retry", run, code=1)
    assert f"Cancel it first: `golive runs cancel {run}`" in err
    assert (await till.cli("runs", "resume", run, "--force"))[0] == f"{run} waiting\n"
    out, _ = await till.cli("runs", "cancel", run, "--reason", "enough", "--undo")
    assert out == f"{run} cancelled\n"
    async with till.client() as http:
        end = await told(http, f"/v1/runs/{run}")
        assert (end["state"], end["message"], end["decisions"]) == ("finished", "enough", [])
        (row,) = (await told(http, "/v1/decisions"))["data"]
        assert (row["choice"], (await told(http, "/v1/decisions?pending=true"))["data"]) == ("void", [])
        await told(http, f"/v1/runs/{run}/decisions/{asked['id']}", {"choice": "done"}, 409)
    assert till.book == [f"paid {run}//1"], "what is not known to be done is not taken back"


async def test_cancel_with_undo_takes_back_once(till: Till) -> None:
    """What was paid is paid back under a key of its own, once, however often it is cancelled, also over a kill."""
    till.quick()
    till.script("sim-pays", turns=(PAY, {"text": "slowly " * 400, "tokens": 400, "pace_ms": 50}))
    async with till.client() as http:
        stream = await http.post(PAYS, json={"input": "Pay.", "stream": True})
        run = stream.headers["x-request-id"]
        await sse(stream, "text.delta")
        await till.kill()
    await till.serve()
    async with till.client() as http:
        end = await told(http, f"/v1/runs/{run}/cancel", {"undo": True})
        again = await told(http, f"/v1/runs/{run}/cancel", {"undo": True})
    assert (end["outcome"], again["finished_at"]) == ("cancelled", end["finished_at"])
    assert till.book == [f"paid {run}//1", f"back {run}//1/undo {run}//1 receipt {run}//1"]


async def test_retry_fork_and_resume(till: Till) -> None:
    """A retry pays anew, a fork behind the payment does not; a step that there is not is named; a resume of what
    rests changes nothing."""
    till.quick()
    async with till.client() as http:
        begun = await told(http, PAYS, {"input": "Pay.", "metadata": {"ticket": "1"}})
        run = begun["run"]
        assert (await told(http, f"/v1/runs/{run}/resume", {})) == begun
        retried = await told(http, f"/v1/runs/{run}/retry", {"metadata": {"why": "again"}}, 202)
        assert (retried["retry_of"], retried["metadata"]) == (run, {"ticket": "1", "why": "again"})
        assert (await finished(http, retried["run"]))["text"] == "Paid."
        assert till.book == [f"paid {run}//1", f"paid {retried['run']}//1"]
        forked = await told(http, f"/v1/runs/{run}/fork", {"step": 2}, 202)
        assert forked["forked_from"] == run
        end = await finished(http, forked["run"])
        assert (end["text"], end["tool_calls"], len(till.book)) == ("Paid.", 0, 2)
        assert [message["role"] for message in till.sent()[-1]["messages"]] == ["system", "user", "assistant", "tool"]
        nowhere = await told(http, f"/v1/runs/{run}/fork", {"step": 3}, 400)
        assert (nowhere["field"], nowhere["remedy"]) == ("step", "Its steps are 1 to 2.")
        assert (await told(http, f"/v1/runs/{run}/fork", {}, 400))["field"] == "step"
        for verb in ("resume", "retry", "cancel"):
            assert (await told(http, f"/v1/runs/run_0/{verb}", {}, 404))["field"] == "run"
    out, _ = await till.cli("runs", "retry", run)
    again = out.split()[0]
    out, _ = await till.cli("runs", "fork", run, "--step", "1", "--json")
    assert json.loads(out)["forked_from"] == run
    assert (await till.cli("runs", "resume", run))[0] == f"{run} completed\n"
    out, err = await till.cli("runs", "cancel", run, "--undo")
    assert (out, err) == (f"{run} completed\n", "It had ended already: nothing was cancelled or taken back.\n")
    _, err = await till.cli("runs", "fork", again, "--step", "9", code=1)
    assert err.startswith("error: the run has no step 9.\n")


async def test_a_relayed_call_is_neither_retried_nor_forked(till: Till) -> None:
    """It keeps no content; the answer says what to do instead."""
    async with till.client() as http:
        chat = {"model": "sim/sim-talk", "messages": [{"role": "user", "content": "Hi"}]}
        async with http.post("/v1/chat/completions", json=chat) as response:
            run = response.headers["x-request-id"]
            assert response.status == 200
        async with asyncio.timeout(30):
            while (await http.get(f"/v1/runs/{run}")).status == 404:  # short calls are listed a moment later
                await asyncio.sleep(0.02)
        for path, body in ((f"/v1/runs/{run}/retry", {}), (f"/v1/runs/{run}/fork", {"step": 1})):
            assert (await told(http, path, body, 400))["remedy"] == "Send the call again."


async def test_who_waits_for_a_run_that_comes_to_wait_is_answered(till: Till) -> None:
    """Without streaming: by the run as it stands, which is no end; and whoever reads along sees the question."""
    async with till.client() as http:
        run = await till.killed_in_a_payment(http)
        await till.waiting(run)
    async with till.client() as http, http.get(f"/v1/runs/{run}/events") as response:
        events = await sse(response, "decision.requested")
    assert [name for _, name, _ in events][-2:] == ["run.started", "decision.requested"]
    assert events[-1][2]["question"].startswith("The server ended while pay was called")
    async with till.client() as http:
        assert (await told(http, RUNS, {"input": "Hi"}))["state"] == "finished", "others go on meanwhile"
