"""From figures to the tables of bench/README.md, between its markers: no figure there is typed by hand."""

import datetime
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

from scenarios import Figures

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
NONE = "-"
EVERYTHING = (
    "keys, durable journal, metering and prices, circuit breakers, retries, mid-stream recovery, metrics, log with "
    "redaction, a worker process"
)
"""What is switched on in `golive serve`; a feature that comes is named here, and measured from then on."""


@dataclass
class Run:
    """All that one run of the benchmark found."""

    command: str
    effort: str
    provider: Figures
    versions: dict[str, str] = field(default_factory=dict)
    found: dict[str, Figures] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    starts: Figures = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line: a figure, perhaps minus what the provider alone takes."""

    text: str
    key: str
    digits: int = 0
    most: float | None = None
    added: bool = False


AGENTS = (
    Row("added time to first token, 1 client, p50, ms", "agent_first_ms", 2, 2.0, added=True),
    Row("CPU a whole run, 50 clients, ms", "run_cpu_ms", 2, 2.0),
    Row("runs/s, 50 clients (the pace allows at most 250)", "runs_per_s"),
    Row("time to first token, 50 clients, p50, ms", "agent_50_first_ms", 1),
    Row("CPU a whole run with a tool call in a worker process, 50 clients, ms", "tool_run_cpu_ms", 2),
)
CHAT = (
    Row("CPU a request, not streamed, 50 clients, us", "chat_cpu_us", 0, 300.0),
    Row("requests/s, 50 clients", "chat_per_s"),
    Row("p99, 50 clients, ms", "chat_p99_ms", 1),
    Row("added p50, not streamed, 1 client, ms", "chat_alone_p50_ms", 2, added=True),
    Row("CPU a chunk, 100 streams in bursts, us", "chunk_cpu_us", 1, 12.0),
    Row("chunks/s, 100 streams", "chunks_per_s"),
    Row("added time to first token, streamed, 1 client, p50, ms", "stream_alone_first_ms", 2, added=True),
)
MEMORY = (
    Row("idle, MB (golive: server and one worker process)", "idle_mb", 0, 90.0),
    Row("of it the server process, MB", "idle_server_mb"),
    Row("a further open run at 5 tokens/s, KB", "stream_kb", 0, 60.0),
    Row("most runs it could open, each begun within 30 s", "open_streams"),
    Row("with these open, MB", "open_mb"),
    Row("CPU a token, 500 open runs at 5 tokens/s, us", "token_cpu_us"),
    Row("tokens/s that came then (5 for each is the pace)", "open_tokens_per_s"),
)
STARTS = (
    Row("`golive --help`, s", "help_s", 2, 0.3),
    Row("`golive dev` in a new project, until it answers, s", "dev_s", 2, 1.5),
)


def _cell(row: Row, figures: Figures, provider: Figures) -> str:
    if row.key not in figures:
        return NONE
    value = figures[row.key] - (provider[row.key] if row.added else 0.0)
    return f"{value:,.{row.digits}f}"


def _target(row: Row) -> str:
    return NONE if row.most is None else f"<= {row.most:g}"


def _table(title: str, rows: tuple[Row, ...], run: Run, found: dict[str, Figures]) -> list[str]:
    names = [name for name, figures in found.items() if any(row.key in figures for row in rows)]
    lines = [f"**{title}**", "", f"| | golive is to reach | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for row in rows:
        cells = [_cell(row, found[name], run.provider) for name in names]
        lines.append(f"| {row.text} | {_target(row)} | {' | '.join(cells)} |")
    return [*lines, ""]


def cpu_name() -> str:
    """The processor, as the kernel names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def tables(run: Run) -> str:
    """All of it in Markdown."""
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    provider = run.provider
    measured = (
        f"Measured {date} with `{run.command}` ({run.effort}). {cpu_name()}, {os.cpu_count()} cores, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}. {versions}."
    )
    alone = (
        f"The provider alone: {provider['chat_cpu_us']:.0f} us of its own CPU a whole answer, "
        f"{provider['chunk_cpu_us']:.1f} us a chunk in bursts, {provider['paced_chunk_cpu_us']:.0f} us a paced chunk; "
        f"asked directly it gives {provider['chat_per_s']:,.0f} answers/s and {provider['chunks_per_s']:,.0f} chunks/s "
        "on the core that it shares with the load generator, which bounds every figure per second below."
    )
    lines = [
        measured,
        "",
        alone,
        "",
        *_table("Agent runs: 20 chunks x 10 ms, streamed", AGENTS, run, run.found),
        *_table("Chat face: plain gateway, provider 0 ms", CHAT, run, run.found),
        *_table(f"Memory: up to {_most_open(run):,.0f} runs open", MEMORY, run, run.found),
    ]
    if run.starts:
        lines += _table("Start-up", STARTS, run, {"golive": run.starts})
    lines += _everything_on(run)
    for name, reasons in run.failed.items():
        lines += [f"- {name}, {part}: not measured. {reason}" for part, reason in reasons.items()]
    return "\n".join(lines).rstrip() + "\n"


def _everything_on(run: Run) -> list[str]:
    """The figures to watch from release to release, in one line."""
    found = run.found.get("golive", {})
    if not {"chat_cpu_us", "run_cpu_ms", "tool_run_cpu_ms", "token_cpu_us"} <= found.keys():
        return []
    figures = (
        f"{found['chat_cpu_us']:.0f} us CPU a relayed request, {found['run_cpu_ms']:.2f} ms a run, "
        f"{found['tool_run_cpu_ms']:.2f} ms a run with a tool call, {found['token_cpu_us']:.0f} us a paced token"
    )
    return [f"**Everything on** ({EVERYTHING}): {figures}.", ""]


def _most_open(run: Run) -> float:
    return max((figures.get("open_streams", 0.0) for figures in run.found.values()), default=0.0)


def put(begin: str, end: str, written: str) -> None:
    """Puts what was written into README.md, between the markers."""
    before, _, rest = README.read_text().partition(begin)
    _, _, after = rest.partition(end)
    README.write_text(f"{before}{begin}\n{written}{end}{after}")
