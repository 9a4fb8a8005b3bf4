"""Sabotages of who may do what; see `broken_server.py`."""

from typing import Any


def permits() -> None:
    """Whoever has a valid key may everything."""
    from golive.gateway import permit, server
    from golive.tenants.authorize import Decision

    def allow(*_: Any) -> Decision:
        return Decision(True, "sabotaged")

    permit.authorize = server.authorize = allow  # type: ignore[assignment]


def unscoped() -> None:
    """A key's scopes are kept, shown, and heeded by nobody."""
    from golive.tenants.rolebook import Rolebook

    real = Rolebook.held
    Rolebook.held = lambda self, text: real(self, text.split(" ")[0])  # type: ignore[method-assign]


def whole_lists() -> None:
    """Lists show everything of the tenant, whoever asks."""
    from golive.gateway import permit

    permit.reach_of = lambda principal, verb: lambda name: True


def forgotten_run() -> None:
    """What a path names as a run is not looked up: of which agent it is, nobody asks."""
    from golive.runtime.service import Runtime

    async def owner_of(self: Any, tenant: str, run: str) -> tuple[str, None]:
        return "", None

    Runtime.owner_of = owner_of  # type: ignore[method-assign]


def generous() -> None:
    """Whoever may make keys may make any."""
    from golive.tenants.keys import KeyAdmin

    KeyAdmin._exceeding = lambda self, by, role: None  # type: ignore[method-assign]
