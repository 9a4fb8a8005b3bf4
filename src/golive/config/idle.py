"""Settings that have no effect as things stand, and may be meant all the same: told once, and not refused.

What surely is a mistake is `contradictions.py`'s.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from golive.config.addresses import bare_addresses
from golive.config.agents import LoadedAgent
from golive.config.contradictions import Origin, idle, is_set
from golive.config.problems import Problem
from golive.config.schema import GoliveConfig, TierConfig
from golive.config.suggest import nearest
from golive.config.tree import KeyPath

_WILD = "*?["


def idle_settings(config: GoliveConfig, agents: Mapping[str, LoadedAgent], origin_of: Origin) -> tuple[Problem, ...]:
    """All of them, those of golive.toml first."""
    found = [*_retry(config, agents, origin_of), *_patterns(config, origin_of), *_batch(config, origin_of)]
    found += bare_addresses(config, origin_of)
    for agent in agents.values():
        found += [*_tiers(agent), *_times(agent), *_worker(agent)]
    return tuple(found)


def _retry(config: GoliveConfig, agents: Mapping[str, LoadedAgent], origin_of: Origin) -> Iterator[Problem]:
    retry = config.retry
    tiers = [tier for agent in agents.values() for tier in agent.config.models.values()]
    retries = retry.retries or retry.relay_retries or any(tier.retries for tier in tiers)
    hedges = any(tier.hedge for tier in tiers)
    if not retries:
        for name in ("first_s", "most_s") if hedges else ("first_s", "most_s", "share", "reserve"):
            if is_set(retry, name) and getattr(retry, name):  # 0 says "no retries" once more
                why = "but nothing is tried again: `retry.retries`, `retry.relay_retries` and every tier say 0."
                yield idle(("retry", name), getattr(retry, name), origin_of, why, "Remove it, or allow retries.")
    elif (most := max(retry.retries, retry.relay_retries, *(_most_again(tier) for tier in tiers))) < retry.share:
        why = f"but no call is tried again more than {most} times: it bounds nothing."
        yield idle(("retry", "share"), retry.share, origin_of, why, "Lower it; 0.2 is the default.")
    elif not retry.share:
        why = f"so that after {retry.reserve:g} retries there is none until a restart."
        yield idle(("retry", "share"), retry.share, origin_of, why, "Set it above 0; 0.2 is the default.")


def _most_again(tier: TierConfig) -> int:
    """How often one of its calls may be sent again, a hedge included."""
    return (tier.retries or 0) + tier.hedge


def _patterns(config: GoliveConfig, origin_of: Origin) -> Iterator[Problem]:
    """Sections for a provider that there is not, or for no target at all."""
    for kind in ("capabilities", "prices"):
        for pattern in getattr(config, kind):
            if "/" not in pattern:
                if not any(_matches(pattern, provider) for provider in config.providers):
                    yield _no_target(kind, pattern, config, origin_of)
                continue
            provider = pattern.partition("/")[0]
            if provider in config.providers or any(sign in provider for sign in _WILD):
                continue
            why = f"is for no provider: there is no [providers.{provider}]."
            near = nearest(provider, config.providers)
            remedy = f"Did you mean `{near}`?" if near else "Remove it, or add the provider."
            yield idle((kind, pattern), None, origin_of, why, remedy)


def _matches(pattern: str, provider: str) -> bool:
    """Whether it is that of some target of the provider; `*` may stand for the `/` as well."""
    starts = [end for end in range(1, len(pattern) + 1) if fnmatchcase(f"{provider}/", pattern[:end])]
    return any(end < len(pattern) or pattern.endswith("*") for end in starts)


def _no_target(kind: str, pattern: str, config: GoliveConfig, origin_of: Origin) -> Problem:
    if pattern in config.providers:
        remedy = f"Write `{pattern}/*` for all of the provider's models."
    else:
        remedy = f"Write the provider before it, such as `{next(iter(config.providers), 'PROVIDER')}/{pattern}`."
    why = "is for no target: their names are `provider/model`."
    return idle((kind, pattern), None, origin_of, why, remedy)


def _batch(config: GoliveConfig, origin_of: Origin) -> Iterator[Problem]:
    if any(provider.billing == "batch" for provider in config.providers.values()):
        return
    for pattern, price in config.prices.items():
        if price.batch_discount:
            why = 'but no provider has `billing = "batch"`.'
            path = ("prices", pattern, "batch_discount")
            yield idle(path, price.batch_discount, origin_of, why, "Remove it, or say how the provider bills.")


def _tiers(agent: LoadedAgent) -> Iterator[Problem]:
    """Tiers that nothing asks; `default` must exist where there are several."""
    routing, tiers = agent.config.routing, agent.config.models
    used = {"default"} if len(tiers) > 1 else set(tiers)
    if routing.supervisor is not None:
        used |= {routing.supervisor, routing.strong}
    for name, tier in tiers.items():
        path: KeyPath = ("models", name)
        if name not in used:
            why = "is a tier that is never asked: the loop uses `default`, and [routing] does not name this one."
            yield idle(path, None, agent.origin, why, "Remove it, or route to it.")
        refused = tier.chain_content_refused
        if refused and refused == tier.chain[1:]:
            why = "which is what follows in `chain` anyway."
            path = (*path, "chain_content_refused")
            yield idle(path, ", ".join(refused), agent.origin, why, "Remove it, or name others.")


def _times(agent: LoadedAgent) -> Iterator[Problem]:
    """Limits that the run's own deadline comes before."""
    deadline_s = agent.config.limits.deadline_s
    limits: list[tuple[KeyPath, float | None]] = [
        (("models", name, "call_s"), tier.call_s) for name, tier in agent.config.models.items()
    ]
    limits += [
        (("tools", name, "timeout_s"), tool.timeout_s)
        for name, tool in agent.config.tools.items()
        if is_set(tool, "timeout_s")
    ]
    for path, seconds in limits:
        if seconds is not None and seconds > deadline_s:
            why = f"but a whole run may take {deadline_s:g} s (`limits.deadline_s`): it is never reached."
            yield idle(path, seconds, agent.origin, why, "Lower it, or raise the other.")


def _worker(agent: LoadedAgent) -> Iterator[Problem]:
    worker = agent.config.worker
    if agent.tools_file is not None:
        return
    for name in ("processes", "concurrency", "start_s", "env"):
        if is_set(worker, name):
            value = getattr(worker, name)
            shown = ", ".join(value) if isinstance(value, tuple) else value
            why = "but the agent has no tools.py, so that no worker is started."
            yield idle(("worker", name), shown, agent.origin, why, "Remove it, or write the tools.")
