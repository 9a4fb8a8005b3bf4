"""`golive health`: is it well, and what does it depend on?"""

import asyncio
from typing import Any

import typer

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.show import json_text, table


def health(
    config: ConfigOption = None, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """Show the state of a server and of each dependency. Exit code 1 when one is down."""

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            answer: dict[str, Any] = await client.call("GET", "/health", accept=(503,))
            return answer

    answer = asyncio.run(ask())
    if as_json:
        json_text(answer)
    else:
        rows = [
            (entry["name"], entry["kind"], entry["state"], entry.get("latency_ms", "-"), entry.get("detail", ""))
            for entry in answer["dependencies"]
        ]
        table(("DEPENDENCY", "KIND", "STATE", "LATENCY MS", "DETAIL"), rows)
    if answer["status"] != "up":
        raise typer.Exit(1)
