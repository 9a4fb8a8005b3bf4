"""An installation's keys without a server, for commands that work on the store itself."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from golive.audit.acting import acting
from golive.config.load import Loaded
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.store.opening import open_store
from golive.tenants.authorize import INSTALLATION
from golive.tenants.keys import PEPPER_BYTES, KeyAdmin, NewKey
from golive.tenants.pepper import marking, pepper_of
from golive.tenants.recorded import RecordedKeyAdmin
from golive.tenants.rolebook import Rolebook


async def create_key(
    loaded: Loaded, name: str, role: str, environ: Mapping[str, str], expires_in_s: float | None = None, *,
    tenant: str = INSTALLATION, scopes: Sequence[str] = (),
) -> NewKey:  # fmt: skip
    """Makes an API key; works beside a running server, which learns of it within 250 ms."""
    async with AsyncExitStack() as stack:
        admin = await open_key_admin(loaded, environ, stack)
        return await admin.create(tenant, name, role, created_by="cli", expires_in_s=expires_in_s, scopes=scopes)


async def open_key_admin(
    loaded: Loaded, environ: Mapping[str, str], stack: AsyncExitStack, *, makes: bool = True
) -> KeyAdmin:
    """The keys of an installation; closed with the stack.

    Args:
        makes: whether any is to be made. To list and to revoke them the pepper need not be there.

    Raises:
        GoliveError: the store cannot be opened, or the pepper is missing or another one than the keys'.
    """
    clock, chance, reference = SystemClock(), SystemChance(), loaded.config.secrets.pepper
    store = await open_store(loaded.config.store.url, loaded.root, clock)
    stack.push_async_callback(store.close)
    secrets = Secrets(loaded.root, environ)
    if makes:
        pepper = await pepper_of(store, secrets, loaded.root, reference, chance, clock)
    else:
        pepper = chance.token(PEPPER_BYTES)
    acts = await stack.enter_async_context(acting(loaded, secrets, store.audit, clock, chance))
    rolebook = Rolebook(loaded.config.roles)
    told = marking(store, pepper, reference, clock)
    return RecordedKeyAdmin(store, pepper, clock, chance, told, rolebook=rolebook, acts=acts)
