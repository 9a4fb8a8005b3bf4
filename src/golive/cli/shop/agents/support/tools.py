"""The support agent's tools, over a small SQLite database of a shop."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from pydantic import Field

from golive.tools.context import ToolContext

OrderId = Annotated[str, Field(pattern=r"^[A-Z]-\d{4}$", description="Order number, such as A-1042")]

SHOP = """
CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT, product TEXT, paid_usd REAL, status TEXT, arrives TEXT);
INSERT INTO orders VALUES
  ('A-1042', 'ada@example.com', 'Birch standing desk', 429.00, 'shipped', '2026-11-25'),
  ('A-1043', 'ada@example.com', 'Pixel desk lamp', 59.00, 'delivered', '2026-11-12'),
  ('B-2001', 'bo@example.com', 'Oak monitor shelf', 89.00, 'in preparation', '2026-11-30');
CREATE TABLE products (name TEXT PRIMARY KEY, price_usd REAL, in_stock INTEGER);
INSERT INTO products VALUES
  ('Birch standing desk', 429.00, 7), ('Pixel desk lamp', 59.00, 31), ('Oak monitor shelf', 89.00, 0);
CREATE TABLE refunds (idempotency_key TEXT PRIMARY KEY, order_id TEXT, amount_usd REAL);
"""


@asynccontextmanager
async def lifespan() -> AsyncIterator[sqlite3.Connection]:
    """Opened once in each worker process; what it yields is `ctx.state`."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.row_factory = sqlite3.Row
    database.executescript(SHOP)
    yield database
    database.close()


def find_order(order_id: OrderId, ctx: ToolContext) -> dict[str, object]:
    """Looks an order up: product, price, status and day of arrival.

    Args:
        order_id: the order's number.
    """
    row = ctx.state.execute("SELECT * FROM orders WHERE id = ?", (order_id,)).fetchone()
    if row is None:
        raise LookupError(f"there is no order {order_id}")
    return dict(row)


async def find_products(kind: Literal["desk", "lamp", "shelf"], ctx: ToolContext) -> list[dict[str, object]]:
    """Looks products up in the catalogue; tells price and stock.

    Args:
        kind: what sort of product.
    """
    await asyncio.sleep(0.05)  # where a real catalogue would be asked over the network
    rows = ctx.state.execute("SELECT * FROM products WHERE name LIKE ?", (f"%{kind}",)).fetchall()
    return [dict(row) for row in rows]


def refund(order_id: OrderId, amount_usd: Annotated[float, Field(gt=0)], ctx: ToolContext) -> dict[str, object]:
    """Refunds an order: pays money back to the customer, once.

    Args:
        order_id: the order's number.
        amount_usd: how much, in US dollars; at most what was paid.
    """
    paid = ctx.state.execute("SELECT paid_usd FROM orders WHERE id = ?", (order_id,)).fetchone()
    if paid is None or amount_usd > paid["paid_usd"]:
        raise ValueError(f"{amount_usd:.2f} USD cannot be refunded on {order_id}")
    # The key is the same on every retry of this call, so the payment is made once, whatever happens.
    values = (ctx.idempotency_key, order_id, amount_usd)
    ctx.state.execute("INSERT OR IGNORE INTO refunds VALUES (?, ?, ?)", values)
    return {"order_id": order_id, "refunded_usd": amount_usd}


def _refund_made(ctx: ToolContext) -> dict[str, object] | None:
    """Tells whether a call of `refund` paid, and what it returned; asked where a crash took the outcome."""
    key = (ctx.idempotency_key,)
    row = ctx.state.execute("SELECT * FROM refunds WHERE idempotency_key = ?", key).fetchone()
    return None if row is None else {"order_id": row["order_id"], "refunded_usd": row["amount_usd"]}


def _take_refund_back(ctx: ToolContext) -> str:
    """Takes a refund back, where its run is cancelled with undo."""
    taken = ctx.state.execute("DELETE FROM refunds WHERE idempotency_key = ?", (ctx.undoes,)).rowcount
    return "refund taken back" if taken else "there was no refund"
