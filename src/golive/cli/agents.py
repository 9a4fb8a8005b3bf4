"""`golive agents`: what is served here."""

import asyncio
from typing import Any

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.show import json_text, table


def agents(
    config: ConfigOption = None, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the agents, their versions, tools and chains of targets."""

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            answer: dict[str, Any] = await client.call("GET", "/v1/agents")
            return answer

    answer = asyncio.run(ask())
    if as_json:
        json_text(answer)
        return
    table(
        ("AGENT", "VERSION", "DIGEST", "TOOLS", "CHAINS", "DESCRIPTION"),
        [
            (
                card["name"],
                card["version_name"],
                card["version"][:19],
                ", ".join(tool["name"] for tool in card["tools"]) or "-",
                "; ".join(f"{tier}: {' → '.join(chain)}" for tier, chain in card["tiers"].items()),
                card["description"],
            )
            for card in answer["data"]
        ],
    )
