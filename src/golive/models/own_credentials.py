"""Tenants' own credentials: through which lanes a chain asks for a tenant that has some, and whom it may not ask.

A lane with a tenant's credential has a gate of its own, and the tenant's calls a budget of retries of their own: a bad
key, or one whose rate is used up, is nobody else's trouble. Owns the choice; which credential a tenant has the caller
says (`CredentialOf`), for each call anew.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

from golive.core.backoff import RetryBudget
from golive.models.call import Skipped
from golive.models.course import Chained, ChainTarget
from golive.models.listing import Whose

CredentialOf = Callable[[str, str], str | None]
"""The reference to a tenant's own credential for a provider; None: it has none."""

MAX_CHAINS = 4_000
"""Chains with tenants' own lanes that are kept ready; the longest unused makes way, and is made anew when asked for."""
MAX_BUDGETS = 4_000
"""Tenants whose budget of retries is kept."""


class Chosen(NamedTuple):
    """A chain as one tenant's calls go along it. `budget` of retries: the tenant's own; None: that of all."""

    chain: Chained
    budget: RetryBudget | None


def nobodys(tenant: str, provider: str) -> None:
    """No tenant has a credential of its own."""


class OwnCredentials:
    """Chooses; one for all chains."""

    def __init__(
        self, credential_of: CredentialOf, only_own: Collection[str], budget: Callable[[], RetryBudget]
    ) -> None:
        """Takes what decides.

        Args:
            only_own: the providers that are asked with tenants' own credentials alone.
            budget: makes one for a tenant.
        """
        self._credential_of = credential_of
        self._only_own = frozenset(only_own)
        self._budget = budget
        self._chains: dict[tuple[Chained, tuple[str | None, ...]], Chained] = {}
        self._budgets: dict[str, RetryBudget] = {}

    def reference(self, tenant: str, provider: str) -> str | None:
        """The tenant's own credential for a provider."""
        return self._credential_of(tenant, provider)

    def refused(self, tenant: str, provider: str) -> bool:
        """Whether the provider is not asked for this tenant, for want of a credential of its own."""
        return provider in self._only_own and self._credential_of(tenant, provider) is None

    def whose(self, tenant: str, provider: str) -> Whose:
        """With whose credential the tenant's calls go to a provider."""
        if self._credential_of(tenant, provider) is not None:
            return "tenant"
        return "none" if provider in self._only_own else "installation"

    def budget_of(self, tenant: str, provider: str) -> RetryBudget | None:
        """The budget of a tenant's calls with its own credential; None: it has none for the provider."""
        return None if self._credential_of(tenant, provider) is None else self._kept_budget(tenant)

    def _kept_budget(self, tenant: str) -> RetryBudget:
        budget = self._budgets.get(tenant)
        if budget is None:
            if len(self._budgets) >= MAX_BUDGETS:
                del self._budgets[next(iter(self._budgets))]
            budget = self._budgets[tenant] = self._budget()
        return budget

    def along(self, chain: Chained, tenant: str) -> Chosen | None:
        """The chain as the tenant's calls go along it; targets that may not be asked for it are `left_out`.

        None: as it is, with the budget of all. On every call of every tenant, and therefore quick about it.
        """
        for provider in chain.providers:
            if self._credential_of(tenant, provider) is not None or provider in self._only_own:
                return self._own_way(chain, tenant)
        return None

    def _own_way(self, chain: Chained, tenant: str) -> Chosen:
        own = [self._credential_of(tenant, provider) for provider in chain.providers]
        key = (chain, tuple(own))
        made = self._chains.pop(key, None)
        if made is None:
            if len(self._chains) >= MAX_CHAINS:
                del self._chains[next(iter(self._chains))]
            made = self._made(chain, dict(zip(chain.providers, own, strict=True)))
        self._chains[key] = made
        return Chosen(made, self._kept_budget(tenant) if any(own) else None)

    def forget(self) -> None:
        """Chains are made anew: a gate is no longer kept."""
        self._chains.clear()

    def _made(self, chain: Chained, own: dict[str, str | None]) -> Chained:
        left_out: dict[str, Skipped] = {}

        def asked(targets: tuple[ChainTarget, ...]) -> tuple[ChainTarget, ...]:
            found = []
            for target in targets:
                provider = target.ref.partition("/")[0]
                reference = own[provider]
                if reference is not None and target.lane_of is not None:
                    found.append(target._replace(lanes=(target.lane_of(reference),)))
                elif provider in self._only_own:
                    left_out[target.ref] = Skipped(target.ref, "credential")
                else:
                    found.append(target)
            return tuple(found)

        targets, longer, refused = map(asked, (chain.targets, chain.context_too_long, chain.content_refused))
        return Chained(targets, longer, refused, left_out=tuple(left_out.values()))
