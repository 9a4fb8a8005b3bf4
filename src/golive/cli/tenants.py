"""`golive tenants`: create, list, show, set, suspend, resume, erase, export.

Works on the store itself, also beside running servers; with --url, through a server's HTTP API, for keys of the role
platform.
"""

from typing import Annotated, Any

import msgspec
import typer
from msgspec import UNSET

from golive.cli import erasures
from golive.cli.client import Client
from golive.cli.options import ConfigOption, JsonOption, KeyOption
from golive.cli.show import Column, json_text, moment, table
from golive.cli.tenancy import (
    ConfirmOption,
    Here,
    NoteOption,
    RemoteOption,
    carried_out,
    confirmed_here,
    downloaded,
    in_path,
    noted,
)
from golive.core.errors import InvalidRequest
from golive.gateway.tenants import tenant_card
from golive.tenants.administration import Settings

app = typer.Typer(no_args_is_help=True, help="Create, change, suspend, erase and export tenants.")
erasures.add_to(app)

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="Its name.")]
AgentsOption = Annotated[
    list[str] | None,
    typer.Option("--agent", help="An agent that it may use, or `shop-*`. Repeatable.", show_default="all"),
]
RunsOption = Annotated[str | None, typer.Option(help="Most runs open at one server; `none` for no limit.")]
DaysOption = Annotated[str | None, typer.Option(help="Days its finished runs are kept; `none`: as the installation's.")]
VERB, KIND = "tenants.manage", "tenant"
_COLUMNS = (
    Column("TENANT"), Column("STATE"), Column("AGENTS", drop=3), Column("MOST OPEN RUNS", right=True, drop=4),
    Column("KEEP DAYS", right=True, drop=2), Column("CREATED (UTC)", drop=1), Column("NOTE", drop=5),
)  # fmt: skip


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="TENANT", help="Lower-case letters, digits, `_` and `-`.")],
    agent: AgentsOption = None,
    max_open_runs: RunsOption = None,
    keep_days: DaysOption = None,
    note: NoteOption = "",
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a tenant: from now on it may have keys, users and runs."""
    settings = _settings(agent, max_open_runs, keep_days, note or None)

    async def here(at: Here) -> Any:
        async with at.acts.act(VERB, KIND, name, did="create"):
            row = await at.tenants.create(name, settings, by="cli")
        async with at.acts.act(VERB, KIND, name, name, did="create"):
            return tenant_card(row)

    async def there(client: Client) -> Any:
        return await client.call("POST", "/v1/tenants", {"tenant": name} | _body(settings))

    _show(carried_out(config, url, key, None, here, there), as_json)


@app.command("list")
def list_tenants(
    config: ConfigOption = None, url: RemoteOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the tenants, suspended and erased ones too."""

    async def here(at: Here) -> Any:
        return {"data": [tenant_card(row) for row in await at.tenants.list()]}

    async def there(client: Client) -> Any:
        return await client.call("GET", "/v1/tenants")

    found = carried_out(config, url, key, None, here, there)
    if as_json:
        json_text(found)
        return
    table(_COLUMNS, [_line(row) for row in found["data"]])


@app.command()
def show(
    name: TenantArgument,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a tenant."""

    async def here(at: Here) -> Any:
        return tenant_card(await at.tenants.get(name))

    async def there(client: Client) -> Any:
        return await client.call("GET", f"/v1/tenants/{in_path(name)}")

    _show(carried_out(config, url, key, None, here, there), as_json)


@app.command("set")
def change(
    name: TenantArgument,
    agent: AgentsOption = None,
    max_open_runs: RunsOption = None,
    keep_days: DaysOption = None,
    note: Annotated[str | None, typer.Option("--note", help="In the place of what was noted before.")] = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a tenant may use; what is not given stays."""
    settings = _settings(agent, max_open_runs, keep_days, note)
    if not _body(settings):
        raise InvalidRequest(
            "Nothing is to be changed.", remedy="Give --agent, --max-open-runs, --keep-days or --note.", field="set",
            value="",
        )  # fmt: skip

    async def here(at: Here) -> Any:
        told = {each: str(value) for each, value in _body(settings).items()}
        async with at.act(VERB, KIND, name, name, did="change", **told):
            return tenant_card(await at.tenants.change(name, settings))

    async def there(client: Client) -> Any:
        return await client.call("POST", f"/v1/tenants/{in_path(name)}", _body(settings))

    _show(carried_out(config, url, key, None, here, there), as_json)


@app.command()
def suspend(
    name: TenantArgument,
    note: NoteOption = "",
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let nobody of it in, on any server within a second, and end what it has open."""

    async def here(at: Here) -> Any:
        async with at.act(VERB, KIND, name, name, did="suspend"):
            return tenant_card(await at.tenants.suspend(name, note))

    _show(_stood(name, "suspend", note, config, url, key, here), as_json)


@app.command()
def resume(
    name: TenantArgument,
    note: NoteOption = "",
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a suspended tenant in again."""

    async def here(at: Here) -> Any:
        async with at.act(VERB, KIND, name, name, did="resume"):
            return tenant_card(await at.tenants.resume(name, note))

    _show(_stood(name, "resume", note, config, url, key, here), as_json)


@app.command()
def erase(
    name: TenantArgument,
    confirm: ConfirmOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove all that is a tenant's, for good, and prove that it is gone."""
    body = {"confirm": confirmed_here(name, confirm)}
    if url is None:
        report = msgspec.to_builtins(erasures.erase(config, name, None))
    else:
        report = _asked(name, "erase", body, config, url, key)
    erasures.tell(report, as_json)


@app.command()
def export(name: TenantArgument, config: ConfigOption = None, url: RemoteOption = None, key: KeyOption = None) -> None:
    """Write all that is a tenant's to standard output, as JSON lines."""
    if url is not None:
        downloaded(config, url, key, None, f"/v1/tenants/{in_path(name)}/export")
        return
    noted(config, VERB, KIND, name, name, "export")
    erasures.export(config, name, None)


def _stood(name: str, act: str, note: str, config: Any, url: str | None, key: str | None, here: Any) -> Any:
    async def there(client: Client) -> Any:
        return await client.call("POST", f"/v1/tenants/{in_path(name)}/{act}", {"note": note})

    return carried_out(config, url, key, None, here, there)


def _asked(name: str, act: str, body: Any, config: Any, url: str, key: str | None) -> Any:
    async def nowhere(at: Here) -> Any:
        raise AssertionError(at)

    async def there(client: Client) -> Any:
        return await client.call("POST", f"/v1/tenants/{in_path(name)}/{act}", body)

    return carried_out(config, url, key, None, nowhere, there)


def _settings(agents: list[str] | None, runs: str | None, days: str | None, note: str | None) -> Settings:
    return Settings(
        agents=UNSET if not agents else tuple(agents),
        max_open_runs=UNSET if runs is None else _number("max-open-runs", runs, int),
        keep_days=UNSET if days is None else _number("keep-days", days, float),
        note=UNSET if note is None else note,
    )


def _number(option: str, text: str, kind: Any) -> Any:
    """The number, or None for `none`. Raises InvalidRequest, naming the option."""
    if text == "none":
        return None
    try:
        return kind(text)
    except ValueError:
        raise InvalidRequest(
            f"--{option} {text[:40]!r} is no number.", remedy="Give a number, or `none`.", field=option,
            value=text[:40],
        ) from None  # fmt: skip


def _body(settings: Settings) -> dict[str, Any]:
    """What is given, as the API takes it."""
    given: dict[str, Any] = msgspec.to_builtins(settings)
    return given


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        json_text(row)
    else:
        table(_COLUMNS, [_line(row)])


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    most, days = row["max_open_runs"], row["keep_days"]
    return (
        row["tenant"], row["state"], " ".join(row["agents"]), "-" if most is None else most,
        "-" if days is None else f"{days:g}", moment(row["created_at"]), row["note"],
    )  # fmt: skip
