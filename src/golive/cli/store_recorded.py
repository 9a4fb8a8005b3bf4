"""What `golive store` did, in the audit log of the store that it was done to."""

import asyncio
import os
from pathlib import Path

from golive.audit.acting import acting
from golive.cli.show import note
from golive.config.load import load
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError, GoliveError
from golive.store.opening import open_store


def record(config: Path | None, store: str | None, did: str, **detail: str) -> None:
    """Records that it was done; where it cannot be, says so: the store itself is what the command is about.

    Args:
        store: the address that was given instead of store.url.
    """
    try:
        loaded = load(config, os.environ)
    except ConfigError:
        note("Without a golive.toml there is no audit key: this stands in no audit log.")
        return
    root = Path.cwd() if store is not None else loaded.root

    async def go() -> None:
        secrets = Secrets(loaded.root, os.environ)
        opened = await open_store(store or loaded.config.store.url, root, SystemClock())
        try:
            async with (
                acting(loaded, secrets, opened.audit, SystemClock(), SystemChance()) as acts,
                acts.act("store.manage", "store", did, **detail),
            ):
                pass
        finally:
            await opened.close()

    try:
        asyncio.run(go())
    except GoliveError as error:
        note(f"This stands in no audit log: {error.message}")
