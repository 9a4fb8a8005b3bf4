"""Agno's AgentOS with an agent that pays and mails, in the durable ways that its documentation shows.

Checkpoints (`checkpoint="tool-batch"`): a run is written after each round of tools, `/continue` resumes.
DURABLE=queue adds the durable job queue, which wants PostgreSQL or Redis: a run whose server died is begun anew, here
up to three times. DURABLE=runs: a run is written when it is over, as Agno does by default.
"""

import os

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.job_queue import QueueConfig
from agno.models.openai.like import OpenAILike
from agno.os import AgentOS
from agno.run import RunContext
from durable_tools import act

HOW = os.environ.get("DURABLE", "checkpoints")


def pay(run_context: RunContext) -> str:
    """Pays for the order."""
    return act("pay", f"{run_context.run_id}/pay")


def mail(run_context: RunContext) -> str:
    """Mails the receipt."""
    return act("mail", f"{run_context.run_id}/mail")


def database() -> object:
    """Where sessions, and the queue, are kept."""
    if HOW == "queue":
        from agno.db.postgres import PostgresDb

        return PostgresDb(db_url=os.environ["POSTGRES_URL"])
    return SqliteDb(db_file=f"{os.environ['STATE']}/agno.sqlite")


db = database()
agent = Agent(
    id="clerk", name="clerk", tools=[pay, mail], db=db, instructions=os.environ["BENCH_PROMPT"], telemetry=False,
    model=OpenAILike(id="sim-clerk", base_url=os.environ["SIM_URL"], api_key="sk-provider"),
    checkpoint="runs" if HOW == "runs" else "tool-batch",
)  # fmt: skip
queue = (
    QueueConfig(durable=True, max_attempts=3, lock_grace_seconds=3, retry_delay_seconds=0) if HOW == "queue" else None
)
app = AgentOS(agents=[agent], telemetry=False, db=db, queue=queue).get_app()
