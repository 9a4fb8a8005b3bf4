"""What the faces of the server and the runtime say to each other: a run asked for, a run's result, an agent's card."""

from typing import Any

from msgspec import Struct

from golive.core.events import DecisionRequested, Missing, OnDisconnect, Outcome, State
from golive.core.messages import Message, ToolSpec, Usage
from golive.runtime.routing import Routing
from golive.tenants.authorize import Principal
from golive.tools.toolset import OnUnknown


class RunRequest(Struct, frozen=True, kw_only=True):
    """A run as asked for. `background`: nobody need watch; `headers` reach a provider named `sim` only."""

    agent: str
    input: tuple[Message, ...]
    principal: Principal
    user: str | None = None
    """The tenant's user whom it is for; None: nobody in particular."""
    conversation: str | None = None
    on_disconnect: OnDisconnect | None = None
    background: bool = False
    deadline_s: float | None = None
    max_steps: int | None = None
    metadata: dict[str, str] = {}
    headers: tuple[tuple[str, str], ...] = ()
    unbroken: bool = False
    """Whoever follows the run cannot take back text that was shown."""
    languages: tuple[str, ...] = ()
    """What the user reads, the best first, as language tags (`de`, `pt-BR`)."""
    schedule: str = ""
    """The schedule that begins the run."""
    retry_of: str = ""
    forked_from: str = ""


class RunResult(Struct, frozen=True, kw_only=True):
    """A run as it stands: the answer so far, how it ended, what it took. Also the data of the last frame.

    `text` is everything on the answer channel; `output` the parsed JSON where the tier declares a schema; `message`
    says in the user's words why an answer is not whole; `version` is the digest. Times are seconds since the epoch.
    `estimated`: what a provider did not report (a call that was cut or given up) is in usage and cost at its bound.
    `saved_microusd`: what the run would have cost more without any cache, the providers' or ours.
    `missing`: what the run was to give and does not, named for programs; `message` says it in words.
    `retry_after_s`: how long after its end a new run may be answered, where a provider or a circuit breaker said so.
    """

    run: str
    agent: str
    version: str
    version_name: str
    conversation: str | None
    state: State
    outcome: Outcome | None
    reason: str | None
    message: str
    text: str
    output: Any
    usage: Usage
    cost_microusd: int
    priced: bool
    estimated: bool
    saved_microusd: int = 0
    steps: int
    tool_calls: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    metadata: dict[str, str]
    missing: tuple[Missing, ...] = ()
    retry_after_s: float | None = None
    schedule: str | None = None
    """The schedule that began the run, where one did."""
    retry_of: str | None = None
    forked_from: str | None = None
    user: str | None = None
    """The tenant's user whom the run is for, where one was named."""
    decisions: tuple[DecisionRequested, ...] = ()
    """What the run waits for a person to decide (`state` is then "waiting")."""


class ToolEffects(Struct, frozen=True):
    """What a tool declares of its effects: whether a call whose outcome was lost may be carried out again, whether
    it can be asked for, whether a call can be taken back, and what becomes of one that stays unknown (null: a person is
    asked after a server's end, the model told in a server that lives)."""

    idempotent: bool
    status: bool
    undo: bool
    on_unknown: OnUnknown = None


class AgentInfo(Struct, frozen=True, kw_only=True):
    """An agent as lists show it. `tiers` maps each tier to its chain of targets; `version` is the digest; `routing` is
    null where one tier answers everything; `effects` goes by the tool's name."""

    name: str
    version_name: str
    version: str
    description: str
    tiers: dict[str, tuple[str, ...]]
    tools: tuple[ToolSpec, ...]
    effects: dict[str, ToolEffects]
    max_steps: int
    deadline_s: float
    routing: Routing | None = None
