"""Ending with the process that started this one, however that ends.

It holds the other end of our standard input, a pipe, and writes nothing into it. The kernel closes the pipe when the
process is gone, also after SIGKILL; then this one is sent SIGTERM, and what it started is taken down in order. That is
how every child of `demo` and `check` is tied to its parent: golive's own by the option `--until-stdin-closes` (the
simulator, in `golive.sim`, has the same), other programs by `python -m golive.cli.lifeline MODULE ARGUMENTS`.
"""

import os
import runpy
import signal
import sys
import threading
from typing import Annotated

import typer

LifelineOption = Annotated[
    bool,
    typer.Option("--until-stdin-closes", help="End when standard input does, as when whoever started this is gone."),
]


def end_with_stdin() -> None:
    """From now on the end of standard input is a SIGTERM to this process. A thread waits for it, so that a start that
    takes its time, or a loop that is busy, is no excuse."""
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    try:
        while os.read(0, 4_096):
            continue
    except OSError:  # it never was open: nobody holds the other end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Runs a module as `python -m` does, until standard input ends."""
    del sys.argv[0]
    end_with_stdin()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
