"""What a served application is made of, for commands that serve: the gateway, and browsers' sessions before it."""

from collections.abc import Mapping

from golive.app import Server
from golive.config.load import Loaded
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import Clock
from golive.gateway.secure_headers import Application
from golive.gateway.sessions import Sessions
from golive.tenants.sealed_slips import Slips


def application(server: Server, loaded: Loaded, environ: Mapping[str, str], clock: Clock) -> Application:
    """Of a server that has started."""
    config = loaded.config
    if not config.server.sessions.enabled:
        return server.gateway
    chance = SystemChance()
    slips = Slips(Secrets(loaded.root, environ).pepper(config.secrets.pepper, chance))
    return Sessions(
        server.gateway, config.server.sessions, slips=slips, keys=server.security.key_admin,
        used=server.store.revocations, clock=clock, chance=chance, log=server.log,
    )  # fmt: skip
