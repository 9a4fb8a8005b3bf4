"""`golive login-link`: a link that logs a browser in, once."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from golive.cli.options import ConfigOption
from golive.tenants.sealed_slips import LINK_TTL_S

if TYPE_CHECKING:
    from golive.config.load import Loaded
    from golive.tenants.sealed_slips import Link

MOST_S = 3_600.0


def login_link(
    config: ConfigOption = None,
    role: Annotated[str, typer.Option(help="What the browser may.")] = "viewer",
    ttl: Annotated[float, typer.Option(help="Seconds within which it must be opened.", min=1, max=MOST_S)] = LINK_TTL_S,
    tenant: Annotated[str, typer.Option(help="Whose data it sees.")] = "default",
    url: Annotated[
        str | None, typer.Option("--url", help="Where the browser finds the server.", show_default="as configured")
    ] = None,
) -> None:
    """Make a link that logs a browser in, once; whoever has it, has the role, so hand it on as you would a key."""
    from golive.cli.client import known_server
    from golive.cli.running import run
    from golive.config.load import load
    from golive.core.chance import SystemChance
    from golive.core.clock import SystemClock
    from golive.core.errors import ConfigError
    from golive.tenants.rolebook import Rolebook
    from golive.tenants.sealed_slips import Link

    loaded = load(config, os.environ)
    server = loaded.config.server
    if not server.sessions.enabled:
        raise ConfigError(
            "server.sessions.enabled is false: no browser can log in.", remedy="Set it to true.",
            key="server.sessions.enabled", value=False,
        )  # fmt: skip
    Rolebook(loaded.config.roles).text(role, ())  # whether there is such a role
    chance = SystemChance()
    link = Link(tenant, chance.token(8).hex(), role, SystemClock().now() + ttl)
    sealed = run(_recorded(loaded, link, ttl))
    if url is None:
        running = known_server(config, None, None)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 - read, never bound
        shown = f"[{host}]" if ":" in host else host
        here = f"{'https' if server.tls.cert else 'http'}://{shown}:{server.port}"
        url = server.public_url or (running.url if running else here)
    typer.echo(f"{url.rstrip('/')}/login#{sealed}")
    typer.echo(f"Works once, within {ttl:g} s, as {role} of {tenant}. It is shown this once.", err=True)


async def _recorded(loaded: "Loaded", link: "Link", ttl_s: float) -> str:
    """The link, sealed, once it stands in the audit log that it was made: nobody gets one that does not."""
    from golive.audit.acting import acting
    from golive.config.secrets import Secrets
    from golive.core.chance import SystemChance
    from golive.core.clock import SystemClock
    from golive.core.errors import NotFound
    from golive.store.opening import open_store
    from golive.tenants.authorize import INSTALLATION
    from golive.tenants.pepper import pepper_of
    from golive.tenants.sealed_slips import Slips

    clock, chance, config = SystemClock(), SystemChance(), loaded.config
    secrets = Secrets.of(loaded.root, os.environ, config.secrets, clock)
    store = await open_store(config.store.url, loaded.root, clock)
    try:
        if link.tenant != INSTALLATION and await store.tenant(link.tenant).tenant_row() is None:
            raise NotFound(
                f"There is no tenant {link.tenant!r}.", remedy="`golive tenants list` shows them.", field="tenant",
                value=link.tenant,
            )  # fmt: skip
        slips = Slips(await pepper_of(store, secrets, loaded.root, config.secrets.pepper, chance, clock))
        told = {"role": link.role, "ttl_s": f"{ttl_s:g}"}
        async with (
            acting(loaded, secrets, store.audit, clock, chance) as acts,
            acts.act("sessions.link", "login-link", link.id, link.tenant, **told),
        ):
            return slips.seal_link(link, chance)
    finally:
        await store.close()
