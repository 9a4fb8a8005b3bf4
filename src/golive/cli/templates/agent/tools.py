"""The agent's tools: every public function here is one. Types and docstrings become what the model is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from golive.tools.context import ToolContext

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@asynccontextmanager
async def lifespan() -> AsyncIterator[dict[str, int]]:
    """Runs once in each worker: open clients and pools here; what it yields is `ctx.state`."""
    bookings: dict[str, int] = {}
    yield bookings


def opening_hours(day: Day) -> str:
    """Tells when the restaurant is open.

    Args:
        day: day of the week.
    """
    return "closed" if day == "monday" else "17:00 to 23:00"


async def book_table(day: Day, people: int, ctx: ToolContext) -> dict[str, str | int]:
    """Books a table.

    Args:
        day: day of the week.
        people: how many will come.
    """
    await asyncio.sleep(0.1)  # stands for a call to another service; functions without `async` run in threads
    ctx.state.setdefault(ctx.idempotency_key, people)  # the same on every retry, so nothing is booked twice
    return {"day": day, "people": people, "tables_booked_here": len(ctx.state)}


def _cancel_booking(ctx: ToolContext) -> str:
    """Takes a call of book_table back; `ctx.undoes` is the key of that call."""
    ctx.state.pop(ctx.undoes, None)
    return "booking cancelled"
