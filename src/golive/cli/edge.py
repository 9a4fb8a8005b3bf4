"""What a served application is made of, for commands that serve: the gateway, and browsers' sessions before it."""

from golive.app import Server
from golive.gateway.secure_headers import Application


def application(server: Server) -> Application:
    """Of a server that has started."""
    browsers = server.security.browsers
    return server.gateway if browsers is None else browsers.before(server.gateway)
