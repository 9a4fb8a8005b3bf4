"""Which lanes a chain has for a tenant: its own where it has a credential, none where it must have one."""

import pytest

from golive.core.backoff import RetryBudget
from golive.core.breaker import BreakerPolicy
from golive.models.call import Skipped
from golive.models.capabilities import ModelCapabilities
from golive.models.course import Chained, ChainTarget, Lane
from golive.models.gate import Gate
from golive.models.own_credentials import Chosen, OwnCredentials
from tests.unit.chain_kit import GOOD, Provider, Time

OWN = {("acme", "a"): "file:acme", ("globex", "a"): "file:globex"}


def lane(ref: str, reference: str) -> Lane:
    gate = Gate(ref, reference, BreakerPolicy(5, 30.0, 3), Time(), lambda gate, before: None)
    return Lane(Provider(GOOD), gate)


def target(ref: str) -> ChainTarget:
    return ChainTarget(ref, (lane(ref, "ours"),), ModelCapabilities(), lambda reference: lane(ref, reference))


def credentials_of(chain: Chained) -> dict[str, list[str]]:
    return {each.ref: [lane.gate.credential for lane in each.lanes] for each in chain.targets}


@pytest.fixture
def chain() -> Chained:
    return Chained((target("a/m"), target("b/m")), (target("a/long"),), (target("b/m"),))


def along(choosing: OwnCredentials, chain: Chained, tenant: str) -> Chosen:
    found = choosing.along(chain, tenant)
    assert found is not None
    return found


def own(*only: str) -> OwnCredentials:
    return OwnCredentials(lambda tenant, provider: OWN.get((tenant, provider)), only, lambda: RetryBudget(0.2, 10))


def test_a_tenant_without_any_goes_along_the_chain_as_it_is(chain: Chained) -> None:
    """With the budget of all: nothing is made for the many."""
    assert own().along(chain, "initech") is None


def test_a_tenants_own_stands_in_the_place_of_all_of_the_installations(chain: Chained) -> None:
    """Also where a context is too long; other providers stay; each tenant has its lanes, kept, and its budget."""
    choosing = own()
    acme, globex = along(choosing, chain, "acme"), along(choosing, chain, "globex")
    assert credentials_of(acme.chain) == {"a/m": ["file:acme"], "b/m": ["ours"]}
    assert credentials_of(globex.chain) == {"a/m": ["file:globex"], "b/m": ["ours"]}
    assert acme.chain.context_too_long[0].lanes[0].gate.credential == "file:acme"
    assert acme.chain.content_refused[0] is chain.content_refused[0]
    again = along(choosing, chain, "acme")
    assert (again.chain, again.budget) == (acme.chain, acme.budget)
    assert acme.budget is not None
    assert acme.budget is not globex.budget


def test_targets_that_take_tenants_own_alone_are_left_out_without(chain: Chained) -> None:
    """With the reason; for the empty tenant, too."""
    choosing = own("a")
    for tenant in ("initech", ""):
        found = along(choosing, chain, tenant)
        assert credentials_of(found.chain) == {"b/m": ["ours"]}
        assert found.chain.left_out == (Skipped("a/m", "credential"), Skipped("a/long", "credential"))
        assert found.budget is None
    assert credentials_of(along(choosing, chain, "acme").chain) == {"a/m": ["file:acme"], "b/m": ["ours"]}
    assert [choosing.whose(tenant, "a") for tenant in ("acme", "initech")] == ["tenant", "none"]
    assert [own().whose(tenant, "a") for tenant in ("acme", "initech")] == ["tenant", "installation"]


def test_of_chains_and_budgets_kept_the_longest_unused_makes_way(
    chain: Chained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made anew when asked for again."""
    monkeypatch.setattr("golive.models.own_credentials.MAX_CHAINS", 1)
    monkeypatch.setattr("golive.models.own_credentials.MAX_BUDGETS", 1)
    choosing = own()
    first = along(choosing, chain, "acme")
    assert along(choosing, chain, "acme").chain is first.chain
    along(choosing, chain, "globex")
    assert along(choosing, chain, "acme").chain is not first.chain
    assert (len(choosing._chains), len(choosing._budgets)) == (1, 1)
