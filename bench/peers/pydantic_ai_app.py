"""Pydantic AI behind FastAPI: a streaming endpoint over an Agent, in the way its documentation shows."""

import json
import os
from collections.abc import AsyncIterator
from functools import cache

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

app = FastAPI()
provider = OpenAIProvider(base_url=os.environ["SIM_URL"], api_key="sk-provider")
agent = Agent(system_prompt=os.environ["BENCH_PROMPT"])


class Run(BaseModel):
    """A request."""

    input: str
    model: str


@cache
def model(name: str) -> OpenAIChatModel:
    """One model each, so that its client keeps its connections."""
    return OpenAIChatModel(name, provider=provider)


async def events(run: Run) -> AsyncIterator[str]:
    """The answer as server-sent events."""
    async with agent.run_stream(run.input, model=model(run.model)) as result:
        async for delta in result.stream_text(delta=True, debounce_by=None):
            yield f"data: {json.dumps({'delta': delta})}\n\n"
    yield "data: [DONE]\n\n"


@app.post("/run")
async def start(run: Run) -> StreamingResponse:
    """Runs the agent."""
    return StreamingResponse(events(run), media_type="text/event-stream")


@app.get("/health")
async def health() -> dict[str, str]:
    """Answers."""
    return {"status": "ok"}
