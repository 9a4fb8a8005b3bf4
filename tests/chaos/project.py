"""The project that is served under chaos: two agents, tools with real effects, and a provider whose words are known."""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.ledger import TOOLS

GONE = ("GOLIVE_",)
"""Variables of the caller that must not reach the servers."""
LEASE_S = 3.0
TIMEOUT_S = 4.0
"""Longest call of a tool: less than a worker may be frozen for, more than any call takes otherwise."""

ASKS = "I shall pay for it first, and then write to you. "
WORDS = "Your order left Ghent on Monday; it is with the carrier now, and the receipt for it is in your mail. "
CLERK_TEXT = WORDS * 2 + "That was all, thank you."
TALK_TEXT = WORDS * 2 + "| 2 | lanterns |\n| 2 | wicks |\n" * 3 + "Ask me again, and again, and again on Thursday."
PLAIN_TEXT = (
    "A plain call, which nobody carries on: what it said so far is all that its caller has, should it break off."
)
"""What they say twice is to be there twice, wherever they broke off."""

GOLIVE = """
[server]
disconnect_grace_s = 5
drain_s = 3
heartbeat_s = 2
{server}
[store]
url = "{store}"

[providers.sim]
base_url = "{provider}"
first_token_s = 4
between_tokens_s = 4
connect_s = 2

[retry]
retries = 10
first_s = 0.2
most_s = 1.0
share = 10
reserve = 10000

[breaker]
failures = 1000
open_s = 1

[capabilities."sim/sim-clerk"]
prefill = true

[prices."sim/*"]
input_usd_per_mtok = 1.0
output_usd_per_mtok = 4.0
cached_input_usd_per_mtok = 0.25
cache_write_usd_per_mtok = 1.25
"""
"""The provider is away for 0.8 s at most, which retries outlast. Its circuit is not to open meanwhile: forty clients
fail fifty times in that time, and a run whose only target is not asked ends as failed, which is right and no loss."""
AGENT = """
name = "{name}"
version = "1"
on_disconnect = "continue"

[models.default]
chain = ["sim/{model}"]

[limits]
deadline_s = 600
"""
TOOLS_PY = '''"""Tools whose effects are counted by somebody else."""

import json
import os
import socket
import time

from golive.tools.context import ToolContext


def _ask(ctx: ToolContext, tool: str, **more: object) -> dict:
    who = {{"key": ctx.idempotency_key, "run": ctx.run, "pid": os.getpid()}}
    request = {{"tool": tool, **who, "at": time.time(), **more}}
    with socket.create_connection(("127.0.0.1", {port}), timeout=20) as connection:
        connection.sendall(json.dumps(request).encode() + b"\\n")
        with connection.makefile("rb") as answer:
            return json.loads(answer.readline())


def pay(ctx: ToolContext) -> str:
    """Pays for the order."""
    return f"paid, receipt {{_ask(ctx, 'pay')['receipt']}}"


def mail(ctx: ToolContext) -> str:
    """Mails the receipt."""
    return f"mailed, receipt {{_ask(ctx, 'mail')['receipt']}}"


def mail_status(ctx: ToolContext) -> str | None:
    """Whether the receipt was mailed."""
    return "mailed before" if _ask(ctx, "mail", look=True)["accepted"] else None


def note(ctx: ToolContext) -> str:
    """Writes it into the file of the order."""
    return f"noted, receipt {{_ask(ctx, 'note')['receipt']}}"


def fax(ctx: ToolContext) -> str:
    """Faxes the warehouse."""
    return f"faxed, receipt {{_ask(ctx, 'fax')['receipt']}}"
'''
SCRIPTS: dict[str, dict[str, Any]] = {
    "sim-clerk": {
        "prefill": "continue",
        "turns": [
            {"text": ASKS, "pace_ms": 10, "tool_calls": [{"name": "pay"}]},
            {"tool_calls": [{"name": "mail"}, {"name": "note"}]},
            {"tool_calls": [{"name": "fax"}]},
            {"text": CLERK_TEXT, "pace_ms": 10},
        ],
    },
    "sim-talk": {"text": TALK_TEXT, "pace_ms": 10},
    "sim-plain": {"text": PLAIN_TEXT, "pace_ms": 10},
}
"""What the simulated provider does for each model. A clerk's runs pay, mail, note and fax once each."""


class Expected(NamedTuple):
    """What a run that is completed must have given. `texts`: of its steps that say something, in order."""

    texts: tuple[str, ...]
    tools: tuple[str, ...]


EXPECTED = {
    "clerk": Expected((ASKS, CLERK_TEXT), ("pay", "mail", "note", "fax")),
    "talk": Expected((TALK_TEXT,), ()),
    "sim/sim-plain": Expected((PLAIN_TEXT,), ()),
}


class Abilities(NamedTuple):
    """Which settings the golive under test has; what it lacks is left out of its files."""

    server: frozenset[str]
    tools: frozenset[str]

    @classmethod
    def of(cls, python: Path) -> "Abilities":
        """Asks it."""
        code = (
            "import json\nfrom golive.config.schema import ServerConfig as s, ToolConfig as t\n"
            "print(json.dumps([list(s.model_fields), list(t.model_fields)]))"
        )
        told = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout
        server, tools = json.loads(told)
        return cls(frozenset(server), frozenset(tools))


DECLARED: dict[str, str] = {"pay": "idempotent = true", "note": "idempotent = true", "mail": 'status = "mail_status"'}
"""What agent.toml says of the tools, rightly; nobody can tell of a fax, so a person is asked."""
FALSELY: dict[str, str] = dict.fromkeys(TOOLS, "idempotent = true")
"""What it would say if somebody erred: the outside world repeats mails and faxes."""


def write_project(
    root: Path, abilities: Abilities, provider: str, store: str, ledger_port: int, *, falsely: bool = False
) -> None:
    """Writes golive.toml and the agents `clerk` (with tools) and `talk`; `falsely`: to see that it is found out."""
    server = f"lease_s = {LEASE_S:g}\n" if "lease_s" in abilities.server else ""
    (root / "golive.toml").write_text(GOLIVE.format(server=server, store=store, provider=provider))
    for name, model in (("clerk", "sim-clerk"), ("talk", "sim-talk")):
        folder = root / "agents" / name
        folder.mkdir(parents=True)
        (folder / "prompt.md").write_text("Do what is asked.\n")
        text = AGENT.format(name=name, model=model)
        if name == "clerk":
            tools = TOOLS_PY.format(port=ledger_port)
            text += "".join(
                f"\n[tools.{tool}]\ntimeout_s = {TIMEOUT_S:g}\n{_said(tool, abilities, falsely)}" for tool in TOOLS
            )
            (folder / "tools.py").write_text(tools)
        (folder / "agent.toml").write_text(text)


def _said(tool: str, abilities: Abilities, falsely: bool) -> str:
    """What agent.toml says of one tool, as far as the golive under test knows such settings."""
    said = (FALSELY if falsely else DECLARED).get(tool, "")
    return said + "\n" if said.partition(" ")[0] in abilities.tools else ""
