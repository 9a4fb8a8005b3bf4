"""Agno's AgentOS with the agents that are measured, without a database, telemetry off."""

import os

from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from agno.os import AgentOS

MODELS = {"paced": "sim-text?tokens=20&pace_ms=10", "held": "sim-text?tokens=900&pace_ms=200"}


def agent(name: str, model: str) -> Agent:
    """One agent."""
    return Agent(
        id=name,
        name=name,
        model=OpenAILike(id=model, base_url=os.environ["SIM_URL"], api_key="sk-provider"),
        instructions=os.environ["BENCH_PROMPT"],
        telemetry=False,
    )


app = AgentOS(
    agents=[agent(name, model) for name, model in MODELS.items()], telemetry=False, auto_provision_dbs=False
).get_app()
