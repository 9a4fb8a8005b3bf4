"""`golive secrets data-keys|rotate-data|rotate-master|seal`: the keys that stored content is sealed under.

Works on the store itself, beside running servers, which learn of it within 250 ms; with --url, through a server's HTTP
API.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from golive.audit.acting import Acts, acting
from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, TenantOption
from golive.cli.running import run
from golive.cli.sealing_up import seal
from golive.cli.show import Column, count, json_text, moment, note, table
from golive.config.load import Loaded, load
from golive.config.master_keys import master_key, path_of
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError, NotFound
from golive.store.opening import open_store
from golive.store.ports import Store
from golive.store.sealed.cards import card_of, users_card
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.master import Masters
from golive.store.sealed.opening import data_keys
from golive.store.sealed.rotation import rewrap
from golive.telemetry.logs import configure

PATH = "/v1/secrets/data-keys"
RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="A server elsewhere, through its API (--ca FILE: whom to trust).", show_default="the store here"
    ),
]
_COLUMNS = (
    Column("TENANT"), Column("KEY"), Column("STATE"), Column("MASTER KEY"), Column("VALUES (AT MOST)", drop=2),
    Column("CREATED (UTC)", drop=1),
)  # fmt: skip


class _Here(Struct):
    """An installation's store, how its content is sealed, and its audit log."""

    loaded: Loaded
    secrets: Secrets
    store: Store
    keys: DataKeys
    masters: Masters
    acts: Acts


def add_to(app: typer.Typer) -> None:
    """Puts the commands into the group `golive secrets`."""
    app.command("data-keys")(list_keys)
    app.command("rotate-data")(rotate_data)
    app.command("rotate-master")(rotate_master)
    app.command("seal")(seal)


def list_keys(
    tenant: TenantOption = None,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys that content is sealed under, and which master key wraps each; those of users are counted.

    Of all tenants at the store itself; with --url those of the key's tenant.
    """

    async def work() -> Any:
        if url is not None:
            async with connected(config, url, key, tenant) as client:
                return await client.call("GET", PATH)
        async with _opened(config) as here:
            rows = [card_of(row) for row in await here.store.data_keys.all() if tenant in (None, row.tenant)]
            counted = [row for row in await here.store.data_keys.counts() if tenant in (None, row.tenant)]
            users = [users_card(row) for row in counted if row.scope == "user"]
            masters = {"master": here.masters.present, "accepted": sorted(here.masters.accepted)}
            return msgspec.to_builtins({"data": rows, "users": users} | masters)

    found = run(work())
    if as_json:
        json_text(found)
        return
    table(
        _COLUMNS,
        [
            (row["tenant"], row["id"], row["state"], row["master"], row["reserved"], moment(row["created_at"]))
            for row in found["data"]
        ],
        empty="There is no data key of a tenant yet: the first content makes one.",
    )
    for row in found["users"]:
        under = f", under the master key {row['master']}" if row["master"] else ""
        note(f"{row['tenant']}: {count(row['count'], 'key')} of users {row['state']}{under}")


def rotate_data(
    tenant: Annotated[str, typer.Argument(help="Whose key is replaced.")],
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a tenant's new content sealed under a new key. What was written stays as it is, and readable.

    Nothing is sealed anew: the journal is only added to. Servers use the new key within 250 ms.
    """

    async def work() -> str:
        if url is not None:
            async with connected(config, url, key, tenant) as client:
                return str((await client.call("POST", f"{PATH}/rotate"))["key"])
        async with _opened(config) as here:
            if not here.keys.writes(tenant):
                raise NotFound(
                    f"There is no data key of the tenant {tenant!r}.",
                    remedy="`golive secrets data-keys` lists them; a tenant gets one with its first run.",
                    field="tenant", value=tenant,
                )  # fmt: skip
            async with here.acts.act("secrets.manage", "data-key", tenant, tenant, did="rotate-data") as told:
                told["key"] = await here.keys.rotate(tenant)
            return told["key"]

    made = run(work())
    if as_json:
        json_text({"tenant": tenant, "key": made})
        return
    typer.echo(made)
    note(f"New content of {tenant} is sealed under {made}. What was written before opens with its own key.")


def rotate_master(
    to: Annotated[
        str | None,
        typer.Option(
            help="Reference to the new master key, which secrets.old_master_keys of every server names already.",
            show_default="secrets.master_key as it is",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Do not ask whether every server that runs has the new master key.")
    ] = False,
    config: ConfigOption = None,
    url: RemoteOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wrap all data keys under another master key, one by one, while servers run. May be given again.

    The configuration, and every server that runs, must have the new one before: otherwise nothing is done, and the
    servers that do not are named. With --url they are wrapped under the one that the server is configured with: none is
    sent to it.
    """
    if url is not None:
        if to is not None:
            raise ConfigError(
                "--to is not sent to a server.",
                remedy="Set secrets.master_key there, and give the command without --to; or run it at the database.",
                key="--to", value="", origin="command line",
            )  # fmt: skip
        _tell_of_rewrapped(run(_asked_to_rewrap(config, url, key)), as_json)
        return

    async def work() -> tuple[Any, str, str, tuple[str, ...], int]:
        async with _opened(config, to) as here:
            how = here.loaded.config.secrets
            target = to or how.master_key
            async with here.acts.act("secrets.manage", "data-key", target, did="rotate-master") as told:
                masters = await asyncio.to_thread(_towards, here, target)
                done = await rewrap(here.store.data_keys, masters, SystemChance(), force=force)
                told["master"], told["wrapped"] = done.master, str(done.wrapped)
            others = sum(done.master not in one.masters[:1] for one in await here.store.data_keys.living())
            return msgspec.to_builtins(done), target, how.master_key, how.old_master_keys, others

    done, target, present, old, others = run(work())
    _tell_of_rewrapped(done, as_json)
    if not as_json and present == target and others:
        note(f"{count(others, 'server')} that run wrap new data keys under another master key: restart them with")
        note(f'secrets.master_key = "{target}", and give the command again.')
    elif not as_json and present == target and done["wrapped"] == 0:
        note("No data key is under another master key: secrets.old_master_keys may be emptied.")
    elif not as_json and present != target:
        left = ", ".join(f'"{one}"' for one in dict.fromkeys((present, *old)) if one != target)
        note(f'Set secrets.master_key = "{target}" and secrets.old_master_keys = [{left}], restart servers one by one,')
        note(f"and then give `golive secrets rotate-master --to {target}` again. Running servers go on meanwhile.")


async def _asked_to_rewrap(config: Path | None, url: str, key: str | None) -> Any:
    async with connected(config, url, key) as client:
        return await client.call("POST", f"{PATH}/rewrap")


def _tell_of_rewrapped(done: Any, as_json: bool) -> None:
    if as_json:
        json_text(done)
        return
    typer.echo(f"{count(done['wrapped'], 'data key')} wrapped under {done['master']}, {done['already']} were already")


def _towards(here: _Here, to: str) -> Masters:
    """The master keys with that one as the present one; blocks where one comes over the network."""
    how = here.loaded.config.secrets
    given = [master_key(here.secrets, one) for one in (how.master_key, *how.old_master_keys)]
    return Masters(here.masters.installation, master_key(here.secrets, to), given)


def _demand_named(loaded: Loaded, to: str) -> None:
    """Nothing is wrapped under a master key that those who read this configuration could not open it with."""
    how = loaded.config.secrets
    if to in (how.master_key, *how.old_master_keys):
        return
    path = path_of(to, loaded.root)
    first = f"Make one with `(umask 077; openssl rand -hex 32 > {path})`. " if path and not path.exists() else ""
    named = ", ".join(f'"{one}"' for one in (*how.old_master_keys, to))
    raise ConfigError(
        f"the master key `{to}` is not in this configuration: servers and commands that read it could open nothing "
        "that is wrapped under that key.",
        remedy=f"{first}Set secrets.old_master_keys = [{named}] for every server, restart them one by one, and "
        "give the command again.",
        key="secrets.old_master_keys", value=to, origin=str(loaded.root / "golive.toml"),
    )  # fmt: skip


@asynccontextmanager
async def _opened(config: Path | None, to: str | None = None) -> AsyncIterator[_Here]:
    """`to`: a master key that the configuration has to name. Raises ConfigError before anything is opened."""
    loaded = load(config, os.environ)
    if to is not None:
        _demand_named(loaded, to)
    how, clock, chance = loaded.config.secrets, SystemClock(), SystemChance()
    secrets = Secrets(loaded.root, os.environ, aws=how.aws, vault=how.vault)
    store = await open_store(loaded.config.store.url, loaded.root, clock)
    try:
        log: Any = configure("error", "json", None, clock=clock)
        keys = await data_keys(store, secrets, loaded.root, how, clock, chance, log)
        async with acting(loaded, secrets, store.audit, clock, chance) as acts:
            yield _Here(loaded, secrets, store, keys, keys.masters, acts)
    finally:
        await store.close()
