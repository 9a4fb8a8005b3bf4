"""`golive models`: what can be asked as `model`."""

from typing import Any

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run
from golive.cli.show import Column, json_text, table


def models(
    config: ConfigOption = None, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List agents and provider models: everything the OpenAI face takes as `model`."""

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            answer: dict[str, Any] = await client.call("GET", "/v1/models")
            return answer

    answer = run(ask())
    if as_json:
        json_text(answer)
        return
    table(
        (Column("MODEL"), Column("OWNED BY", drop=1)),
        [(entry["id"], entry["owned_by"]) for entry in answer["data"]],
        empty="No agents, and no provider lists `models`; others still work as provider/model.",
    )
