"""How commands about tenants, users and credentials are carried out: on the store itself, or through a server's API.

On the store they work beside running servers, which learn of it within a second; each act stands in the audit log.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec
import typer

from golive.audit.acting import Acts, acting
from golive.cli.client import Client, connected
from golive.cli.running import run
from golive.config.load import Loaded, load
from golive.config.resolution import Resolution, resolution
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import InvalidRequest
from golive.store.opening import open_store
from golive.store.ports import Store
from golive.tenants.administration import CredentialAdmin, TenantAdmin, UserAdmin
from golive.tenants.authorize import INSTALLATION
from golive.tenants.directory import no_tenant
from golive.tenants.pepper import pepper_of

RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="A server elsewhere, through its API (--ca FILE: whom to trust).", show_default="the store here"
    ),
]
NoteOption = Annotated[str, typer.Option("--note", help="Why, for whoever looks at it later.")]
ConfirmOption = Annotated[str | None, typer.Option("--confirm", help="The name once more: it cannot be undone.")]


class Here(NamedTuple):
    """An installation without a server."""

    tenants: TenantAdmin
    users: UserAdmin
    credentials: CredentialAdmin
    acts: Acts
    stands: Callable[[str], Awaitable[Resolution]]
    """How a reference stands, as this process finds it: of `env:` a server's environment may be another."""

    @asynccontextmanager
    async def act(self, verb: str, kind: str, name: str, tenant: str, **detail: str) -> AsyncIterator[None]:
        """Around an act on what is a tenant's: recorded in that tenant's log, and in the installation's.

        Raises:
            NotFound: there is no such tenant. AuditUnavailable: nothing was done.
        """
        await self.tenants.get(tenant)
        async with AsyncExitStack() as stack:
            for place in dict.fromkeys((tenant, INSTALLATION)):
                more = {} if place == tenant else {"in_tenant": tenant}
                await stack.enter_async_context(self.acts.act(verb, kind, name, place, **detail, **more))
            yield


def carried_out(
    config: Path | None, url: str | None, key: str | None, tenant: str | None,
    here: Callable[[Here], Awaitable[Any]], there: Callable[[Client], Awaitable[Any]],
) -> Any:  # fmt: skip
    """What the API answers, whichever way was taken."""

    async def go() -> Any:
        if url is not None:
            async with connected(config, url, key, tenant) as client:
                return await there(client)
        async with _opened(config) as found:
            return msgspec.to_builtins(await here(found))

    return run(go())


def downloaded(config: Path | None, url: str, key: str | None, tenant: str | None, path: str) -> None:
    """Writes a long answer of a server to standard output, as it comes."""

    async def go() -> None:
        async with connected(config, url, key, tenant) as client:
            async for piece in client.download(path):
                sys.stdout.buffer.write(piece)
        sys.stdout.flush()

    run(go())


def noted(config: Path | None, verb: str, kind: str, name: str, tenant: str, did: str) -> None:
    """Records something that another module does to the store. Raises NotFound: there is no such tenant."""

    async def go() -> None:
        async with _opened(config) as found, found.act(verb, kind, name, tenant, did=did):
            pass

    run(go())


def confirmed_here(name: str, confirm: str | None) -> str:
    """The name, confirmed by an option or by whoever sits at the terminal. Raises InvalidRequest."""
    if confirm is None and sys.stdin.isatty():
        confirm = typer.prompt(f"Erasing cannot be undone. Type {name!r} to go on", err=True, default="")
    if confirm != name:
        raise InvalidRequest(
            f"{name!r} is not erased: it was not confirmed.", remedy=f"Erasing cannot be undone. Add --confirm {name}.",
            field="confirm", value=confirm or "",
        )  # fmt: skip
    return name


def in_path(name: str) -> str:
    """A name as it stands in the path of an address; a user's may hold what separates its parts, and `%`."""
    if name in (".", ".."):  # steps of a path, which clients take before they send it
        return quote(name.replace(".", "%2E"), safe="")
    return quote(quote(name, safe="") if "/" in name or "%" in name else name, safe="")


async def existing(here: Here, tenant: str | None) -> str:
    """The tenant that a command is about. Raises NotFound."""
    name = tenant or INSTALLATION
    if all(row.tenant != name for row in await here.tenants.list()):
        raise no_tenant(name)
    return name


@asynccontextmanager
async def _opened(config: Path | None) -> AsyncIterator[Here]:
    loaded, clock, chance = load(config, os.environ), SystemClock(), SystemChance()
    store = await open_store(loaded.config.store.url, loaded.root, clock)
    try:
        secrets = Secrets(loaded.root, os.environ, aws=loaded.config.secrets.aws, vault=loaded.config.secrets.vault)
        credentials = CredentialAdmin(
            store, clock, providers=lambda: loaded.config.providers,
            allowed=lambda: loaded.config.secrets.tenant_references,
        )  # fmt: skip
        async with acting(loaded, secrets, store.audit, clock, chance) as acts:
            stands = await _stands(loaded, secrets, store, chance)
            yield Here(TenantAdmin(store, clock), UserAdmin(store, clock), credentials, acts, stands)
    finally:
        await store.close()


async def _stands(
    loaded: Loaded, secrets: Secrets, store: Store, chance: SystemChance
) -> Callable[[str], Awaitable[Resolution]]:
    """How references stand; a value that was revoked is known by its fingerprint, under the pepper."""
    revoked = [row.fingerprint for row in await store.fingerprints.rows() if row.revoked_at is not None]
    if revoked:
        await pepper_of(store, secrets, loaded.root, loaded.config.secrets.pepper, chance, SystemClock())
        secrets.revoke(revoked)

    return lambda reference: asyncio.to_thread(resolution, secrets.resolve, reference)
