"""`golive models`: what can be asked as `model`, at what price, and what it can do."""

from typing import Any

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run
from golive.cli.show import Column, json_text, table

_COLUMNS = (
    Column("MODEL"), Column("OWNED BY", drop=1), Column("DIALECT", drop=3), Column("CONTEXT", right=True, drop=5),
    Column("INPUT $/M", right=True), Column("CACHED $/M", right=True, drop=2), Column("OUTPUT $/M", right=True),
    Column("CREDENTIAL", drop=6), Column("CAPABILITIES", prose=True, drop=4),
)  # fmt: skip


def models(
    config: ConfigOption = None, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List everything that can be asked as `model`: agents, and models with price, context and capabilities.

    Prices are US dollars a million tokens; `-` is not known.
    """

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            answer: dict[str, Any] = await client.call("GET", "/v1/models")
            return answer

    answer = run(ask())
    if as_json:
        json_text(answer)
        return
    table(
        _COLUMNS,
        [_row(entry) for entry in answer["data"]],
        empty="No agents, and no provider lists `models`; others still work as provider/model.",
    )


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    price = entry.get("price", {})
    return (
        entry["id"], entry["owned_by"], entry.get("dialect", "-"), entry.get("context_window", "-"),
        *(_usd(price.get(f"{part}_usd_per_mtok")) for part in ("input", "cached_input", "output")),
        entry.get("credential", "-"), ", ".join(entry.get("capabilities", ())) or "-",
    )  # fmt: skip


def _usd(amount: float | None) -> str:
    """`2.50`, `0.075`: at least two decimals, and as many as the price has."""
    if amount is None:
        return "-"
    whole, _, decimals = f"{amount:.9f}".rstrip("0").partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"
