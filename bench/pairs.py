"""This working tree beside an earlier revision of golive, in interleaved pairs: what has become dearer since.

    python bench/pairs.py [--base REVISION] [--pairs 7] [--seconds 3] [--write]

The revision's wheel is built from its own files and installed, with the packages its own lock names, into .bench/,
under the Python that this tree runs on (two builds of one version differ by a fifth). Both are asked by the same load
generator and the same simulator, which are this tree's. A figure's ratio is the median of its ratios within each pair.
"""

import argparse
import compileall
import datetime
import io
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

import report
from scenarios import Effort, Figures, measure, measure_starts
from servers import GOLIVE, HERE, ROOT, STATE, Contender, golive, provider

from golive.core.open_files import raise_limit

MAIN_JOB = "40845b6"
"""The last revision that had the main job alone: one dialect, and a chain that moves on."""
BEGIN, END = "<!-- pairs: begin -->", "<!-- pairs: end -->"
CPU = ("chat_cpu_us", "chunk_cpu_us", "run_cpu_ms", "tool_run_cpu_ms", "token_cpu_us")
OTHERS = ("agent_first_ms", "chat_alone_p50_ms", "idle_mb", "stream_kb", "help_s", "dev_s")


def installed(revision: str) -> Path:
    """The environment with the revision's wheel; made at the first call."""
    commit = _output("git", "rev-parse", "--short=12", f"{revision}^{{commit}}")
    home = STATE / f"base-{commit}"
    source = home / "source"
    if not (home / "bin" / "golive").exists():
        shutil.rmtree(home, ignore_errors=True)
        uv = str(ROOT / ".tools" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
        packed = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(source, filter="data")
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(home / "bin" / "python")]
        subprocess.run([*install, "-r", str(source / "requirements.lock")], check=True)
        subprocess.run([*install, "--no-deps", str(source)], check=True)
        shutil.rmtree(source)
    return home / "bin" / "golive"


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def one(command: Path, effort: Effort, sim_port: int) -> Figures:
    """Every figure of one side, once.

    Raises:
        SystemExit: a scenario failed, which the text tells.
    """
    contender = Contender(GOLIVE.name, GOLIVE.version, partial(golive, command=command))
    found, failed = measure(contender, sim_port, effort)
    if failed:
        raise SystemExit(f"{command}: {failed}")
    return found | measure_starts(effort, command)


def table(pairs: list[tuple[Figures, Figures]], asked: str, base: str) -> str:
    """The ratios in Markdown."""
    rows = {row.key: row for rows in (report.AGENTS, report.CHAT, report.MEMORY, report.STARTS) for row in rows}
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        f"Measured {date} with `{asked}`, {len(pairs)} pairs, Python {platform.python_version()}; before is {base}.",
        "",
        "| median of the pairs | before | now | now / before | least and most of the pairs |",
        "|---|---|---|---|---|",
    ]
    medians = {}
    for key in (*CPU, *OTHERS):
        ratios = sorted(now[key] / before[key] for before, now in pairs)
        medians[key] = statistics.median(ratios)
        digits = max(rows[key].digits, 1)
        before, now = (statistics.median(pair[side][key] for pair in pairs) for side in (0, 1))
        what = rows[key].text.removeprefix("added ")
        lines.append(
            f"| {what} | {before:,.{digits}f} | {now:,.{digits}f} | {medians[key]:.2f} "
            f"| {ratios[0]:.2f} to {ratios[-1]:.2f} |"
        )
    cpu = statistics.median(medians[key] for key in CPU)
    return "\n".join([*lines, "", f"CPU, median of the {len(CPU)} ratios: **{cpu:.2f}**."]) + "\n"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=MAIN_JOB, metavar="REVISION", help="the earlier one (the main job's last)")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    args = parser.parse_args()
    raise_limit()
    compileall.compile_dir(ROOT / "src", quiet=1)
    effort = Effort(seconds=args.seconds, runs_alone=30, stages=(100, 500), starts=3)
    base, pairs = installed(args.base), []
    with provider() as direct:
        for number in range(args.pairs):
            print(f"… pair {number + 1} of {args.pairs}", file=sys.stderr, flush=True)
            sides = (base, HERE) if number % 2 == 0 else (HERE, base)  # whoever comes second finds a warmer machine
            found = {side: one(side, effort, direct.port) for side in sides}
            pairs.append((found[base], found[HERE]))
    asked = shlex.join(["python", "bench/pairs.py", *sys.argv[1:]])
    written = table(pairs, asked, _output("git", "rev-parse", "--short", args.base))
    print(written)
    if args.write:
        report.put(BEGIN, END, written)


if __name__ == "__main__":
    main()
