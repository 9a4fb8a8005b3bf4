"""`golive breakers`: how the circuit breakers of models stand, and closing them by hand."""

from typing import Annotated, Any

import typer

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run
from golive.cli.show import Column, json_text, note, table

_COLUMNS = (
    Column("MODEL"), Column("CREDENTIAL", drop=2), Column("STATE"), Column("OPENED", right=True, drop=1),
    Column("NEXT ATTEMPT", right=True),
)  # fmt: skip


def breakers(
    reset: Annotated[bool, typer.Option("--reset", help="Close them: the providers are asked again at once.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="Only this `provider/model`.")] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the circuit breakers of the models in use, or close them with --reset."""

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            if reset:
                done = await client.call("POST", "/v1/breakers/reset", {"target": model})
                note(f"{done['closed']} closed")
            answer: dict[str, Any] = await client.call("GET", "/v1/breakers")
            return answer

    found = [row for row in run(ask())["data"] if model in (None, row["target"])]
    if as_json:
        json_text({"data": found})
        return
    table(_COLUMNS, [_row(row) for row in found], empty="No model has been asked yet.")


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    wait = f"in {row['wait_s']:.0f} s" if row["wait_s"] else "now"
    return row["target"], row["credential"] or "-", row["state"].replace("_", "-"), row["opened"], wait
