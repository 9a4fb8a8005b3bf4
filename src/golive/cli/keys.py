"""`golive keys`: create, list, revoke.

Works on the store itself, also beside a running server, which learns of it; with --url, through a server's HTTP API.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import msgspec
import typer

from golive.app import DEFAULT_TENANT, open_key_admin
from golive.cli.client import Client, connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption
from golive.cli.running import run
from golive.cli.show import Column, json_text, moment, note, table
from golive.config.load import load
from golive.core.clock import SystemClock
from golive.core.errors import InvalidRequest
from golive.gateway.administration import KeyMade, card
from golive.tenants.keys import MAX_LIFE_S, KeyAdmin

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")
RemoteOption = Annotated[
    str | None, typer.Option("--url", help="A server elsewhere, through its API.", show_default="the store here")
]
T = TypeVar("T")

_DAY_S = 86_400
_COLUMNS = (
    Column("KEY"), Column("NAME"), Column("ROLE"), Column("CREATED (UTC)", drop=2), Column("EXPIRES", drop=3),
    Column("LAST USED", drop=1), Column("REVOKED", drop=4),
)  # fmt: skip


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What you call it.")],
    role: Annotated[str, typer.Option(help="viewer, user, operator or admin.")] = "user",
    expires_in_days: Annotated[float | None, typer.Option(help="Days until it stops working.")] = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key. It is shown this once; only its HMAC is stored."""
    seconds = None if expires_in_days is None else _seconds(expires_in_days)

    async def here(admin: KeyAdmin) -> Any:
        made = await admin.create(DEFAULT_TENANT, name, role, created_by="cli", expires_in_s=seconds)
        return KeyMade(**msgspec.structs.asdict(card(made.row)), key=made.secret)

    async def there(client: Client) -> Any:
        body = {"name": name, "role": role} | ({} if seconds is None else {"expires_in_s": seconds})
        return await client.call("POST", "/v1/keys", body)

    made = _carried_out(config, url, key, here, there)
    if as_json:
        json_text(made)
        return
    typer.echo(made["key"])
    note(f"Key {made['id']} ({made['role']}). It is not shown again: keep it now.")


@app.command("list")
def list_keys(
    every: Annotated[bool, typer.Option("--all", help="Revoked and expired ones too.")] = False,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys that work, never their secrets."""

    async def here(admin: KeyAdmin) -> Any:
        return {"data": [card(row) for row in await admin.list(DEFAULT_TENANT)]}

    async def there(client: Client) -> Any:
        return await client.call("GET", "/v1/keys")

    rows = _carried_out(config, url, key, here, there)["data"]
    if not every:
        now = SystemClock().now()
        rows = [row for row in rows if not row["revoked_at"] and not (row["expires_at"] and row["expires_at"] <= now)]
    if as_json:
        json_text({"data": rows})
        return
    table(
        _COLUMNS,
        [
            (
                row["id"], row["name"], row["role"], moment(row["created_at"]), moment(row["expires_at"]),
                moment(row["last_used_at"]), moment(row["revoked_at"]),
            )
            for row in rows
        ],
        empty="No keys: golive keys create --name NAME",
    )  # fmt: skip


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id: eight characters, no secret.")],
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
) -> None:
    """Revoke a key: a running server refuses it within a second."""

    async def here(admin: KeyAdmin) -> Any:
        return card(await admin.revoke(DEFAULT_TENANT, key_id))

    async def there(client: Client) -> Any:
        return await client.call("DELETE", f"/v1/keys/{quote(key_id, safe='')}")

    row = _carried_out(config, url, key, here, there)
    typer.echo(f"revoked {row['id']} ({row['name']})")


def _seconds(days: float) -> float:
    """Raises InvalidRequest, naming the option, where no key can live for so many days."""
    most = MAX_LIFE_S // _DAY_S
    if not 0 < days <= most:
        raise InvalidRequest(
            f"--expires-in-days {days:g} is out of range.",
            remedy=f"Give days from now, above 0 and at most {most}; leave it out for a key that never expires.",
            field="expires_in_days", value=days,
        )  # fmt: skip
    return days * _DAY_S


def _carried_out(
    config: Path | None,
    url: str | None,
    key: str | None,
    here: Callable[[KeyAdmin], Awaitable[Any]],
    there: Callable[[Client], Awaitable[Any]],
) -> Any:
    """What the API answers, whichever way was taken."""

    async def go() -> Any:
        if url is not None:
            async with connected(config, url, key) as client:
                return await there(client)
        async with AsyncExitStack() as stack:
            admin = await open_key_admin(load(config, os.environ), os.environ, stack)
            return msgspec.to_builtins(await here(admin))

    return run(go())
