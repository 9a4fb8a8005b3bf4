"""From a store and a configuration to a store in which content is sealed; or a clear refusal, and nothing changed."""

import asyncio
from pathlib import Path

from golive.config.master_keys import is_remote, master_keys
from golive.config.schema import SecretsConfig
from golive.config.secrets import Secrets
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import ContentSealed
from golive.store.ports import Store
from golive.store.sealed.keys import DataKeys, Notice
from golive.store.sealed.master import Masters
from golive.store.sealed.store import sealed
from golive.store.sealed.values import SEAL


async def seal(
    store: Store, secrets: Secrets, root: Path, config: SecretsConfig, clock: Clock, chance: Chance, notice: Notice
) -> Store:
    """The store, sealed under the master key of the configuration, which is made where nothing is sealed yet.

    Args:
        root: folder of golive.toml.

    Raises:
        ConfigError: there is no master key, or it is none.
        ContentSealed: it is another one than that of the database; or the database holds content from before content
            was sealed, which is not to be read.
        StoreUnavailable: the store cannot be read.
    """
    keys = await data_keys(store, secrets, root, config, clock, chance, notice)
    plain = config.plain_rows == "read"
    if not plain and (tenant := await store.data_keys.plain_tenant()) is not None:
        raise ContentSealed(  # before anything of it is begun, and ends for that
            f"The database holds content of {tenant} in plain words: what is not sealed is not read.", remedy=SEAL,
            tenant=tenant,
        )  # fmt: skip
    return sealed(store, keys, chance, notice, plain=plain)


async def data_keys(
    store: Store, secrets: Secrets, root: Path, config: SecretsConfig, clock: Clock, chance: Chance, notice: Notice
) -> DataKeys:
    """The data keys of a store, unwrapped. Raises as `seal`."""
    sealing = sum(row.count for row in await store.data_keys.counts() if row.state != "erased")
    installation = await store.data_keys.installation()
    if any(is_remote(reference) for reference in (config.master_key, *config.old_master_keys)):
        masters = await asyncio.to_thread(masters_of, installation, sealing, secrets, root, config, chance)
    else:
        masters = masters_of(installation, sealing, secrets, root, config, chance)
    keys = DataKeys(store.data_keys, masters, clock, chance, notice)
    await keys.start()
    return keys


def masters_of(
    installation: str, sealing: int, secrets: Secrets, root: Path, config: SecretsConfig, chance: Chance
) -> Masters:
    """The master keys of an installation with so many data keys that are not erased.

    Blocks where one comes over the network. Raises ConfigError, and StoreUnavailable where who holds it is away.
    """
    present, old = master_keys(secrets, root, config, chance, sealed=sealing)
    return Masters(installation, present, old)
