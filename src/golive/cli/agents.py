"""`golive agents`: what is served here."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run
from golive.cli.show import Column, json_text, table

_COLUMNS = (
    Column("AGENT"), Column("VERSION"), Column("TOOLS", prose=True), Column("CHAINS", prose=True),
    Column("DIGEST", drop=1), Column("DESCRIPTION", prose=True, drop=2),
)  # fmt: skip
_TOOLS = (Column("TOOL"), Column("OUTCOME LOST", drop=1), Column("UNDO", drop=2), Column("DESCRIPTION", prose=True))


def agents(
    name: Annotated[str | None, typer.Argument(help="One agent, with its tools and limits.")] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the agents, their versions, tools and chains of targets; or show one."""

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            path = "/v1/agents" if name is None else f"/v1/agents/{quote(name, safe='')}"
            answer: dict[str, Any] = await client.call("GET", path)
            return answer

    answer = run(ask())
    if as_json:
        json_text(answer)
    elif name is not None:
        _show(answer)
    else:
        table(_COLUMNS, [_row(card) for card in answer["data"]], empty="No agents yet: golive new NAME")


def _row(card: dict[str, Any]) -> tuple[str, ...]:
    tools = ", ".join(tool["name"] for tool in card["tools"]) or "-"
    return (card["name"], card["version_name"], tools, _chains(card), card["version"][:19], card["description"])


def _chains(card: dict[str, Any]) -> str:
    tiers = card["tiers"]
    if list(tiers) == ["default"]:
        return " → ".join(tiers["default"])
    return "; ".join(f"{tier}: {' → '.join(chain)}" for tier, chain in tiers.items())


def _routing(policy: dict[str, Any] | None) -> str:
    if policy is None:
        return "off"
    said = f"{policy['supervisor']} first, {policy['strong']} in doubt"
    if policy["judge"]:
        said += f"; {policy['supervisor']} judges its own answers"
    over = policy["summarise_over"]
    return said if over is None else f"{said}; history over {over:,} characters is condensed"


def _show(card: dict[str, Any]) -> None:
    typer.secho(f"{card['name']} {card['version_name']}", bold=True)
    for title, value in (
        ("description", card["description"] or "-"),
        ("digest", card["version"]),
        ("chains", _chains(card)),
        ("routing", _routing(card.get("routing"))),
        ("limits", f"{card['max_steps']} steps, {card['deadline_s']:g} s"),
    ):
        typer.echo(f"  {title:<12} {value}")
    typer.echo()
    effects = card.get("effects", {})
    rows = [
        (tool["name"], _lost(found), "yes" if found.get("undo") else "-", tool["description"])
        for tool in card["tools"]
        for found in (effects.get(tool["name"], {}),)
    ]
    table(_TOOLS, rows, empty="It has no tools.")


_AT_LAST = {"ask": "a person decides", "tell": "the model is told"}


def _lost(effects: dict[str, Any]) -> str:
    """What becomes of a call of which nobody knows whether it was carried out."""
    ways = [word for key, word in (("status", "asked"), ("idempotent", "called again")) if effects.get(key)]
    if last := _AT_LAST.get(effects.get("on_unknown") or ""):
        ways.append(last)
    return ", else ".join(ways) or "a person decides, or the model is told"
