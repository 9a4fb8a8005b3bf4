"""What may stand in [roles.NAME] of golive.toml: roles of one's own."""

from typing import Annotated

from pydantic import Field

from golive.config.section import Name, Section
from golive.core.verbs import AGENT_PATTERN, PATTERN, Verb

Pattern = Annotated[str, Field(pattern=PATTERN)]
AgentPattern = Annotated[str, Field(pattern=AGENT_PATTERN)]


class RoleConfig(Section):
    """[roles.NAME]: a role beside viewer, user, operator, developer, admin and platform.

    A pattern is a name, or the beginning of one with `*` behind it. Where agents are named and no models, no models may
    be called, and the other way round. A role that is limited to some of them cannot have verbs that count on a whole
    tenant, such as `metrics.read`.
    """

    like: Name | None = None
    """A role whose verbs this one has too, within the limits of both."""
    verbs: tuple[Verb, ...] = ()
    """What it may, beside what `like` may: `runs.create`, `runs.read` …; docs/security/access.md lists them."""
    agents: tuple[AgentPattern, ...] | None = None
    """The agents it counts on, such as `["support", "shop-*"]`; all, or those of `like`, when absent."""
    models: tuple[Pattern, ...] | None = None
    """The models `provider/model` it counts on, such as `["openai/*"]`; likewise."""
    tools: tuple[Pattern, ...] | None = None
    """The tools it counts on; likewise."""
    own_runs: bool | None = None
    """Whether people who log in with this role see and steer their own runs only, as those of role `user` do. As `like`
    has it when absent, and without `like`: true. Keys see the runs of all their tenant's users."""
