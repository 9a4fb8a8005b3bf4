"""SQLite beside PostgreSQL, one server beside three, memory over many runs, and what durability has cost.

    python bench/stores.py [--only costs replicas memory] [--pairs 5] [--seconds 6] [--write]
    python bench/stores.py --only memory --runs 1000000 --minutes 120

Each part is one run of its own, in which all its sides are measured, interleaved; a ratio is the median of the ratios
within the rounds. `--write` puts the tables into bench/README.md. What is measured, and how, stands there.
"""

import argparse
import compileall
import contextlib
import datetime
import os
import platform
import shlex
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pairs
import report
from processes import cores
from scenarios import Figures
from servers import HERE, ROOT, provider
from stores_world import SLOW_S, WARM_S, Fleet, Postgres, fleet

from golive.core.open_files import raise_limit

BEFORE = "f6fa476"
"""The last revision in which a crash ended the runs that were open."""
CLIENTS = 50
CLIENTS_EACH = 16
"""Of each server where one and three are compared: with three the first core is busy, not at its limit."""
CLIENTS_AT_LIMIT = 150
"""In all, where servers are to be at the limit of the machine."""
REPLICAS = 3
MOST_OPEN = 40
"""`server.max_open_runs` where the provider is slow: what one server carries at once."""
REFUSED_WAIT_S = 0.5
KEEP_DAYS = 0.0001
"""8.6 seconds; golive removes once a minute what is older."""
MEMORY_CLIENTS = 12
SLICE_S = 10.0
ROWS = 10
"""Lines of the table of memory."""

Side = dict[str, Figures]


def say(what: str) -> None:
    """Tells what is being measured, and how busy the machine is."""
    print(f"… {what} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)


def per_run(servers: Fleet, postgres: Postgres, agent: str, clients: int, seconds: float, **more: Any) -> Figures:
    """One load after a short warm-up: milliseconds of CPU a run, and runs a second."""
    ask = servers.agent(agent)
    servers.load(ask, clients=clients, seconds=WARM_S, **more)
    cpu, database = servers.cpu_s(), postgres.cpu_s()
    heard = servers.load(ask, clients=clients, seconds=seconds, **more)
    cpu, database = servers.cpu_s() - cpu, postgres.cpu_s() - database
    runs = sum(one["requests"] for one in heard)
    return {
        "server_ms": cpu / runs * 1e3,
        "postgres_ms": database / runs * 1e3,
        "per_s": runs / max(one["wall_s"] for one in heard),
        "first_ms": statistics.median(one["first_ms"]["p50"] for one in heard),
        "runs": float(runs),
        "refused": float(sum(one["refused"] for one in heard)),
    }


def rounds(names: tuple[str, ...], count: int, one: Callable[[str], Side]) -> list[dict[str, Side]]:
    """Every side in each round, in turned order: whoever comes later finds a warmer machine."""
    found = []
    for number in range(count):
        turn = number % len(names)
        say(f"round {number + 1} of {count}")
        found.append({name: one(name) for name in (*names[turn:], *names[:turn])})
    return found


def median(found: list[dict[str, Side]], side: str, load: str, key: str) -> float:
    """The median of one figure of one side."""
    return statistics.median(each[side][load][key] for each in found)


def ratio(found: list[dict[str, Side]], over: str, under: str, load: str, key: str) -> str:
    """The median of the ratios within rounds, with the least and the most."""
    ratios = sorted(each[over][load][key] / each[under][load][key] for each in found)
    return f"**{statistics.median(ratios):.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def measured(postgres: str, more: str) -> str:
    """When, with what and on which machine."""
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    command = shlex.join(["python", "bench/stores.py", *sys.argv[1:]])
    return (
        f"Measured {date} with `{command}`. {report.cpu_name()}, {os.cpu_count()} cores, Linux "
        f"{platform.release().partition('-')[0]}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
        f"{', PostgreSQL ' + postgres if postgres else ''}. {more}"
    )


# ---- CPU a run: SQLite, PostgreSQL, and SQLite before runs survived crashes ------------------------------------------


def costs(sim_port: int, postgres: Postgres, args: argparse.Namespace) -> str:
    """The table of what a run costs."""
    before = pairs.installed(BEFORE)

    def one(side: str) -> Side:
        with contextlib.ExitStack() as stack:
            url = stack.enter_context(postgres.database()) if side == "postgres" else ""
            command = before if side == "before" else HERE
            servers = stack.enter_context(fleet(sim_port, url=url, command=command))
            return {agent: per_run(servers, postgres, agent, CLIENTS, args.seconds) for agent in ("paced", "with-tool")}

    found = rounds(("before", "sqlite", "postgres"), args.pairs, one)
    more = f"{args.pairs} rounds of three sides, {args.seconds:g} s each load; before is {BEFORE}."
    lines = [
        measured(postgres.version, more),
        "",
        f"| {CLIENTS} clients, medians | SQLite before | SQLite | PostgreSQL | PostgreSQL / SQLite | SQLite / before |",
        "|---|---|---|---|---|---|",
        "| to reach | - | - | - | <= 1.3 | - |",
    ]
    sides = ("before", "sqlite", "postgres")
    for load, text in (("paced", "a run of 20 chunks x 10 ms"), ("with-tool", "the same with a tool call")):
        cpu = " | ".join(f"{median(found, side, load, 'server_ms'):.2f}" for side in sides)
        first = " | ".join(f"{median(found, side, load, 'first_ms'):.1f}" for side in sides)
        per_s = " | ".join(f"{median(found, side, load, 'per_s'):,.0f}" for side in sides)
        times = ratio(found, "postgres", "sqlite", load, "server_ms")
        dearer = ratio(found, "sqlite", "before", load, "server_ms")
        beside = median(found, "postgres", load, "postgres_ms")
        lines.append(f"| CPU of the server process, {text}, ms | {cpu} | {times} | {dearer} |")
        lines.append(f"| CPU of PostgreSQL beside it, ms | - | - | {beside:.2f} | - | - |")
        lines.append(f"| runs/s | {per_s} | - | - |")
        lines.append(f"| time to first token, p50, ms | {first} | - | - |")
    return "\n".join(lines) + "\n"


# ---- one server and three --------------------------------------------------------------------------------------------


def replicas(sim_port: int, postgres: Postgres, args: argparse.Namespace) -> str:
    """The table of one server beside three on the same database."""

    def one(side: str) -> Side:
        number = int(side)
        with postgres.database() as url:
            with fleet(sim_port, url=url, replicas=number) as servers:
                paced = per_run(servers, postgres, "paced", CLIENTS_EACH, args.seconds)
            with fleet(sim_port, url=url, replicas=number, pinned=False) as servers:
                limit = per_run(servers, postgres, "paced", CLIENTS_AT_LIMIT // number, args.seconds)
            few = f"[server]\nmax_open_runs = {MOST_OPEN}\n"
            with fleet(sim_port, url=url, replicas=number, settings=few) as servers:
                slow = per_run(
                    servers, postgres, "slow", REPLICAS * MOST_OPEN // number, max(args.seconds, 5.2 * SLOW_S),
                    refused_wait_s=REFUSED_WAIT_S,
                )  # fmt: skip
        return {"paced": paced, "limit": limit, "slow": slow}

    found = rounds(("1", str(REPLICAS)), args.pairs, one)
    more = f"{args.pairs} pairs, {args.seconds:g} s each load; everything in one database."
    lines = [
        measured(postgres.version, more), "",
        f"| medians | one server | {REPLICAS} servers | {REPLICAS} / one | to reach |", "|---|---|---|---|---|",
    ]  # fmt: skip
    waiting = f"{REPLICAS * MOST_OPEN} clients, a provider that takes {SLOW_S:g} s, {MOST_OPEN} runs a server at once"
    each = f"{CLIENTS_EACH} clients each, 20 chunks x 10 ms"
    limit = f"{CLIENTS_AT_LIMIT} clients in all, servers on either core, 20 chunks x 10 ms"
    shown = (
        ("slow", "per_s", f"{waiting}: runs/s", 1, ">= 2.5"),
        ("slow", "server_ms", "there: CPU a run of all server processes, ms", 2, "-"),
        ("slow", "refused", "there: answers 503, after each of which the client asked again", 0, ""),
        ("paced", "per_s", f"{each}: runs/s", 0, ">= 2.5"),
        ("paced", "server_ms", "there: CPU a run of all server processes, ms", 2, "-"),
        ("paced", "postgres_ms", "there: CPU a run of PostgreSQL, ms", 2, "-"),
        ("limit", "per_s", f"{limit}: runs/s", 0, "-"),
        ("limit", "server_ms", "there: CPU a run of all server processes, ms", 2, "-"),
        ("limit", "postgres_ms", "there: CPU a run of PostgreSQL, ms", 2, "-"),
    )
    for load, key, text, digits, goal in shown:
        cells = [f"{median(found, side, load, key):,.{digits}f}" for side in ("1", str(REPLICAS))]
        times = ratio(found, str(REPLICAS), "1", load, key) if goal else "-"
        lines.append(f"| {text} | {' | '.join(cells)} | {times} | {goal or '-'} |")
    return "\n".join(lines) + "\n"


# ---- memory over many runs -------------------------------------------------------------------------------------------


def memory(sim_port: int, postgres: Postgres, args: argparse.Namespace) -> str:
    """The table of memory and of the database's size while runs come and go, on one store after the other."""
    parts = []
    for store in args.stores:
        say(f"memory on {store}")
        with contextlib.ExitStack() as stack:
            url = stack.enter_context(postgres.database()) if store == "postgres" else ""
            servers = stack.enter_context(fleet(sim_port, url=url, keep_days=KEEP_DAYS))
            samples = list(many(servers, url, postgres, args.runs, args.minutes * 60.0))
        parts.append(memory_table(store, samples))
    most = f"Until {args.runs:,} runs, or {args.minutes:g} minutes for each store."
    return measured(postgres.version, most) + "\n\n" + "\n".join(parts)


def many(servers: Fleet, url: str, postgres: Postgres, runs: int, seconds: float) -> Iterator[Figures]:
    """Figures at the beginning and after each slice, when nothing is open."""
    done = {"agent": 0, "relay": 0}
    began = time.monotonic()
    yield sizes(servers, url, postgres) | {"agent": 0.0, "relay": 0.0, "s": 0.0}
    while sum(done.values()) < runs and time.monotonic() - began < seconds:
        heard = servers.load(servers.agent("short"), servers.relay(), clients=MEMORY_CLIENTS, seconds=SLICE_S)
        for face, one in zip(done, heard, strict=True):
            done[face] += one["requests"]
        told = {face: float(count) for face, count in done.items()}
        yield sizes(servers, url, postgres) | told | {"s": time.monotonic() - began}
        if not int(time.monotonic() - began) // int(SLICE_S) % 6:
            say(f"{sum(done.values()):,} runs")


def sizes(servers: Fleet, url: str, postgres: Postgres) -> Figures:
    """Megabytes of the server process and of the database, and the runs that are in it."""
    resident = servers.processes[0].rss_kb()[0] / 1024
    if url:
        name = url.partition("?")[0].rpartition("/")[2]
        size, kept = postgres.ask(name, "SELECT pg_database_size(current_database())"), "SELECT count(*) FROM runs"
        return {"rss_mb": resident, "store_mb": size / 1e6, "kept": float(postgres.ask(name, kept))}
    path = servers.root / ".golive" / "golive.db"
    size = sum(part.stat().st_size for part in (path, Path(f"{path}-wal")) if part.exists())
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        kept = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    return {"rss_mb": resident, "store_mb": size / 1e6, "kept": float(kept)}


def memory_table(store: str, samples: list[Figures]) -> str:
    """Some of the samples, evenly spread, and how the last half differs from the one before."""
    last = len(samples) - 1
    shown = [samples[number * last // ROWS] for number in range(ROWS + 1)] if last >= ROWS else samples
    name = {"sqlite": "SQLite, file and WAL", "postgres": "PostgreSQL, the database"}[store]
    lines = [
        f"| runs through (agent + relay) | server process, MB | {name}, MB | runs kept then |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one['agent']:,.0f} + {one['relay']:,.0f} | {one['rss_mb']:.1f} | {one['store_mb']:,.0f} "
        f"| {one['kept']:,.0f} |"
        for one in shown
    ]
    end, middle = samples[-1], samples[(last + 1) // 2]
    early, late = samples[1 : last // 2 + 1], samples[last // 2 + 1 :]
    if early and late:
        grown = end["rss_mb"] - middle["rss_mb"]
        runs = end["agent"] + end["relay"] - middle["agent"] - middle["relay"]
        peaks = [max(one["store_mb"] for one in half) for half in (early, late)]
        told = (
            f"{end['agent'] + end['relay']:,.0f} runs in {end['s']:.0f} s. Over the last {runs:,.0f} the server "
            f"process grew by {grown:.1f} MB; the largest database of the first half was {peaks[0]:,.0f} MB, of the "
            f"second half {peaks[1]:,.0f} MB."
        )
        lines += ["", told]
    return "\n".join(lines) + "\n"


PARTS = {"costs": costs, "replicas": replicas, "memory": memory}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="all by default")
    parser.add_argument("--pairs", type=int, default=5, help="rounds of costs and of replicas")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load")
    parser.add_argument("--runs", type=int, default=150_000, help="of the part memory, for each store")
    parser.add_argument("--minutes", type=float, default=6.0, help="the same, at most")
    parser.add_argument("--stores", nargs="+", choices=("sqlite", "postgres"), default=("sqlite",), help="of memory")
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    args = parser.parse_args()
    raise_limit()
    compileall.compile_dir(ROOT / "src", quiet=1)
    postgres = Postgres()
    try:
        with provider() as direct:
            for name in args.only:
                say(f"{name}, servers on core {cores()[0]}")
                written = PARTS[name](direct.port, postgres, args)
                print(f"## {name}\n\n{written}", flush=True)
                if args.write:
                    report.put(f"<!-- stores {name}: begin -->", f"<!-- stores {name}: end -->", written)
    finally:
        postgres.close()


if __name__ == "__main__":
    main()
