"""An agent of Pydantic AI that pays and mails, behind FastAPI: as it is, or with DBOS under it (DURABLE=dbos).

With DBOS as its documentation shows: `DBOSDurability` on the agent, `agent.run` inside a `@DBOS.workflow`, each tool a
`@DBOS.step`; SQLite as the system database. What was interrupted is recovered by `DBOS.launch`.
"""

import asyncio
import os
import uuid
from typing import Any

from durable_tools import act
from fastapi import FastAPI, HTTPException
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

WITH_DBOS = os.environ.get("DURABLE") == "dbos"
provider = OpenAIProvider(base_url=os.environ["SIM_URL"], api_key="sk-provider")
model = OpenAIChatModel("sim-clerk", provider=provider)
app = FastAPI()

if WITH_DBOS:
    from dbos import DBOS
    from pydantic_ai.durable_exec.dbos import DBOSDurability

    DBOS(config={
        "name": "bench", "system_database_url": f"sqlite:///{os.environ['STATE']}/dbos.sqlite",
        "application_version": "1", "log_level": "WARNING",
    })  # fmt: skip
    agent = Agent(model, name="clerk", system_prompt=os.environ["BENCH_PROMPT"], capabilities=[DBOSDurability()])

    @agent.tool_plain
    @DBOS.step()
    async def pay() -> str:
        """Pays for the order."""
        return await asyncio.to_thread(act, "pay", f"{DBOS.workflow_id}/pay")

    @agent.tool_plain
    @DBOS.step()
    async def mail() -> str:
        """Mails the receipt."""
        return await asyncio.to_thread(act, "mail", f"{DBOS.workflow_id}/mail")

    @DBOS.workflow()
    async def answer(text: str) -> str:
        """One durable run."""
        return (await agent.run(text)).output

    @app.post("/run")
    async def begin() -> dict[str, str]:
        """Begins a run."""
        handle = await DBOS.start_workflow_async(answer, "Please.")
        return {"run": handle.workflow_id}

    @app.get("/run/{run}")
    async def show(run: str) -> dict[str, Any]:
        """How it stands."""
        status = await DBOS.get_workflow_status_async(run)
        if status is None:
            raise HTTPException(404)
        done = status.status == "SUCCESS"
        return {"state": "completed" if done else status.status.lower(), "text": status.output if done else ""}

    DBOS.launch()
else:
    agent = Agent(model, name="clerk", system_prompt=os.environ["BENCH_PROMPT"])
    running: dict[str, asyncio.Task[str]] = {}

    @agent.tool
    async def pay(ctx: RunContext) -> str:
        """Pays for the order."""
        return await asyncio.to_thread(act, "pay", str(ctx.tool_call_id))

    @agent.tool
    async def mail(ctx: RunContext) -> str:
        """Mails the receipt."""
        return await asyncio.to_thread(act, "mail", str(ctx.tool_call_id))

    async def answer(text: str) -> str:
        """One run."""
        return (await agent.run(text)).output

    @app.post("/run")
    async def begin() -> dict[str, str]:
        """Begins a run."""
        run = uuid.uuid4().hex
        running[run] = asyncio.create_task(answer("Please."))
        return {"run": run}

    @app.get("/run/{run}")
    async def show(run: str) -> dict[str, Any]:
        """How it stands."""
        if run not in running:
            raise HTTPException(404)
        task = running[run]
        return {"state": "completed" if task.done() else "running", "text": task.result() if task.done() else ""}


@app.get("/health")
async def health() -> dict[str, str]:
    """Answers."""
    return {"status": "ok"}
