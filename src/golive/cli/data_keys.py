"""`golive secrets data-keys|rotate-data|rotate-master`: the keys that stored content is sealed under.

Works on the store itself, beside running servers, which learn of it within 250 ms.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct

from golive.cli.options import ConfigOption, JsonOption
from golive.cli.running import run
from golive.cli.show import Column, count, json_text, moment, note, table
from golive.config.load import Loaded, load
from golive.config.master_keys import make, master_key, path_of
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import NotFound
from golive.store.data_keys import DataKeyCount, DataKeyRow
from golive.store.opening import open_store
from golive.store.ports import Store
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.master import Masters
from golive.store.sealed.opening import data_keys
from golive.store.sealed.rotation import Rewrapped, rewrap
from golive.telemetry.logs import configure

_COLUMNS = (
    Column("TENANT"), Column("KEY"), Column("STATE"), Column("MASTER KEY"), Column("VALUES (AT MOST)", drop=2),
    Column("CREATED (UTC)", drop=1),
)  # fmt: skip


class _Here(Struct):
    """An installation's store, and how its content is sealed."""

    loaded: Loaded
    secrets: Secrets
    store: Store
    keys: DataKeys
    masters: Masters


def add_to(app: typer.Typer) -> None:
    """Puts the commands into the group `golive secrets`."""
    app.command("data-keys")(list_keys)
    app.command("rotate-data")(rotate_data)
    app.command("rotate-master")(rotate_master)


def list_keys(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the keys that content is sealed under, and which master key wraps each; those of users are counted."""

    async def work() -> tuple[list[DataKeyRow], list[DataKeyCount]]:
        async with _opened(config) as here:
            counted = await here.store.data_keys.counts()
            return await here.store.data_keys.all(), [row for row in counted if row.scope == "user"]

    rows, of_users = run(work())
    if as_json:
        json_text({"data": [_card(row) for row in rows], "users": of_users})
        return
    table(
        _COLUMNS,
        [(row.tenant, row.id, _state(row), row.master, row.reserved, moment(row.created_at)) for row in rows],
        empty="There is no data key of a tenant yet: the first content makes one.",
    )
    for row in of_users:
        under = f", under the master key {row.master}" if row.master else ""
        note(f"{row.tenant}: {count(row.count, 'key')} of users {row.state}{under}")


def rotate_data(
    tenant: Annotated[str, typer.Argument(help="Whose key is replaced.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a tenant's new content sealed under a new key. What was written stays as it is, and readable.

    Nothing is sealed anew: the journal is only added to. Servers use the new key within 250 ms.
    """

    async def work() -> str:
        async with _opened(config) as here:
            if not here.keys.writes(tenant):
                raise NotFound(
                    f"There is no data key of the tenant {tenant!r}.",
                    remedy="`golive secrets data-keys` lists them; a tenant gets one with its first run.",
                    field="tenant", value=tenant,
                )  # fmt: skip
            return await here.keys.rotate(tenant)

    made = run(work())
    if as_json:
        json_text({"tenant": tenant, "key": made})
        return
    typer.echo(made)
    note(f"New content of {tenant} is sealed under {made}. What was written before opens with its own key.")


def rotate_master(
    to: Annotated[str, typer.Option(help="Reference to the new master key; a file: that does not exist is made.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wrap all data keys under another master key, one by one, while servers run. May be given again."""

    async def work() -> tuple[Rewrapped, str, tuple[str, ...]]:
        async with _opened(config) as here:
            chance, how = SystemChance(), here.loaded.config.secrets
            path = path_of(to, here.loaded.root)
            if path is not None and not path.exists():
                make(path, to, chance)
            given = [master_key(here.secrets, one) for one in (how.master_key, *how.old_master_keys)]
            masters = Masters(here.masters.installation, master_key(here.secrets, to), given)
            return await rewrap(here.store.data_keys, masters, chance), how.master_key, how.old_master_keys

    done, present, old = run(work())
    if as_json:
        json_text(done)
        return
    typer.echo(f"{count(done.wrapped, 'data key')} wrapped under {done.master}, {done.already} were already")
    if present == to and done.wrapped == 0:
        note("No data key is under another master key: secrets.old_master_keys may be emptied.")
    elif present != to:
        left = ", ".join(f'"{one}"' for one in dict.fromkeys((present, *old)) if one != to)
        note(f'Set secrets.master_key = "{to}" and secrets.old_master_keys = [{left}], restart servers one by one, and')
        note(f"then give `golive secrets rotate-master --to {to}` again. Running servers go on meanwhile.")


@asynccontextmanager
async def _opened(config: Path | None) -> AsyncIterator[_Here]:
    loaded = load(config, os.environ)
    how, clock, chance = loaded.config.secrets, SystemClock(), SystemChance()
    secrets = Secrets(loaded.root, os.environ, aws=how.aws, vault=how.vault)
    store = await open_store(loaded.config.store.url, loaded.root, clock)
    try:
        log: Any = configure("error", "json", None, clock=clock)
        keys = await data_keys(store, secrets, loaded.root, how, clock, chance, log)
        yield _Here(loaded, secrets, store, keys, keys.masters)
    finally:
        await store.close()


def _card(row: DataKeyRow) -> dict[str, Any]:
    """The key without what is in it."""
    return {
        "tenant": row.tenant, "id": row.id, "state": _state(row), "master": row.master, "reserved": row.reserved,
        "created_at": row.created_at, "retired_at": row.retired_at, "erased_at": row.erased_at, "scope": row.scope,
        "subject": row.subject,
    }  # fmt: skip


def _state(row: DataKeyRow) -> str:
    if row.erased_at is not None:
        return "erased"
    return "present" if row.retired_at is None else "retired"
