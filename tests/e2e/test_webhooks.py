"""Webhooks of a real server, told over real sockets: at least once, under one id, whatever dies or hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.process_kit import Project, golive, project
from tests.e2e.receiver_kit import SECRET, Receiver, receiving


@asynccontextmanager
async def told(
    root: Path, *hooks: tuple[str, dict[str, Any]], more: str = ""
) -> AsyncIterator[tuple[Project, Receiver]]:
    """A project whose golive.toml names these webhooks, and their receiver; not served yet."""
    async with receiving() as receiver:
        sections = "".join(receiver.hook(name, **settings) for name, settings in hooks)
        async with project(root, sections + more) as served:
            served.environ["HOOK_SECRET"] = SECRET
            yield served, receiver


async def begin(served: Project, agent: str = "talk", **fields: Any) -> dict[str, Any]:
    async with served.client() as http, http.post(f"/v1/agents/{agent}/runs", json={"input": "Hi"} | fields) as answer:
        assert answer.status in (200, 202), await answer.text()
        result: dict[str, Any] = await answer.json()
        return result


async def asked(served: Project, path: str, *, key: str | None = None, method: str = "GET") -> Any:
    async with served.client(key) as http, http.request(method, path) as answer:
        return await answer.json()


async def deliveries(served: Project, **query: str) -> list[dict[str, Any]]:
    path = "/v1/deliveries?limit=200&" + "&".join(f"{name}={value}" for name, value in query.items())
    found: list[dict[str, Any]] = (await asked(served, path.rstrip("&")))["data"]
    return found


async def until_state(served: Project, state: str, number: int = 1, **query: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(15):
        while len(found := await deliveries(served, state=state, **query)) < number:
            await asyncio.sleep(0.02)
    return found


async def test_a_finished_run_is_told_signed_and_whole(tmp_path: Path) -> None:
    """The receiver is given the run as GET shows it; a background run needs nobody to ask."""
    async with told(tmp_path, ("crm", {})) as (served, receiver):
        served.script("sim-talk", turns=({"text": "Good day."},))
        await served.serve()
        begun = await begin(served, background=True, metadata={"order": "7"}, conversation_id="c")
        ((id_, body),) = await receiver.until("crm", 1)
        assert (body["type"], id_[:4]) == ("run.finished", "msg_")
        data = body["data"]
        assert (data["run"], data["outcome"], data["text"]) == (begun["run"], "completed", "Good day.")
        assert (data["metadata"], data["conversation"], data["agent"]) == ({"order": "7"}, "c", "talk")
        assert data == await asked(served, f"/v1/runs/{begun['run']}") | {"tenant": "default"}
        (row,) = await until_state(served, "sent", run=begun["run"])
        assert (row["id"], row["attempts"], row["last_error"]) == (id_, 1, None)


async def test_each_webhook_is_told_what_it_asks_for(tmp_path: Path) -> None:
    """By agent, by outcome, with content or without it; plain calls only where that is asked for."""
    async with told(
        tmp_path, ("all", {}), ("fails", {"outcomes": ["failed"]}),
        ("other", {"agents": ["other"], "content": False}), ("plain", {"relayed": True, "agents": ["other"]}),
    ) as (served, receiver):  # fmt: skip
        served.agent("other", "sim-other")
        served.script("sim-talk", turns=({"text": "Good day."},))
        served.script("sim-other", status=401)
        await served.serve()
        well = await begin(served)
        failed = await begin(served, "other")
        assert failed["outcome"] == "failed"
        async with served.client() as http:
            chat = {"model": "sim/sim-talk", "messages": [{"role": "user", "content": "Hi"}]}
            async with http.post("/v1/chat/completions", json=chat) as answer:
                relayed = answer.headers["x-request-id"]
        assert [body["data"]["run"] for _, body in await receiver.until("all", 2)] == [well["run"], failed["run"]]
        assert [body["data"]["run"] for _, body in await receiver.until("fails", 1)] == [failed["run"]]
        ((_, bare),) = await receiver.until("other", 1)
        assert (bare["data"]["run"], bare["data"]["reason"]) == (failed["run"], "model.auth")
        assert not {"text", "output", "message", "decisions"} & bare["data"].keys()
        assert {body["data"]["run"] for _, body in await receiver.until("plain", 2)} == {failed["run"], relayed}
        await until_state(served, "sent", 6)
        assert len(receiver.to("all")) == 2, "plain calls are not told of"


async def test_kill_9_between_sending_and_saying_so(tmp_path: Path) -> None:
    """The receiver has it and the server died before it knew: it comes again, under the same id."""
    async with told(tmp_path, ("crm", {})) as (served, receiver):
        served.script("sim-talk", turns=({"text": "Good day."},))
        await served.serve()
        came, hang = asyncio.Event(), True

        async def behave(id_: str) -> int:
            came.set()
            if hang:
                await asyncio.sleep(60)
            return 200

        receiver.behaviour["crm"] = behave
        begun = await begin(served)
        async with asyncio.timeout(30):
            await came.wait()
        await served.kill()
        hang = False
        await served.serve()
        (first, _), (second, body) = await receiver.until("crm", 2)
        assert first == second
        assert body["data"]["run"] == begun["run"]
        (row,) = await until_state(served, "sent")
        assert (row["id"], row["attempts"]) == (first, 2)


async def test_kill_9_in_the_middle_of_the_run(tmp_path: Path) -> None:
    """Whoever goes on with the run tells of its end; one end, one message."""
    async with told(tmp_path, ("crm", {})) as (served, receiver):
        served.script("sim-talk", tokens=60, pace_ms=20)
        await served.serve()
        begun = await begin(served, background=True)
        await asyncio.sleep(0.5)
        await served.kill()
        assert receiver.got == []
        await served.serve()
        await receiver.until("crm", 1)
        (row,) = await until_state(served, "sent")
        assert (row["run"], row["topic"]) == (begun["run"], "run.finished")
        assert len(receiver.got) == 1


PAY = """
import time


def pay(amount: int) -> str:
    \"\"\"Pay.\"\"\"
    time.sleep(60)
    return "paid"
"""


async def test_who_is_to_decide_is_told(tmp_path: Path) -> None:
    """A payment whose outcome was lost in a crash: the webhook for waiting runs is told, and after the decision the
    one for finished ones."""
    hooks: tuple[tuple[str, dict[str, Any]], ...] = (
        ("crm", {}),
        ("oncall", {"topics": ["run.waiting"], "content": False}),
    )
    async with told(tmp_path, *hooks) as (served, receiver):
        served.agent("pays", "sim-pays", tools=PAY)
        served.script(
            "sim-pays", turns=({"tool_calls": [{"name": "pay", "arguments": {"amount": 5}}]}, {"text": "It is paid."})
        )
        await served.serve()
        begun = await begin(served, "pays", background=True)
        path = f"/v1/runs/{begun['run']}/events?format=json"
        async with asyncio.timeout(15):
            while "tool.started" not in [event["kind"] for event in (await asked(served, path))["data"]]:
                await asyncio.sleep(0.05)
        await served.kill()
        await served.serve()
        ((_, body),) = await receiver.until("oncall", 1)
        assert (body["type"], body["data"]["run"], body["data"]["state"]) == ("run.waiting", begun["run"], "waiting")
        decision = body["data"]["decision"]
        assert (decision["about"], decision["subject"], "question" in decision) == ("unknown_effect", "pay", False)
        assert receiver.to("crm") == []
        async with served.client() as http:
            choice = {"choice": "done", "content": "paid"}
            async with http.post(f"/v1/runs/{begun['run']}/decisions/{decision['id']}", json=choice) as answer:
                assert answer.status == 200, await answer.text()
        ((_, body),) = await receiver.until("crm", 1)
        assert (body["data"]["outcome"], body["data"]["text"]) == ("completed", "It is paid.")
        await until_state(served, "sent", 2)
        assert len(receiver.got) == 2


async def test_a_receiver_that_hangs_delays_neither_runs_nor_other_webhooks(tmp_path: Path) -> None:
    """Thirty runs while one webhook never answers: the runs are quick, and the other webhook hears of each."""
    async with told(tmp_path, ("hangs", {"timeout_s": 30}), ("crm", {})) as (served, receiver):
        served.script("sim-talk", turns=({"text": "Good day."},))
        await served.serve()

        async def forever(id_: str) -> int:
            await asyncio.sleep(300)
            return 200

        receiver.behaviour["hangs"] = forever
        async with asyncio.timeout(20):
            runs = [(await begin(served))["run"] for _ in range(30)]
            await receiver.until("crm", 30)
        assert {body["data"]["run"] for _, body in receiver.to("crm")} == set(runs)
        assert len(receiver.to("hangs")) == 8, "no more at once"
        hooks = {hook["name"]: hook for hook in (await asked(served, "/v1/webhooks"))["data"]}
        await until_state(served, "sent", 30)
        assert hooks["hangs"]["due"] == 30
        assert hooks["hangs"]["oldest_due_at"] is not None
        began = asyncio.get_running_loop().time()
        assert await served.stop() == 0
        assert asyncio.get_running_loop().time() - began < 25, "it waited for an answer, up to 30 s"


async def test_a_receiver_that_comes_back_gets_everything(tmp_path: Path) -> None:
    """Nothing listens at first; what it missed comes in time, or by hand once it is dead."""
    async with told(tmp_path, ("crm", {"waits_s": [0.2, 0.2]})) as (served, receiver):
        served.script("sim-talk", turns=({"text": "Good day."},))
        await served.serve()

        async def down(id_: str) -> int:
            return 500

        receiver.behaviour["crm"] = down
        for _ in range(3):
            await begin(served)
        dead = await until_state(served, "dead", 3)
        assert {row["last_error"] for row in dead} == {"answered 500"}
        assert {row["attempts"] for row in dead} == {3}
        del receiver.behaviour["crm"]
        environ = served.environ | {"GOLIVE_URL": served.url, "GOLIVE_KEY": served.key}
        code, out, err = await golive(tmp_path, "webhooks", "show", "crm", "--state", "dead", environ=environ)
        assert (code, len(out.splitlines())) == (0, 3), err
        assert "answered 500" in out
        code, out, err = await golive(tmp_path, "webhooks", "send-again", dead[0]["id"], environ=environ)
        assert (code, err.strip()) == (0, "1 message due now")
        code, out, err = await golive(tmp_path, "webhooks", "send-again", "--dead", "crm", environ=environ)
        assert (code, err.strip()) == (0, "2 messages due now")
        assert {row["id"] for row in await until_state(served, "sent", 3)} == {row["id"] for row in dead}
        code, out, err = await golive(tmp_path, "webhooks", "list", environ=environ)
        page = await asked(served, "/v1/deliveries?webhook=crm&limit=2")
        rest = await asked(served, f"/v1/deliveries?webhook=crm&limit=2&before={page['next']}")
        assert [row["id"] for row in page["data"] + rest["data"]] == [row["id"] for row in dead]
        assert rest["next"] is None
        for wrong in ("/v1/deliveries?webhook=C%00M", "/v1/deliveries?run=x", "/v1/deliveries?before=m"):
            assert (await asked(served, wrong))["code"] == "request.invalid"
        assert (await asked(served, "/v1/deliveries/msg_%00~/send", method="POST"))["code"] == "not_found"
        assert out.split("\t") == ["crm", f"{receiver.url}/crm", "run.finished", "0", "3", "0", "-\n"]


async def _greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    await reader.read()
    writer.close()


async def test_a_webhook_is_tried_out(tmp_path: Path) -> None:
    """The command says what the receiver answered, or why not, and its exit code does."""
    mail = await asyncio.start_server(_greets, "127.0.0.1", 0)
    at = f"127.0.0.1:{mail.sockets[0].getsockname()[1]}"
    away, post = {"url": "http://127.0.0.1:9/hook?token=t"}, {"url": f"http://{at}/h"}
    async with mail, told(tmp_path, ("crm", {}), ("away", away), ("mail", post)) as (served, receiver):
        await served.serve()
        environ = served.environ | {"GOLIVE_URL": served.url, "GOLIVE_KEY": served.key}
        code, out, err = await golive(tmp_path, "webhooks", "test", "crm", environ=environ)
        assert code == 0, err
        assert out.startswith("crm answered 204 in ")
        ((_, body),) = receiver.to("crm")
        assert (body["type"], body["data"]) == ("golive.test", {"webhook": "crm"})
        code, out, err = await golive(tmp_path, "webhooks", "test", "away", environ=environ)
        assert (code, err) == (1, "away: connection refused\n")
        code, out, err = await golive(tmp_path, "webhooks", "test", "mail", environ=environ)
        assert (code, err.partition(" (")[0]) == (1, f"mail: what answers at {at} is not HTTP"), err
        code, out, err = await golive(tmp_path, "webhooks", "test", "crn", environ=environ)
        assert (code, "Did you mean `crm`?" in err) == (1, True)
        assert [hook["url"] for hook in (await asked(served, "/v1/webhooks"))["data"]][1] == "http://127.0.0.1:9/hook"
        assert await deliveries(served) == []


async def test_who_may_see_and_send(tmp_path: Path) -> None:
    """Operators and admins; messages that there are not are told so."""
    async with told(tmp_path, ("crm", {})) as (served, _):
        await served.serve()
        made = {}
        for role in ("viewer", "user", "operator"):
            async with served.client() as http, http.post("/v1/keys", json={"name": role, "role": role}) as answer:
                made[role] = (await answer.json())["key"]
        for role, status in (("viewer", 403), ("user", 403), ("operator", 200)):
            async with served.client(made[role]) as http:
                for method, path, found in (("GET", "/v1/webhooks", 200), ("GET", "/v1/deliveries", 200),
                                            ("POST", "/v1/deliveries/msg_1/send", 404)):  # fmt: skip
                    async with http.request(method, path) as answer:
                        assert answer.status == (403 if status == 403 else found), (role, path)


async def test_a_secret_that_is_no_key_ends_the_start(tmp_path: Path) -> None:
    """With the setting's name and what to do; one that is missing is told in the log, and the server serves."""
    async with told(tmp_path, ("crm", {})) as (served, _):
        served.environ["HOOK_SECRET"] = "hunter2-hunter2"
        process = await served.spawn()
        async with asyncio.timeout(20):
            assert await process.wait() == 1
        said = served.log_path.read_text()
        assert "webhooks.crm.secret" in said
        assert "openssl rand -base64 32" in said
        assert "hunter2" not in said
        del served.environ["HOOK_SECRET"]
        await served.serve()
        (missing,) = [line for line in served.log() if line["event"] == "secret.missing"]
        assert (missing["webhook"], missing["setting"]) == ("crm", "webhooks.crm.secret")


async def test_a_command_of_its_own_server_tells_nobody(tmp_path: Path) -> None:
    """`golive run` without a server: what its run has to tell is told by the next server."""
    async with told(tmp_path, ("crm", {})) as (served, receiver):
        served.script("sim-talk", turns=({"text": "Good day."},))
        code, out, err = await golive(tmp_path, "run", "talk", "Hi", environ=served.environ)
        assert (code, "Good day." in out) == (0, True), err
        assert receiver.got == []
        await served.serve()
        await receiver.until("crm", 1)
