"""What [roles.NAME] says that cannot be meant."""

from collections.abc import Iterator

from golive.config.access import RoleConfig
from golive.config.contradictions import Origin
from golive.config.problems import Problem
from golive.config.schema import GoliveConfig
from golive.config.suggest import did_you_mean
from golive.config.tree import KeyPath, dotted
from golive.core.verbs import BUILT_IN_ROLES, WHOLE


def access_faults(config: GoliveConfig, origin_of: Origin) -> Iterator[Problem]:
    """All of them."""
    for name, role in config.roles.items():
        path: KeyPath = ("roles", name)
        if name in BUILT_IN_ROLES:
            yield _problem(path, name, origin_of, "is built in, and means the same everywhere.", "Take another name.")
            continue
        yield from _like(config, name, role, origin_of)
        limited = role.agents is not None or role.models is not None or role.tools is not None
        for verb in role.verbs:
            if limited and verb in WHOLE:
                yield _problem(
                    (*path, "verbs"), verb, origin_of,
                    f"names {verb}, which counts on a whole tenant, but the role is limited to some agents or models.",
                    f"Remove {verb}, or the limits, or make two roles.",
                )  # fmt: skip
        if role.like is None and not role.verbs:
            yield _problem(path, "", origin_of, "may nothing.", "Set `verbs`, or `like`.")


def _like(config: GoliveConfig, name: str, role: RoleConfig, origin_of: Origin) -> Iterator[Problem]:
    path: KeyPath = ("roles", name, "like")
    if role.like is None or (role.like in BUILT_IN_ROLES and role.like != "platform"):
        return
    if role.like == "platform":
        yield _problem(
            path, role.like, origin_of, "is platform, which acts in all tenants; no other role can.",
            'Use "admin", which may the same in its own tenant.',
        )  # fmt: skip
        return
    if role.like not in config.roles:
        known = [*BUILT_IN_ROLES, *config.roles]
        yield _problem(
            path, role.like, origin_of, f"names {role.like}, which is no role.", did_you_mean(role.like, known)
        )
        return
    chain = [name]
    at: str | None = role.like
    while at is not None and at in config.roles and at not in chain:
        chain.append(at)
        at = config.roles[at].like
    if at == name:
        around = " -> ".join([*chain, name])
        yield _problem(path, role.like, origin_of, f"leads back to itself ({around}).", "Break the circle.")


def _problem(path: KeyPath, value: str, origin_of: Origin, why: str, remedy: str) -> Problem:
    key = dotted(path)
    return Problem(key, value, origin_of(path), f"`{key}` {why}", remedy)
