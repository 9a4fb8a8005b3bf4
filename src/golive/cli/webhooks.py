"""`golive webhooks`: list, show, send-again, test."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import typer

from golive.cli.client import Client, connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run as run_to_end
from golive.cli.show import Column, count, json_text, moment, note, table
from golive.config.suggest import did_you_mean
from golive.core.errors import InvalidRequest, NotFound

app = typer.Typer(no_args_is_help=True, help="Show whom golive tells when runs end, and send messages again.")
NameArgument = Annotated[str, typer.Argument(help="The webhook's name.")]

PAGE = 200
"""Messages asked for at once; the server gives no more."""

_LIST = (
    Column("WEBHOOK"), Column("URL", drop=2), Column("TOPICS", drop=1), Column("DUE", right=True),
    Column("SENT", right=True), Column("DEAD", right=True), Column("OLDEST DUE (UTC)", drop=3),
)  # fmt: skip
_SHOW = (
    Column("MESSAGE"), Column("RUN", drop=1), Column("TOPIC", drop=4), Column("STATE"), Column("ATTEMPTS", right=True),
    Column("MADE (UTC)", drop=3), Column("DUE (UTC)", drop=2), Column("LAST ERROR", prose=True),
)  # fmt: skip


@app.command("list")
def list_webhooks(
    config: ConfigOption = None, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the webhooks of golive.toml, and how many messages to each are due, sent and dead."""

    async def ask() -> list[dict[str, Any]]:
        async with connected(config, url, key) as client:
            return await _webhooks(client)

    found = run_to_end(ask())
    if as_json:
        json_text({"data": found})
        return
    table(_LIST, [_row(row) for row in found], empty="No webhooks: add [webhooks.NAME] to golive.toml.")


async def _webhooks(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.call("GET", "/v1/webhooks"))["data"]
    return found


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    oldest = moment(row["oldest_due_at"])
    return row["name"], row["url"], ", ".join(row["topics"]), row["due"], row["sent"], row["dead"], oldest


@app.command()
def show(
    name: NameArgument,
    state: Annotated[Literal["due", "sent", "dead"] | None, typer.Option(help="Only messages in this state.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a webhook's messages, newest first, and why those failed that did."""

    async def ask() -> list[dict[str, Any]]:
        async with connected(config, url, key) as client:
            await _demand(client, name)
            return [row async for row in _deliveries(client, name, state, limit)]

    found = run_to_end(ask())
    if as_json:
        json_text({"data": found})
        return
    table(_SHOW, [_delivery(row) for row in found], empty=f"No messages to {name}.")


async def _demand(client: Client, name: str) -> None:
    names = [row["name"] for row in await _webhooks(client)]
    if name not in names:
        remedy = did_you_mean(name, names) or "Add [webhooks.NAME] to golive.toml."
        raise NotFound(f"there is no webhook {name!r}.", remedy=remedy)


async def _deliveries(client: Client, name: str, state: str | None, limit: int) -> AsyncIterator[dict[str, Any]]:
    wanted = {"webhook": name} | ({"state": state} if state else {})
    before: dict[str, str] = {}
    while limit > 0:
        query = urlencode(wanted | before | {"limit": str(min(PAGE, limit))})
        page = await client.call("GET", f"/v1/deliveries?{query}")
        for row in page["data"]:
            yield row
        limit -= len(page["data"])
        if page["next"] is None:
            return
        before = {"before": page["next"]}


def _delivery(row: dict[str, Any]) -> tuple[object, ...]:
    due = moment(row["due_at"]) if row["state"] == "due" else "-"
    return (
        row["id"], row["run"], row["topic"], row["state"], row["attempts"], moment(row["at"]), due,
        row["last_error"] or "-",
    )  # fmt: skip


@app.command("send-again")
def send_again(
    message: Annotated[list[str] | None, typer.Argument(help="Ids of messages.")] = None,
    dead: Annotated[str | None, typer.Option(help="All dead messages of this webhook.")] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Send messages again, under their ids, whatever became of them."""
    if bool(message) == (dead is not None):
        raise InvalidRequest("which messages?", remedy="Name their ids, or a webhook with --dead.")

    async def ask() -> int:
        async with connected(config, url, key) as client:
            ids = list(message or ())
            if dead is not None:
                await _demand(client, dead)
                ids = [row["id"] async for row in _deliveries(client, dead, "dead", 1_000_000)]
            for id_ in ids:
                await client.call("POST", f"/v1/deliveries/{quote(id_, safe='')}/send")
            return len(ids)

    note(f"{count(run_to_end(ask()), 'message')} due now")


@app.command("test")
def try_out(
    name: NameArgument,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send one signed message of the type `golive.test`; exits with 1 where it does not arrive."""

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            answer: dict[str, Any] = await client.call("POST", f"/v1/webhooks/{quote(name, safe='')}/test")
            return answer

    answer = run_to_end(ask())
    if as_json:
        json_text(answer)
    elif answer["delivered"]:
        typer.echo(f"{name} answered {answer['status']} in {answer['seconds']:g} s")
    else:
        typer.echo(f"{name}: {answer['error']}", err=True)
    if not answer["delivered"]:
        raise typer.Exit(1)
