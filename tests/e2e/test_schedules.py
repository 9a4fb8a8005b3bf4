"""Runs by the clock in a real server: begun, made up for, and never twice, whenever it is killed."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from golive.core.clock import SystemClock
from golive.core.ids import derived
from tests.e2e.process_kit import Project, golive, project
from tests.e2e.receiver_kit import SECRET, receiving

YEARLY = """
[schedules.yearly]
agent = "talk"
cron = "0 0 1 1 *"
timezone = "Europe/Berlin"
input = "Sum up the year."
"""


def make_due(served: Project, at: float) -> None:
    """As if the time had been put there and nobody had run since: the server is down meanwhile."""
    with sqlite3.connect(served.root / ".golive/golive.db") as database:
        (changed,) = (database.execute("UPDATE schedules SET next_at = ?", (at,)).rowcount,)
    database.close()
    assert changed == 1


async def asked(served: Project, path: str) -> list[dict[str, Any]]:
    async with served.client() as http, http.get(path) as answer:
        found: list[dict[str, Any]] = (await answer.json())["data"]
        return found


async def until_runs(served: Project, number: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(15):
        while len(found := await asked(served, "/v1/runs?state=finished")) < number:
            await asyncio.sleep(0.05)
    return found


async def test_a_time_that_was_missed_is_made_up_for_once(tmp_path: Path) -> None:
    """Also where the server is killed after the run began and before the row moved on; a webhook tells of the run."""
    async with receiving() as receiver, project(tmp_path, YEARLY + receiver.hook("crm")) as served:
        served.environ["HOOK_SECRET"] = SECRET
        served.script("sim-talk", turns=({"text": "A good year."},))
        await served.serve()
        (card,) = await asked(served, "/v1/schedules")
        assert (card["last_run"], card["next_at"] > SystemClock().now()) == (None, True)
        assert await served.stop() == 0
        new_year = card["next_at"] - 365 * 86_400
        make_due(served, new_year)
        await served.serve()
        ((_, body),) = await receiver.until("crm", 1)
        run = derived("run", new_year, "default", "yearly")
        assert (body["data"]["run"], body["data"]["schedule"]) == (run, "yearly")
        (begun,) = [line for line in served.log() if line["event"] == "schedule.run_begun"]
        assert (begun["run"], begun["due_at"]) == (run, new_year)
        (card,) = await asked(served, "/v1/schedules")
        assert (card["last_run"], card["last_at"]) == (run, new_year)
        await served.kill()
        make_due(served, new_year)  # the row as it was before the run began
        await served.serve()
        async with asyncio.timeout(15):
            while (card := (await asked(served, "/v1/schedules"))[0])["next_at"] < SystemClock().now():
                await asyncio.sleep(0.05)
        (row,) = await until_runs(served, 1)
        assert (row["run"], row["principal"], row["outcome"]) == (run, "schedule:yearly", "completed")
        assert len(served.sent()) == 1, "the model was asked once"


async def test_a_schedule_by_hand_and_on_the_command_line(tmp_path: Path) -> None:
    """Listed with its next time; a run at once, as the caller; a name that there is not is told with the nearest."""
    async with project(tmp_path, YEARLY) as served:
        served.script("sim-talk", turns=({"text": "A good year."},))
        await served.serve()
        environ = served.environ | {"GOLIVE_URL": served.url, "GOLIVE_KEY": served.key}
        code, out, err = await golive(tmp_path, "schedules", "list", environ=environ)
        assert code == 0, err
        name, agent, cron, zone, following, last, run = out.rstrip("\n").split("\t")
        assert (name, agent, cron, zone, last, run) == ("yearly", "talk", "0 0 1 1 *", "Europe/Berlin", "-", "-")
        assert following.endswith("-12-31 23:00:00"), "midnight in Berlin"
        code, out, err = await golive(tmp_path, "schedules", "run", "yearly", environ=environ)
        assert code == 0, err
        (row,) = await until_runs(served, 1)
        assert (row["run"], row["principal"]) == (out.split()[0], f"key:{served.key[3:11]}")
        async with served.client() as http, http.get(f"/v1/runs/{row['run']}") as answer:
            result = await answer.json()
        assert (result["schedule"], result["text"]) == ("yearly", "A good year.")
        code, out, err = await golive(tmp_path, "schedules", "run", "yearley", environ=environ)
        assert (code, "Did you mean `yearly`?" in err) == (1, True)
        assert (await asked(served, "/v1/schedules"))[0]["last_run"] is None, "its times stay as they are"


async def test_a_command_of_its_own_server_begins_only_what_it_is_told_to(tmp_path: Path) -> None:
    """A time that was missed waits for the next real server; a run by hand is waited for to its end."""
    async with project(tmp_path, YEARLY) as served:
        served.script("sim-talk", turns=({"text": "A good year."},))
        await served.serve()
        (card,) = await asked(served, "/v1/schedules")
        assert await served.stop() == 0
        make_due(served, card["next_at"] - 365 * 86_400)
        code, out, err = await golive(tmp_path, "schedules", "run", "yearly", environ=served.environ)
        assert (code, out.split()[1:]) == (0, ["completed"]), err
        assert len(served.sent()) == 1
        await served.serve()
        assert len(await until_runs(served, 2)) == 2


async def test_what_is_no_time_ends_the_start(tmp_path: Path) -> None:
    """File, line, setting, value, and what to do."""
    async with project(tmp_path, YEARLY.replace("0 0 1 1 *", "0 0 31 2 *")) as served:
        process = await served.spawn()
        async with asyncio.timeout(20):
            assert await process.wait() == 1
        said = served.log_path.read_text()
        assert '`schedules.yearly.cron` is the text "0 0 31 2 *", which is no time that comes' in said
        assert "0 7 * * MON-FRI" in said
