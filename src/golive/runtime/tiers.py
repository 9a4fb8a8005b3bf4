"""Makes an agent's tiers of its settings."""

from golive.config.agents import LoadedAgent
from golive.models.call import response_format
from golive.models.plane import ModelPlane
from golive.runtime.agent import Tier


def tier_of(agent: LoadedAgent, name: str, plane: ModelPlane) -> Tier:
    """The tier, ready to be asked. One behind which a strong tier stands hands over to it without trying again.

    Raises:
        NotFound: a target has no provider.
    """
    settings, supervises = agent.config.models[name], agent.config.routing.supervisor == name
    return Tier(
        call=plane.chain(settings, hands_over=supervises),
        targets=settings.chain,
        temperature=settings.temperature,
        max_output_tokens=settings.max_output_tokens,
        reasoning_effort=settings.reasoning_effort,
        output_schema=response_format(agent.output_schemas.get(name), name),
        aside=plane.bounded(settings, agent.name) if supervises else None,
    )
