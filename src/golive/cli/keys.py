"""`golive keys`: create, list, rotate, revoke; `golive keys roles`.

Works on the store itself, also beside a running server, which learns of it; with --url, through a server's HTTP API.
"""

import os
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import msgspec
import typer

from golive.cli.client import Client, connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, TenantOption
from golive.cli.running import run
from golive.cli.show import Column, json_text, moment, note, table
from golive.config.load import load
from golive.core.clock import SystemClock
from golive.core.errors import InvalidRequest
from golive.gateway.administration import card, key_made, key_rotated
from golive.tenants.authorize import INSTALLATION
from golive.tenants.keys import MAX_LIFE_S, MAX_OVERLAP_S, KeyAdmin
from golive.tenants.opening import open_key_admin
from golive.tenants.rolebook import Rolebook
from golive.tenants.roles import Grant, Role

app = typer.Typer(no_args_is_help=True, help="Create, list, rotate and revoke API keys.")
RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="A server elsewhere, through its API (--ca FILE: whom to trust).", show_default="the store here"
    ),
]
T = TypeVar("T")

_DAY_S = 86_400
_COLUMNS = (
    Column("KEY"), Column("NAME"), Column("ROLE"), Column("SCOPES", drop=5), Column("CREATED (UTC)", drop=2),
    Column("EXPIRES", drop=3), Column("LAST USED", drop=1), Column("REVOKED", drop=4),
)  # fmt: skip


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What you call it.")],
    role: Annotated[str, typer.Option(help="viewer, user, operator, developer, admin, platform or your own.")] = "user",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="All that is left of the role: a verb, or agent:NAME, model:NAME, tool:NAME. Repeatable."),
    ] = None,
    expires_in_days: Annotated[float | None, typer.Option(help="Days until it stops working.")] = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key. It is shown this once; only its HMAC is stored."""
    seconds, scopes = None if expires_in_days is None else _seconds(expires_in_days), tuple(scope or ())

    async def here(admin: KeyAdmin) -> Any:
        made = await admin.create(
            tenant or INSTALLATION, name, role, created_by="cli", expires_in_s=seconds, scopes=scopes
        )
        return key_made(made)

    async def there(client: Client) -> Any:
        body = {"name": name, "role": role, "scopes": scopes} | ({} if seconds is None else {"expires_in_s": seconds})
        return await client.call("POST", "/v1/keys", body)

    made = _carried_out(config, url, key, tenant, here, there)
    if as_json:
        json_text(made)
        return
    typer.echo(made["key"])
    note(f"Key {made['id']} ({' '.join([made['role'], *made['scopes']])}). It is not shown again: keep it now.")


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The old key's id: eight characters, no secret.")],
    overlap: Annotated[str, typer.Option(help="How long the old key still works: 90s, 30m, 24h, 7d, 0.")] = "24h",
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a key by a new one that may the same; both work for the overlap."""
    overlap_s = _overlap(overlap)

    async def here(admin: KeyAdmin) -> Any:
        return key_rotated(await admin.rotate(tenant or INSTALLATION, key_id, overlap_s, created_by="cli"))

    async def there(client: Client) -> Any:
        path = f"/v1/keys/{quote(key_id, safe='')}/rotate"
        return await client.call("POST", path, {"overlap_s": overlap_s})

    made = _carried_out(config, url, key, tenant, here, there)
    if as_json:
        json_text(made)
        return
    typer.echo(made["key"])
    note(f"Key {made['id']} stands in the place of {key_id}, which works until {moment(made['replaced_expires_at'])}.")


@app.command()
def roles(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the roles, built-in and of golive.toml, and what each may."""
    book = Rolebook(load(config, os.environ).config.roles)
    if as_json:
        json_text({"data": [_role(role) for role in book.roles.values()]})
        return
    rows = [
        (role.name, f"{'all tenants' if role.across else 'its tenant'}", _limited(grant), " ".join(sorted(grant.verbs)))
        for role in book.roles.values()
        for grant in role.grants
    ]
    table((Column("ROLE"), Column("ACTS IN"), Column("LIMITED TO"), Column("VERBS")), rows, empty="No roles.")


def _role(role: Role) -> dict[str, Any]:
    grants = [msgspec.to_builtins(grant) | {"verbs": sorted(grant.verbs)} for grant in role.grants]
    return {"name": role.name, "across": role.across, "grants": grants}


def _limited(grant: Grant) -> str:
    named = [f"{kind[:-1]}:{pattern}" for kind in ("agents", "models", "tools") for pattern in getattr(grant, kind)]
    return "" if grant.whole else " ".join(name for name in named if not name.endswith(":*"))


@app.command("list")
def list_keys(
    every: Annotated[bool, typer.Option("--all", help="Revoked and expired ones too.")] = False,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="Those of every tenant, of the store here.")
    ] = False,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys that work, never their secrets."""

    async def here(admin: KeyAdmin) -> Any:
        if all_tenants:
            return {"data": [msgspec.to_builtins(card(row)) | {"tenant": row.tenant} for row in await admin.list_all()]}
        return {"data": [card(row) for row in await admin.list(tenant or INSTALLATION)]}

    async def there(client: Client) -> Any:
        return await client.call("GET", "/v1/keys")

    if all_tenants and (url or tenant):
        raise InvalidRequest(
            "--all-tenants goes with neither --url nor --tenant.", remedy="Leave it out, or them.", field="all-tenants"
        )
    rows = _carried_out(config, url, key, tenant, here, there, makes=False)["data"]
    if not every:
        now = SystemClock().now()
        rows = [row for row in rows if not row["revoked_at"] and not (row["expires_at"] and row["expires_at"] <= now)]
    if as_json:
        json_text({"data": rows})
        return
    table(
        (Column("TENANT"), *_COLUMNS) if all_tenants else _COLUMNS,
        [
            (
                *([row["tenant"]] if all_tenants else []), row["id"], row["name"], row["role"],
                " ".join(row["scopes"]) or "-", moment(row["created_at"]),
                moment(row["expires_at"]), moment(row["last_used_at"]), moment(row["revoked_at"]),
            )
            for row in rows
        ],
        empty="No keys: golive keys create --name NAME",
    )  # fmt: skip


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id: eight characters, no secret.")],
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
) -> None:
    """Revoke a key: a running server refuses it within a second."""

    async def here(admin: KeyAdmin) -> Any:
        return card(await admin.revoke(tenant or INSTALLATION, key_id))

    async def there(client: Client) -> Any:
        return await client.call("DELETE", f"/v1/keys/{quote(key_id, safe='')}")

    row = _carried_out(config, url, key, tenant, here, there, makes=False)
    typer.echo(f"revoked {row['id']} ({row['name']})")


def _overlap(text: str) -> float:
    """Seconds from `24h`; raises InvalidRequest, naming the option."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", text)
    seconds = -1.0 if found is None else float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3_600, "d": _DAY_S}[found[2]]
    if not 0 <= seconds <= MAX_OVERLAP_S:
        raise InvalidRequest(
            f"--overlap {text!r} is no time of 0 to 90 days.", remedy="Give it as 90s, 30m, 24h or 7d.",
            field="overlap", value=text,
        )  # fmt: skip
    return seconds


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
    tenant: str | None,
    here: Callable[[KeyAdmin], Awaitable[Any]],
    there: Callable[[Client], Awaitable[Any]],
    *,
    makes: bool = True,
) -> Any:
    """What the API answers, whichever way was taken. `makes`: whether a key is made."""

    async def go() -> Any:
        if url is not None:
            async with connected(config, url, key, tenant) as client:
                return await there(client)
        async with AsyncExitStack() as stack:
            admin = await open_key_admin(load(config, os.environ), os.environ, stack, makes=makes)
            return msgspec.to_builtins(await here(admin))

    return run(go())
