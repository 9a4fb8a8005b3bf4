"""Settings that surely are a mistake, because another one keeps them from ever having an effect: these are refused.

What may be meant, such as a setting that waits for another one, is `idle.py`'s. A value that is the default counts as
not set: nobody asked for it.
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from golive.config.files import Toml
from golive.config.problems import Problem
from golive.config.schema import AgentConfig, GoliveConfig, ProviderConfig, TierConfig
from golive.config.section import Section
from golive.config.tree import KeyPath, dotted

CHAINS = ("chain", "chain_context_too_long", "chain_content_refused")
OPENAI_HOST = "api.openai.com"

Origin = Callable[[KeyPath], str]
"""Says where a path was set ("golive.toml:7")."""


def is_set(section: Section, name: str) -> bool:
    """Whether a setting differs from its default."""
    return bool(getattr(section, name) != type(section).model_fields[name].default)


def idle(path: KeyPath, value: object, origin_of: Origin, why: str, remedy: str) -> Problem:
    """A setting that does nothing, with its value and why not. Of a list, `value` is the entry that does nothing."""
    key = dotted(path)
    if value is None:
        return Problem(key, "", origin_of(path), f"`{key}` {why}", remedy)
    shown = "true" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
    verb = "names" if isinstance(value, str) else "is"
    return Problem(key, shown, origin_of(path), f"`{key}` {verb} {shown}, {why}", remedy)


# ---- golive.toml -----------------------------------------------------------------------------------------------------


def config_contradictions(config: GoliveConfig, origin_of: Origin) -> list[Problem]:
    """What golive.toml and the environment contradict themselves in."""
    found = [*_retry(config, origin_of), *_prefill(config, origin_of)]
    for name, provider in config.providers.items():
        found += _times(("providers", name), provider, ("connect_s", "first_token_s", "between_tokens_s"),
                        provider.call_s, origin_of)  # fmt: skip
        found += _credentials(name, provider, origin_of)
    return found


def _retry(config: GoliveConfig, origin_of: Origin) -> Iterator[Problem]:
    retry = config.retry
    if is_set(retry, "first_s") and retry.first_s > retry.most_s:
        yield idle(
            ("retry", "first_s"), retry.first_s, origin_of,
            f"but no wait is longer than `retry.most_s`, which is {retry.most_s:g}.", "Lower it, or raise the other.",
        )  # fmt: skip
    wanted = next((name for name in ("retries", "relay_retries") if getattr(retry, name)), None)
    if retry.reserve < 1 and wanted is not None:
        yield idle(
            ("retry", "reserve"), retry.reserve, origin_of,
            f"which is never enough for one retry, though `retry.{wanted}` is {getattr(retry, wanted)}.",
            f"Set it to 1 or more, or `retry.{wanted}` to 0.",
        )  # fmt: skip


def _times(path: KeyPath, section: Section, names: tuple[str, ...], call_s: float, origin_of: Origin) -> list[Problem]:
    """Limits of a call's parts that are longer than the whole call may be."""
    why = f"but a whole call may take {call_s:g} s (`call_s`): it is never reached."
    return [
        idle((*path, name), value, origin_of, why, "Lower it, or raise `call_s`.")
        for name in names
        if is_set(section, name) and (value := getattr(section, name)) > call_s
    ]


def _credentials(name: str, provider: ProviderConfig, origin_of: Origin) -> Iterator[Problem]:
    seen = {provider.api_key}
    for reference in provider.more_api_keys:
        if reference in seen:
            yield idle(
                ("providers", name, "more_api_keys"), reference, origin_of,
                "which names a credential a second time: what refuses the one refuses the other.", "Remove it.",
            )  # fmt: skip
        seen.add(reference)


def _prefill(config: GoliveConfig, origin_of: Origin) -> Iterator[Problem]:
    """Providers whose API begins a new answer where others go on."""
    for pattern, section in config.capabilities.items():
        provider = config.providers.get(pattern.partition("/")[0])
        if not section.prefill or provider is None:
            continue
        if provider.dialect == "openai-responses" or urlsplit(provider.base_url).hostname == OPENAI_HOST:
            yield idle(
                ("capabilities", pattern, "prefill"), True, origin_of,
                "but this provider's API never goes on where an assistant's message stops.",
                "Remove it; `continue_instructed` of a tier asks in words instead.",
            )  # fmt: skip


# ---- agent.toml ------------------------------------------------------------------------------------------------------


def agent_contradictions(agent: AgentConfig, config: GoliveConfig, toml: Toml) -> list[Problem]:
    """What agent.toml contradicts itself, or golive.toml, in."""
    found: list[Problem] = []
    for name, tier in agent.models.items():
        path: KeyPath = ("models", name)
        found += [*_chains(path, tier, toml), *_on_break(path, tier, toml), *_budget(path, tier, config, toml)]
        calls = [config.providers[one].call_s for one in _providers(tier) if one in config.providers]
        longest_s = tier.call_s or max(calls, default=None)
        if longest_s is not None:
            found += _times(path, tier, ("first_token_s", "between_tokens_s"), longest_s, toml.origin)
    routing = agent.routing
    for key in ("strong", "wait_s") if routing.supervisor is None else ():
        if is_set(routing, key):
            why = "but without `routing.supervisor` nothing is routed."
            remedy = "Name a cheap tier as `routing.supervisor`, or remove the setting."
            found.append(idle(("routing", key), getattr(routing, key), toml.origin, why, remedy))
    return found


def _providers(tier: TierConfig) -> set[str]:
    return {target.partition("/")[0] for target in tier.chain}


def _chains(path: KeyPath, tier: TierConfig, toml: Toml) -> Iterator[Problem]:
    for name in CHAINS:
        chain = getattr(tier, name)
        twice = next((target for at, target in enumerate(chain) if target in chain[:at]), None)
        if twice is not None:
            why = "which stands there already: one that has failed is passed over."
            yield idle((*path, name), twice, toml.origin, why, "Name it once; `retries` says how often to ask.")
        elif name != "chain" and chain and set(chain) == set(tier.chain):
            why = f"which are the targets of `{dotted((*path, 'chain'))}` itself: nobody else is asked."
            remedy = "Name others, or remove the setting."
            yield idle((*path, name), ", ".join(chain), toml.origin, why, remedy)


def _on_break(path: KeyPath, tier: TierConfig, toml: Toml) -> Iterator[Problem]:
    if tier.continue_instructed and tier.on_break != "continue":
        yield idle(
            (*path, "continue_instructed"), True, toml.origin,
            f"but `on_break` is `{tier.on_break}`: no answer is continued.", "Set that to `continue`, or remove this.",
        )  # fmt: skip


def _budget(path: KeyPath, tier: TierConfig, config: GoliveConfig, toml: Toml) -> Iterator[Problem]:
    """What counts against the budget of retries, where that never holds one."""
    for name in ("retries", "hedge"):
        value = getattr(tier, name)
        if value and config.retry.reserve < 1:
            yield idle(
                (*path, name), value, toml.origin,
                f"but `retry.reserve` of golive.toml is {config.retry.reserve:g}, which is never enough for one.",
                "Set that to 1 or more, or remove this.",
            )  # fmt: skip
