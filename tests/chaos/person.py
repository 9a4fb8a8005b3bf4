"""The person who decides: looks up what really happened, and says so through the API."""

import asyncio
import random
from contextlib import suppress
from typing import Any

import aiohttp

from tests.chaos.clients import BROKEN, SILENT
from tests.chaos.ledger import TOOLS
from tests.chaos.stage import Stage

EVERY_S = 0.5
SETTLES_S = 1.0
"""What was asked for right before a crash may still be carried out: a person looks after that."""


class Person:
    """Decides whatever is pending, until cancelled. `made`: choice by decision; `refused`: what the API said no to."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.made: dict[str, str] = {}
        self.refused: list[str] = []
        self._stage = stage
        self._chance = random.Random(f"{seed}/person")
        self._headers = {"Authorization": f"Bearer {stage.key}"}

    async def decide(self, http: aiohttp.ClientSession) -> None:
        """Looks again and again."""
        while True:
            await asyncio.sleep(EVERY_S)
            if not self._stage.up:
                continue
            url = self._chance.choice(self._stage.up).url
            with suppress(*BROKEN):
                pending = await self._pending(http, url)
                if pending:
                    await asyncio.sleep(SETTLES_S)
                for row in pending:
                    await self._one(http, url, row)

    async def _pending(self, http: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
        async with http.get(
            f"{url}/v1/decisions?pending=true&limit=200", headers=self._headers, timeout=SILENT
        ) as response:
            if response.status == 404:  # a golive that asks nobody
                return []
            response.raise_for_status()
            return list((await response.json())["data"])

    async def _one(self, http: aiohttp.ClientSession, url: str, row: dict[str, Any]) -> None:
        tool = row.get("subject", "")
        if tool in TOOLS:
            seen = any(line.run == row["run"] and line.tool == tool for line in self._stage.effects())
            choice = "done" if seen else "again"
        else:
            choice = "continue"
        async with http.post(f"{url}/v1/runs/{row['run']}/decisions/{row['id']}", headers=self._headers,
                             json={"choice": choice}, timeout=SILENT) as response:  # fmt: skip
            if response.status < 300:
                self.made[row["id"]] = choice
            elif response.status < 500:
                self.refused.append(f"{row['id']} {choice}: {response.status} {(await response.text())[:200]}")
