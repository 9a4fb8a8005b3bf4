"""The master keys for commands that work on the database itself."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from golive.config.load import load_config
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.errors import ConfigError

if TYPE_CHECKING:
    from golive.store.data_keys import DataKeyRow
    from golive.store.sealed.master import Masters
    from golive.store.sealed.offline import Master


def master_of(config: Path | None) -> "Master | None":
    """What gives the master keys of a configuration; it makes none. None: there is no configuration to be read."""
    try:
        root, loaded = load_config(config, os.environ)
    except ConfigError:
        return None
    how = loaded.secrets
    secrets = Secrets(root, os.environ, aws=how.aws, vault=how.vault)

    def master(installation: str, rows: "Sequence[DataKeyRow]") -> "Masters":
        from golive.config.master_keys import master_keys
        from golive.store.sealed.master import Masters

        present, old = master_keys(secrets, root, how, SystemChance(), sealed=len(rows) or 1)
        return Masters(installation, present, old)

    return master


def plain_of(config: Path | None) -> bool:
    """Whether a configuration lets content be read that is not sealed."""
    try:
        _, loaded = load_config(config, os.environ)
    except ConfigError:
        return False
    return loaded.secrets.plain_rows == "read"
