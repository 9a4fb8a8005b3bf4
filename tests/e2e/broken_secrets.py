"""What is taken out of a server's keeping of secrets, by name (see broken_server.py)."""

from typing import Any


def secrets_read_once() -> None:
    """A credential is read at its first use and never again."""
    from golive.config.secrets import Secrets

    real = Secrets.resolve
    kept: dict[str, str] = {}

    def resolve(self: Any, reference: str) -> str:
        if reference not in kept:
            kept[reference] = real(self, reference)
        return kept[reference]

    Secrets.resolve = resolve  # type: ignore[method-assign]


def secrets_not_followed() -> None:
    """A server learns at its start alone what is revoked."""
    from golive.guards import secret_keeper

    secret_keeper.POLL_S = 3_600.0


def secrets_followed_late() -> None:
    """A server asks every two seconds whether anything was revoked."""
    from golive.guards import secret_keeper

    secret_keeper.POLL_S = 2.0
