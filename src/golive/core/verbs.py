"""What can be permitted, by name: the words that routes, roles, keys and golive.toml have in common."""

from typing import Literal, get_args

Verb = Literal[
    "agents.read", "models.read", "models.call", "runs.create", "runs.read", "runs.cancel", "keys.read", "keys.manage",
    "config.read", "health.read", "metrics.read", "docs.read",
    "breakers.reset", "runs.resume", "runs.decide",
    "schedules.read", "schedules.run", "webhooks.read", "webhooks.send",
    "tenants.read", "tenants.manage", "users.read", "users.manage", "credentials.read", "credentials.manage",
    "secrets.read", "secrets.manage", "audit.read",
]  # fmt: skip
VERBS: tuple[Verb, ...] = get_args(Verb)

WHOLE: frozenset[Verb] = frozenset({
    "config.read", "metrics.read", "breakers.reset", "tenants.read", "tenants.manage", "users.read", "users.manage",
    "credentials.read", "credentials.manage", "secrets.read", "secrets.manage", "audit.read",
})  # fmt: skip
"""Verbs on a tenant, or the installation, as a whole: a grant that is limited to some agents does not give them."""

BUILT_IN_ROLES = ("viewer", "user", "operator", "developer", "admin", "platform")
"""The roles that every installation has."""

PATTERN = r"^(\*|[A-Za-z0-9][A-Za-z0-9._:/@-]{0,198}\*?)$"
"""A name of a tool or model, or the beginning of one with `*` behind it."""
AGENT_PATTERN = r"^(\*|[a-z][a-z0-9_-]{0,62}\*?)$"
"""Likewise of an agent."""
