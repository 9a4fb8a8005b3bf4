"""One version of an agent, ready to run: prompt, tiers of callable models, toolset, limits. Built by `app.py`."""

from collections.abc import Callable

from msgspec import Raw, Struct

from golive.core.errors import NotFound
from golive.core.events import OnDisconnect
from golive.core.messages import Message
from golive.models.call import ModelCall
from golive.runtime.api import AgentInfo, ToolEffects
from golive.runtime.routing import Routing
from golive.runtime.words import Messages, choose
from golive.tools.toolset import EffectRules, Toolset


class Tier(Struct, frozen=True, kw_only=True):
    """A chain of targets as one call, and how it is to be asked. `output_schema` is OpenAI's `response_format` JSON."""

    call: ModelCall
    targets: tuple[str, ...]
    temperature: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: str | None = None
    output_schema: Raw | None = None
    aside: ModelCall | None = None
    """The chain as it is asked by a supervisor whose word can be done without; None: the tier is no supervisor's."""


class Limits(Struct, frozen=True):
    """Hard limits of one run of this version."""

    max_steps: int
    deadline_s: float
    max_tool_calls_per_step: int
    decide_s: float = 86_400.0
    """How long a person's decision is waited for; that is no running time."""


class AgentVersion(Struct, frozen=True, kw_only=True):
    """Immutable; `digest` names its content for good."""

    name: str
    version_name: str
    digest: str
    description: str
    prompt: str
    tiers: dict[str, Tier]
    toolset: Toolset
    limits: Limits
    on_disconnect: OnDisconnect
    messages: Messages = {}
    critical: frozenset[str] = frozenset()
    """Tools without whose result no answer is whole."""
    routing: Routing | None = None
    """None: one tier answers everything."""

    @property
    def default_tier(self) -> str:
        """`default`, or the first declared."""
        return "default" if "default" in self.tiers else next(iter(self.tiers))

    def language(self, wanted: tuple[str, ...]) -> str:
        """The variant of the messages for a reader of these languages, the best first; "" is the one without."""
        return choose(self.messages, wanted)

    def system(self) -> Message:
        """The prompt as the first message of every call."""
        return Message("system", self.prompt)

    def info(self) -> AgentInfo:
        """The card that lists show."""
        return AgentInfo(
            name=self.name,
            version_name=self.version_name,
            version=self.digest,
            description=self.description,
            tiers={name: tier.targets for name, tier in self.tiers.items()},
            tools=self.toolset.specs,
            effects={spec.name: _effects(self.toolset.effects.get(spec.name)) for spec in self.toolset.specs},
            max_steps=self.limits.max_steps,
            deadline_s=self.limits.deadline_s,
            routing=self.routing,
        )


def _effects(rules: EffectRules | None) -> ToolEffects:
    rules = rules or EffectRules()
    return ToolEffects(rules.idempotent, rules.status, rules.undo, rules.on_unknown)


class Agents:
    """The versions that answer now, by agent. A run keeps the version that it began with.

    They belong to the installation, and a tenant uses those that its row in the directory gives it: of others it does
    not learn that there are any.
    """

    def __init__(self, may_use: Callable[[str, str], bool] = lambda tenant, agent: True) -> None:
        """`may_use`: whether a tenant is given an agent."""
        self._may_use = may_use
        self._current: dict[str, AgentVersion] = {}

    def put(self, version: AgentVersion) -> AgentVersion | None:
        """Makes the version the one that answers; returns the one it replaces."""
        before = self._current.get(version.name)
        self._current[version.name] = version
        return before

    def drop(self, name: str) -> AgentVersion | None:
        """Takes the agent out of service; returns its version."""
        return self._current.pop(name, None)

    def served(self) -> list[AgentVersion]:
        """All that the installation serves, by name, whichever tenant they are for."""
        return [self._current[name] for name in sorted(self._current)]

    def get(self, tenant: str, name: str) -> AgentVersion:
        """The version that answers.

        Raises:
            NotFound: the tenant has no agent of that name.
        """
        version = self.of_name(tenant, name)
        if version is None:
            known = ", ".join(each.name for each in self.all(tenant)) or "none"
            raise NotFound(
                f"There is no agent {name!r}.", remedy=f"Agents served here: {known}.", field="agent", value=name
            )
        return version

    def of_digest(self, digest: str) -> AgentVersion | None:
        """The version of that content, where it answers; for a run that began with it, whatever its tenant is given
        meanwhile."""
        return next((version for version in self.served() if version.digest == digest), None)

    def of_name(self, tenant: str, name: str) -> AgentVersion | None:
        """As `get`; None where there is none."""
        version = self._current.get(name)
        return version if version is not None and self._may_use(tenant, name) else None

    def all(self, tenant: str) -> list[AgentVersion]:
        """The tenant's agents, by name."""
        return [version for version in self.served() if self._may_use(tenant, version.name)]

    def targets(self, tenant: str) -> list[str]:
        """Every target `provider/model` in the chains of the tenant's agents, each once."""
        tiers = [tier for version in self.all(tenant) for tier in version.tiers.values()]
        return list(dict.fromkeys(ref for tier in tiers for ref in tier.targets))
