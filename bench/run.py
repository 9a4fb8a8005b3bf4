"""Golive beside its peers: same machine, same run, server on one core, load and provider on the other.

    python bench/run.py [--quick] [--only NAME ...] [--no-peers] [--write]

Peers that are not installed are installed first (bench/peers/setup, into .bench/). `--write` puts the tables into
bench/README.md. What is measured, and how, stands there.
"""

import argparse
import compileall
import json
import shlex
import subprocess
import sys

import report
from processes import NotReady
from scenarios import FULL, QUICK, measure, measure_provider, measure_starts
from servers import CONTENDERS, GOLIVE, PEERS, ROOT, STATE, Contender, Missing, provider

from golive.core.open_files import raise_limit


def chosen(args: argparse.Namespace) -> list[Contender]:
    """The servers to measure."""
    if args.only:
        return [contender for contender in CONTENDERS if contender.name.lower() in args.only]
    return [GOLIVE] if args.no_peers else list(CONTENDERS)


def main() -> int:
    """Measures and prints."""
    names = [contender.name.lower() for contender in CONTENDERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short version, for a first look")
    parser.add_argument("--only", nargs="+", metavar="NAME", type=str.lower, choices=names, help=", ".join(names))
    parser.add_argument("--no-peers", action="store_true", help="golive alone")
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    args = parser.parse_args()
    contenders = chosen(args)
    raise_limit()
    compileall.compile_dir(ROOT / "src", quiet=1)  # as installing would; the peers are installed so
    if any(contender is not GOLIVE for contender in contenders):
        subprocess.run([str(PEERS / "setup")], check=False)  # it says what is left out, and so does the table
    effort = QUICK if args.quick else FULL
    command = shlex.join(["python", "bench/run.py", *sys.argv[1:]])
    with provider() as direct:
        say("the provider alone")
        run = report.Run(command, "short" if args.quick else "full", measure_provider(direct, effort))
        for contender in contenders:
            say(contender.name)
            try:
                run.versions[contender.name] = contender.version()
            except Missing as missing:
                run.failed[contender.name] = {"all": str(missing)}
                continue
            figures, failed = measure(contender, direct.port, effort)
            run.found[contender.name] = figures
            if failed:
                run.failed[contender.name] = failed
    if GOLIVE in contenders:
        say("start-up")
        try:
            run.starts = measure_starts(effort)
        except NotReady as error:
            run.failed["golive dev"] = {"start": str(error)}
    (STATE / "figures.json").write_text(json.dumps({"provider": run.provider, **run.found}, indent=1))
    print(report.tables(run))
    if args.write:
        report.put(report.BEGIN, report.END, report.tables(run))
    return 0


def say(what: str) -> None:
    """Tells what is being measured."""
    print(f"… {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
