"""`golive secrets seal`: seals what stands in the database in plain words, from before content was sealed."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import structs

from golive.audit.acting import acting
from golive.cli.options import ConfigOption, JsonOption
from golive.cli.running import run
from golive.cli.show import count, json_text, note
from golive.config.load import load
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.store.opening import open_store
from golive.store.sealed.opening import data_keys
from golive.store.upkeep.database import Database
from golive.store.upkeep.sealing_up import SealedUp, seal_up
from golive.telemetry.logs import configure

LEFT = 1


def seal(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal content that was written before content was sealed. May be ended, and given again.

    What claims to be younger than its tenant's first key is left as it is, and told: exit code 1. No golive wrote it.
    """
    done = run(_sealed(config, dry_run))
    if as_json:
        json_text(structs.asdict(done) | {"done": not dry_run})
    else:
        verb = "would be sealed" if dry_run else "sealed"
        typer.echo(f"{count(done.events, 'event')} and {count(done.messages, 'message')} {verb}")
        if done.erased:
            note(f"{count(done.erased, 'row')} of who was erased left as they are.")
        if done.younger:
            note(
                f"{count(done.younger, 'row')} in plain words are younger than the first key of their tenant: somebody"
            )
            note("else writes to this database (golive store verify names them). Restore a backup.")
    if done.younger:
        raise typer.Exit(LEFT)


async def _sealed(config: Path | None, dry: bool) -> SealedUp:
    loaded = load(config, os.environ)
    how, clock, chance = loaded.config.secrets, SystemClock(), SystemChance()
    secrets = Secrets(loaded.root, os.environ, aws=how.aws, vault=how.vault)
    store = await open_store(loaded.config.store.url, loaded.root, clock)
    try:
        log: Any = configure("error", "json", None, clock=clock)
        keys = await data_keys(store, secrets, loaded.root, how, clock, chance, log)
        database = Database.of(loaded.config.store.url, loaded.root)
        if dry:
            return await seal_up(database, keys, chance, dry=True)
        async with (
            acting(loaded, secrets, store.audit, clock, chance) as acts,
            acts.act("secrets.manage", "data-key", "plain rows", did="seal") as told,
        ):
            done = await seal_up(database, keys, chance)
            told["events"], told["messages"] = str(done.events), str(done.messages)
        return done
    finally:
        await store.close()
