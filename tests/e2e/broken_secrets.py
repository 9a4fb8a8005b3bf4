"""What is taken out of a server's keeping of secrets, by name (see broken_server.py)."""

import asyncio
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
    """A server takes in what was revoked a second and a half after it could have known."""
    from golive.guards.secret_keeper import SecretKeeper

    real = SecretKeeper._read_store

    async def read_store(self: Any) -> None:
        if self._version >= 0 and await self._store.control_version() != self._version:
            await asyncio.sleep(1.5)
        await real(self)

    SecretKeeper._read_store = read_store  # type: ignore[method-assign]


def tenant_keys_unused() -> None:
    """Every tenant's calls go with the installation's credentials."""
    from golive.models.own_credentials import OwnCredentials

    OwnCredentials.along = lambda self, chain, tenant: None  # type: ignore[method-assign]


def tenant_keys_lent() -> None:
    """A tenant without a credential is served with the installation's, whatever the provider's settings say."""
    from golive.models.own_credentials import OwnCredentials

    real = OwnCredentials.__init__

    def init(self: Any, credential_of: Any, only_own: Any, budget: Any) -> None:
        real(self, credential_of, (), budget)

    OwnCredentials.__init__ = init  # type: ignore[method-assign]


def tenant_keys_mixed() -> None:
    """The credential of whoever asked first is every other tenant's who has one."""
    from golive.models.own_credentials import OwnCredentials

    real = OwnCredentials.along
    first: list[str] = []

    def along(self: Any, chain: Any, tenant: str) -> Any:
        if any(self.reference(tenant, provider) for provider in chain.providers):
            first.append(tenant)
            return real(self, chain, first[0])
        return real(self, chain, tenant)

    OwnCredentials.along = along  # type: ignore[method-assign]
