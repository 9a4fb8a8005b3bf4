"""`golive breakers`: how the circuit breakers of models stand, and closing them by hand."""

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from golive.cli.client import Client, connected
from golive.cli.nearest import doubt
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run
from golive.cli.show import Column, json_text, note, table

_COLUMNS = (
    Column("MODEL"), Column("CREDENTIAL", drop=2), Column("STATE"), Column("OPENED", right=True, drop=1),
    Column("NEXT ATTEMPT", right=True),
)  # fmt: skip


def breakers(
    reset: Annotated[bool, typer.Option("--reset", help="Close them: the providers are asked again at once.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="Only this `provider/model`, however it stands.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The closed ones, too.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the circuit breakers that are not closed, and the models that asked for a pause; or close them (--reset)."""

    async def ask() -> tuple[list[dict[str, Any]], str]:
        async with connected(config, url, key) as client:
            if reset:
                done = await client.call("POST", "/v1/breakers/reset", {"target": model})
                note(f"{done['closed']} closed")
            query = "" if model is None else f"?{urlencode({'target': model})}"
            found: list[dict[str, Any]] = (await client.call("GET", f"/v1/breakers{query}"))["data"]
            return found, "" if found else await _nothing(client, model)

    found, nothing = run(ask())
    shown = found if everything or model is not None else [row for row in found if _state(row) != "closed"]
    if as_json:
        json_text({"data": shown})
        return
    table(_COLUMNS, [_row(row) for row in shown], empty=nothing or _all_closed(len(found)))


async def _nothing(client: Client, model: str | None) -> str:
    """Why there is no circuit breaker at all: no model, or not this one, has been asked."""
    where = "the server started for this command" if client.own else "this server"
    if model is None:
        return f"No model has been asked yet by {where}."
    asked = (row["target"] for row in (await client.call("GET", "/v1/breakers"))["data"])
    return f"{model} has not been asked yet by {where}. {await doubt(client, model, asked)}".rstrip()


def _all_closed(number: int) -> str:
    return "The only one is closed." if number == 1 else f"All {number} are closed."


def _state(row: dict[str, Any]) -> str:
    """`paused`: closed, and yet not asked for a while, as the provider wished."""
    state: str = row["state"]
    return "paused" if state == "closed" and row["wait_s"] else state.replace("_", "-")


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    wait = f"in {row['wait_s']:.0f} s" if row["wait_s"] else "now"
    target = f"{row['target']} (supervisor of {row['supervises']})" if row["supervises"] else row["target"]
    return target, row["credential"] or "-", _state(row), row["opened"], wait
