"""What can be asked for: the agents of the tenant, and everything that may stand as `model` on the OpenAI face."""

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from golive.core.errors import NotFound
from golive.gateway.exchange import Exchange
from golive.gateway.permit import reach
from golive.gateway.routes import Answer, Param, Route
from golive.models.listing import ListedPrice, ModelInfo, Whose
from golive.runtime.api import AgentInfo
from golive.runtime.service import Runtime


class AgentList(Struct, frozen=True):
    data: list[AgentInfo]


class Model(Struct, frozen=True, kw_only=True):
    """OpenAI's model object, and for a provider's model what is known of it. `owned_by` is "golive" for an agent, else
    the provider's name; sizes are tokens, and what is not known is left out. `credential`: with whose the tenant's
    calls go to the provider, its own or the installation's; "none": it has none, and they are refused."""

    id: str
    owned_by: str
    created: int = 0
    object: Literal["model"] = "model"
    dialect: str | UnsetType = UNSET
    capabilities: tuple[str, ...] | UnsetType = UNSET
    context_window: int | UnsetType = UNSET
    max_output_tokens: int | UnsetType = UNSET
    price: ListedPrice | UnsetType = UNSET
    credential: Whose | UnsetType = UNSET


class ModelList(Struct, frozen=True):
    data: list[Model]
    object: Literal["list"] = "list"


class Catalogue:
    """Handlers of /v1/agents and /v1/models."""

    def __init__(self, runtime: Runtime, models: Callable[[str], Sequence[ModelInfo]]) -> None:
        """`models` gives the providers' models that are configured, for a tenant."""
        self._runtime = runtime
        self._models = models

    async def agents(self, exchange: Exchange) -> None:
        """GET /v1/agents"""
        await exchange.json(AgentList(self._agents(exchange)))

    async def agent(self, exchange: Exchange) -> None:
        """GET /v1/agents/{agent}"""
        name = exchange.params["agent"]
        agents = self._agents(exchange)
        for info in agents:
            if info.name == name:
                await exchange.json(info)
                return
        known = ", ".join(info.name for info in agents) or "none"
        raise NotFound(
            f"There is no agent {name!r}.", remedy=f"Agents served here: {known}.", field="agent", value=name
        )

    async def models(self, exchange: Exchange) -> None:
        """GET /v1/models"""
        await exchange.json(ModelList(self._all(exchange)))

    async def model(self, exchange: Exchange) -> None:
        """GET /v1/models/{model}"""
        wanted = exchange.params["model"]
        for model in self._all(exchange):
            if model.id == wanted:
                await exchange.json(model)
                return
        raise NotFound(
            f"There is no model {wanted[:120]!r} in the list.",
            remedy="`golive models` (GET /v1/models) lists those known; others of a configured provider work by name.",
            field="model",
            value=wanted[:120],
        )

    def _agents(self, exchange: Exchange) -> list[AgentInfo]:
        """Those that who asks may see."""
        seen = reach(exchange, "agents.read", "agent")
        return [info for info in self._runtime.agents(exchange.principal.tenant) if seen(info.name)]

    def _all(self, exchange: Exchange) -> list[Model]:
        """Agents and models that who asks may see."""
        seen = reach(exchange, "models.read", "model")
        tenant = exchange.principal.tenant
        agents = [Model(id=info.name, owned_by="golive") for info in self._runtime.agents(tenant)]
        return [model for model in agents + [_model(info) for info in self._models(tenant)] if seen(model.id)]

    def routes(self) -> list[Route]:
        """All routes of this face."""
        agent = Param("agent", "path", "The agent's name.")
        model = Param("model", "path", "An agent's name, or provider/model.")
        return [
            Route(
                "GET", "/v1/agents", "agents.read", self.agents, "List agents", kind="agent", narrows=True,
                tag="Agents and models",
                answers=(Answer(200, "The agents served here.", AgentList),),
            ),
            Route(
                "GET", "/v1/agents/{agent}", "agents.read", self.agent, "Show an agent", kind="agent",
                tag="Agents and models", params=(agent,), answers=(Answer(200, "The agent's card.", AgentInfo),),
            ),
            Route(
                "GET", "/v1/models", "models.read", self.models, "List models, in OpenAI's shape", kind="model",
                tag="Agents and models", face="openai", narrows=True,
                answers=(Answer(200, "Agents and models.", ModelList),),
            ),
            Route(
                "GET", "/v1/models/{model...}", "models.read", self.model, "Show a model, in OpenAI's shape",
                kind="model", tag="Agents and models", params=(model,), face="openai",
                answers=(Answer(200, "The model.", Model),),
            ),
        ]  # fmt: skip


def _model(info: ModelInfo) -> Model:
    return Model(
        id=info.id,
        owned_by=info.provider,
        dialect=info.dialect,
        capabilities=info.capabilities,
        context_window=info.context_window or UNSET,
        max_output_tokens=info.max_output_tokens or UNSET,
        price=info.price or UNSET,
        credential=info.credential,
    )
