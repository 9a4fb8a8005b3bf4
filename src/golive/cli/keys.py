"""`golive keys`: create, list, revoke. Works on the store itself, beside a running server, which learns of it."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Annotated, TypeVar

import typer

from golive.app import DEFAULT_TENANT, open_key_admin
from golive.cli.options import ConfigOption, JsonOption
from golive.cli.show import json_text, moment, table
from golive.config.load import load
from golive.tenants.keys import KeyAdmin

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")
T = TypeVar("T")


def _with_admin(config: object, work: Callable[[KeyAdmin], Awaitable[T]]) -> T:
    async def go() -> T:
        async with AsyncExitStack() as stack:
            loaded = load(config, os.environ)  # type: ignore[arg-type]
            return await work(await open_key_admin(loaded, os.environ, stack))

    return asyncio.run(go())


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What you call it.")],
    role: Annotated[str, typer.Option(help="viewer, user, operator or admin.")] = "user",
    expires_in_days: Annotated[
        float | None, typer.Option("--expires-in-days", help="Days until it stops working.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key. It is shown this once; only its HMAC is stored."""
    seconds = None if expires_in_days is None else expires_in_days * 86_400
    made = _with_admin(
        config, lambda admin: admin.create(DEFAULT_TENANT, name, role, created_by="cli", expires_in_s=seconds)
    )
    if as_json:
        json_text({"id": made.row.id, "name": name, "role": role, "secret": made.secret})
        return
    typer.echo(made.secret)
    typer.secho(f"Key {made.row.id} ({role}). It is not shown again: keep it now.", dim=True, err=True)


@app.command("list")
def list_keys(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the keys, never their secrets."""
    rows = _with_admin(config, lambda admin: admin.list(DEFAULT_TENANT))
    if as_json:
        json_text(
            [
                {
                    "id": row.id, "name": row.name, "role": row.role, "created_at": row.created_at,
                    "created_by": row.created_by, "expires_at": row.expires_at, "revoked_at": row.revoked_at,
                    "last_used_at": row.last_used_at,
                }
                for row in rows
            ]
        )  # fmt: skip
        return
    table(
        ("KEY", "NAME", "ROLE", "CREATED (UTC)", "EXPIRES", "LAST USED", "REVOKED"),
        [
            (
                row.id, row.name, row.role, moment(row.created_at), moment(row.expires_at), moment(row.last_used_at),
                moment(row.revoked_at),
            )
            for row in rows
        ],
    )  # fmt: skip


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")], config: ConfigOption = None) -> None:
    """Revoke a key: a running server refuses it within a second."""
    row = _with_admin(config, lambda admin: admin.revoke(DEFAULT_TENANT, key_id))
    typer.echo(f"revoked {row.id} ({row.name})")
