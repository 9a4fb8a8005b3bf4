"""What is left after a round, read through the API and from the outside world: what the checkers judge, and no more."""

import asyncio
import json
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.clients import BROKEN, Record
from tests.chaos.ledger import Line
from tests.chaos.replica import Down, Frozen, Start
from tests.chaos.stage import Stage

AT_ONCE = 16
ENDS_S = 90.0
"""After the last fault, every run has ended within so long."""
SLOW = aiohttp.ClientTimeout(total=30)


@dataclass
class Evidence:
    """`runs`: the API's list; `results`, `journals`: of each run."""

    store: str
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    journals: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    effects: list[Line] = field(default_factory=list)
    bill: list[dict[str, Any]] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    downs: list[Down] = field(default_factory=list)
    frozen: list[Frozen] = field(default_factory=list)
    failed_starts: list[str] = field(default_factory=list)
    decided: dict[str, str] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    """Decisions that the API did not take."""
    ended_after_s: float = 0.0
    """From the last fault until the last run had ended."""
    pages_torn: list[str] = field(default_factory=list)


class Reader:
    """Asks the servers; any replica that answers will do."""

    def __init__(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        self._stage = stage
        self._http = http
        self._headers = {"Authorization": f"Bearer {stage.key}"}
        self._asked = 0

    async def get(self, path: str) -> Any:
        """The JSON of one answer, asked for again until there is one."""
        for attempt in range(40):
            up = self._stage.up
            if up:
                self._asked += 1
                url = up[self._asked % len(up)].url
                try:
                    async with self._http.get(url + path, headers=self._headers, timeout=SLOW) as response:
                        response.raise_for_status()
                        return await response.json()
                except BROKEN:
                    if attempt == 39:
                        raise
            await asyncio.sleep(0.25)
        raise RuntimeError(f"nobody answers {path}")

    async def runs(self) -> dict[str, dict[str, Any]]:
        """Every run, page by page."""
        found: dict[str, dict[str, Any]] = {}
        before = ""
        while True:
            page = await self.get(f"/v1/runs?limit=200{before}")
            found |= {row["run"]: row for row in page["data"]}
            if page["next"] is None:
                return found
            before = f"&before={page['next']}"

    async def journal(self, run: str) -> list[dict[str, Any]]:
        """All events of a run."""
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["seq"] if found else 0
            page = await self.get(f"/v1/runs/{run}/events?format=json&limit=10000&after={after}")
            found += page["data"]
            if page["next"] is None:
                return found

    async def until_ended(self, timeout_s: float = ENDS_S) -> float:
        """Waits until no run is open; returns the seconds, or the whole time when some are left."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < timeout_s:
            states = [await self.get(f"/v1/runs?limit=1&state={state}") for state in ("queued", "running", "waiting")]
            if not any(page["data"] for page in states):
                break
            await asyncio.sleep(0.3)
        return loop.time() - began


async def gather(stage: Stage, http: aiohttp.ClientSession, records: list[Record]) -> Evidence:
    """Everything there is to know; the servers are well by now."""
    reader = Reader(stage, http)
    found = Evidence(stage.store, records=records)
    found.ended_after_s = await reader.until_ended()
    found.runs = await reader.runs()
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(run: str) -> None:
        async with slots:
            found.results[run] = await reader.get(f"/v1/runs/{run}")
            found.journals[run] = await reader.journal(run)

    await asyncio.gather(*(one(run) for run in found.runs))
    found.effects = stage.effects()
    found.bill = await asyncio.to_thread(_bill, stage.provider_url)
    for replica in stage.replicas:
        found.starts += replica.starts
        found.downs += replica.downs
        found.frozen += replica.frozen
        found.failed_starts += replica.failed_starts
    return found


def _bill(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/sim/bill", timeout=30) as answer:
        return list(json.load(answer)["lines"])
