"""`golive login-link`: a link that logs a browser in, once."""

import os
from typing import Annotated

import typer

from golive.cli.options import ConfigOption
from golive.tenants.sealed_slips import LINK_TTL_S

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
    from golive.config.load import load
    from golive.config.secrets import Secrets
    from golive.core.chance import SystemChance
    from golive.core.clock import SystemClock
    from golive.core.errors import ConfigError
    from golive.tenants.rolebook import Rolebook
    from golive.tenants.sealed_slips import Link, Slips

    loaded = load(config, os.environ)
    server = loaded.config.server
    if not server.sessions.enabled:
        raise ConfigError(
            "server.sessions.enabled is false: no browser can log in.", remedy="Set it to true.",
            key="server.sessions.enabled", value=False,
        )  # fmt: skip
    Rolebook(loaded.config.roles).text(role, ())  # whether there is such a role
    chance = SystemChance()
    slips = Slips(Secrets(loaded.root, os.environ).pepper(loaded.config.secrets.pepper, chance))
    link = Link(tenant, chance.token(8).hex(), role, SystemClock().now() + ttl)
    if url is None:
        running = known_server(config, None, None)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 - read, never bound
        shown = f"[{host}]" if ":" in host else host
        url = running.url if running else f"{'https' if server.tls.cert else 'http'}://{shown}:{server.port}"
    typer.echo(f"{url.rstrip('/')}/login#{slips.seal_link(link, chance)}")
    typer.echo(f"Works once, within {ttl:g} s, as {role} of {tenant}. It is shown this once.", err=True)
