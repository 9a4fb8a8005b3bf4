"""`golive users`: a tenant's users; and `golive credentials`: its own credentials for providers.

Both work on the store itself, also beside running servers; with --url, through a server's HTTP API.
"""

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from golive.cli import erasures
from golive.cli.client import Client
from golive.cli.options import ConfigOption, JsonOption, KeyOption, TenantOption
from golive.cli.show import Column, json_text, moment, note, table
from golive.cli.tenancy import (
    ConfirmOption,
    Here,
    NoteOption,
    RemoteOption,
    carried_out,
    confirmed_here,
    downloaded,
    existing,
    in_path,
    noted,
)
from golive.gateway.users import credential_card, user_card
from golive.tenants.administration import PAGE
from golive.tenants.authorize import INSTALLATION

app = typer.Typer(no_args_is_help=True, help="List, suspend, erase and export a tenant's users.")
credentials_app = typer.Typer(no_args_is_help=True, help="A tenant's own credentials for providers: references only.")

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The user's id, as runs and tokens name it.")]
ProviderArgument = Annotated[
    str, typer.Argument(metavar="PROVIDER", help="A provider: a section of `providers` in golive.toml.")
]
VERB, KIND = "users.manage", "user"
_COLUMNS = (
    Column("USER"), Column("STATE"), Column("LAST SEEN (UTC)", drop=3), Column("CREATED", drop=1),
    Column("BY", drop=2), Column("NOTE", drop=4),
)  # fmt: skip


@app.command("list")
def list_users(
    before: Annotated[str, typer.Option(help="The id of the last user of the page before.")] = "",
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=PAGE)] = 50,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a tenant's users, by id."""

    async def here(at: Here) -> Any:
        rows = await at.users.list(await existing(at, tenant), before, limit)
        return {"data": [user_card(row) for row in rows], "before": rows[-1].id if len(rows) == limit else None}

    async def there(client: Client) -> Any:
        more = f"&before={quote(before, safe='')}" if before else ""
        return await client.call("GET", f"/v1/users?limit={limit}{more}")

    found = carried_out(config, url, key, tenant, here, there)
    if as_json:
        json_text(found)
        return
    table(_COLUMNS, [_line(row) for row in found["data"]], empty="No users yet.")
    if found["before"] is not None:
        note(f"More: --before {found['before']}")


@app.command()
def show(
    user: UserArgument,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a user."""

    async def here(at: Here) -> Any:
        return user_card(await at.users.get(await existing(at, tenant), user))

    async def there(client: Client) -> Any:
        return await client.call("GET", f"/v1/users/{in_path(user)}")

    _show(carried_out(config, url, key, tenant, here, there), as_json)


@app.command()
def create(
    user: UserArgument,
    note: NoteOption = "",
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a user known before they come; who comes by themselves needs no row."""

    async def here(at: Here) -> Any:
        place = await existing(at, tenant)
        async with at.act(VERB, KIND, user, place, did="create"):
            return user_card(await at.users.create(place, user, note, by="cli"))

    async def there(client: Client) -> Any:
        return await client.call("POST", "/v1/users", {"id": user, "note": note})

    _show(carried_out(config, url, key, tenant, here, there), as_json)


@app.command()
def suspend(
    user: UserArgument,
    note: NoteOption = "",
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the user in no more, on any server within a second, and end what is open in their name."""

    async def here(at: Here) -> Any:
        place = await existing(at, tenant)
        async with at.act(VERB, KIND, user, place, did="suspend"):
            return user_card(await at.users.suspend(place, user, note, by="cli"))

    async def there(client: Client) -> Any:
        return await client.call("POST", f"/v1/users/{in_path(user)}/suspend", {"note": note})

    _show(carried_out(config, url, key, tenant, here, there), as_json)


@app.command()
def resume(
    user: UserArgument,
    note: NoteOption = "",
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a suspended user in again."""

    async def here(at: Here) -> Any:
        place = await existing(at, tenant)
        async with at.act(VERB, KIND, user, place, did="resume"):
            return user_card(await at.users.resume(place, user, note))

    async def there(client: Client) -> Any:
        return await client.call("POST", f"/v1/users/{in_path(user)}/resume", {"note": note})

    _show(carried_out(config, url, key, tenant, here, there), as_json)


@app.command()
def erase(
    user: UserArgument,
    confirm: ConfirmOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove all runs in the user's name, for good, and prove that they are gone."""
    body = {"confirm": confirmed_here(user, confirm)}

    async def nowhere(at: Here) -> Any:
        raise AssertionError(at)

    async def there(client: Client) -> Any:
        return await client.call("POST", f"/v1/users/{in_path(user)}/erase", body)

    if url is None:
        report = msgspec.to_builtins(erasures.erase(config, tenant or INSTALLATION, user))
    else:
        report = carried_out(config, url, key, tenant, nowhere, there)
    erasures.tell(report, as_json)


@app.command()
def export(
    user: UserArgument,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
) -> None:
    """Write all that is the user's to standard output, as JSON lines."""
    if url is not None:
        downloaded(config, url, key, tenant, f"/v1/users/{in_path(user)}/export")
        return
    noted(config, VERB, KIND, user, tenant or INSTALLATION, "export")
    erasures.export(config, tenant or INSTALLATION, user)


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        json_text(row)
    else:
        table(_COLUMNS, [_line(row)])


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    seen, made = moment(row["last_seen_at"]), moment(row["created_at"])
    return (row["id"], row["state"], seen, made, row["created_by"], row["note"])


# ---- credentials -----------------------------------------------------------------------------------------------------

_CREDENTIALS = (
    Column("PROVIDER"), Column("REFERENCE"), Column("STATE"), Column("SET (UTC)", drop=1), Column("BY", drop=2),
)  # fmt: skip


def _warn(row: dict[str, Any], here: bool) -> None:
    """Says why no call can go with a credential; `here`: as this process finds it, not as a server does."""
    if row["state"] != "resolved":
        ours = here and row["reference"].startswith("env:")
        whose = " (here: what counts is the environment of the server)" if ours else ""
        note(f"warning: {row['reference']} does not resolve{whose}: {row['problem'].rstrip('.')}. {row['remedy']}")


@credentials_app.command("list")
def list_credentials(
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a tenant's own credentials, and whether each resolves; never a value."""

    async def here(at: Here) -> Any:
        rows = await at.credentials.list(await existing(at, tenant))
        return {"data": [credential_card(row, await at.stands(row.reference)) for row in rows]}

    async def there(client: Client) -> Any:
        return await client.call("GET", "/v1/credentials")

    found = carried_out(config, url, key, tenant, here, there)
    if as_json:
        json_text(found)
        return
    rows = [
        (row["provider"], row["reference"], row["state"], moment(row["created_at"]), row["created_by"])
        for row in found["data"]
    ]
    table(_CREDENTIALS, rows, empty="None of its own: its calls go with the installation's.")
    for row in found["data"]:
        _warn(row, url is None)


@credentials_app.command("set")
def set_credential(
    provider: ProviderArgument,
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="env:NAME, file:PATH, aws-sm:NAME, vault:PATH#FIELD.")
    ],
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
) -> None:
    """Have a tenant's calls to a provider go with a credential of its own."""

    async def here(at: Here) -> Any:
        place = await existing(at, tenant)
        async with at.act("credentials.manage", "credential", provider, place, did="set", reference=reference):
            made = await at.credentials.set(place, provider, reference, by="cli", any_reference=True)
        return credential_card(made, await at.stands(reference))

    async def there(client: Client) -> Any:
        return await client.call("POST", f"/v1/credentials/{in_path(provider)}", {"reference": reference})

    row = carried_out(config, url, key, tenant, here, there)
    typer.echo(f"{row['provider']}\t{row['reference']}")
    _warn(row, url is None)


@credentials_app.command("remove")
def remove_credential(
    provider: ProviderArgument,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
) -> None:
    """Take a tenant's credential for a provider away."""

    async def here(at: Here) -> Any:
        place = await existing(at, tenant)
        async with at.act("credentials.manage", "credential", provider, place, did="remove"):
            await at.credentials.remove(place, provider)

    async def there(client: Client) -> Any:
        return await client.call("DELETE", f"/v1/credentials/{in_path(provider)}")

    carried_out(config, url, key, tenant, here, there)
    typer.echo(f"removed {provider}")
