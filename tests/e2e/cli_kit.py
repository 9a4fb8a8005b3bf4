"""The command line as people and scripts meet it: a project of its own, commands on pipes, commands in a terminal."""

import atexit
import functools
import os
import random
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

GOLIVE = [sys.executable, "-m", "golive.cli.main"]
PATIENCE_S = 40.0
"""Longest wait for anything; a machine under load is slow, and only a fault reaches it."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


class Terminal:
    """A command in a pseudo-terminal; standard output and error both arrive in `text`."""

    def __init__(self, command: list[str], folder: Path, environ: dict[str, str], columns: int) -> None:
        self._master, slave = os.openpty()
        termios.tcsetwinsize(slave, (50, columns))
        self.process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=slave, stdout=slave, stderr=slave,
            preexec_fn=lambda: os.login_tty(slave),  # noqa: PLW1509 - makes it the controlling terminal, for Ctrl-C
        )  # fmt: skip
        os.close(slave)
        self._raw = b""

    @property
    def text(self) -> str:
        """All that was printed, without colours."""
        return _ESCAPES.sub("", self._raw.decode(errors="replace")).replace("\r\n", "\n")

    @property
    def raw(self) -> str:
        """All that was printed, as it came."""
        return self._raw.decode(errors="replace")

    def until(self, pattern: str) -> re.Match[str]:
        """Reads until `pattern` has been printed."""
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.text)):
            assert self._read(end), f"ended or silent without {pattern!r}:\n{self.text}"
        return found

    def type(self, keys: str) -> None:
        """Types; \\x03 is Ctrl-C."""
        os.write(self._master, keys.encode())

    def end(self) -> int:
        """Reads to the end and returns the exit code."""
        end = time.monotonic() + PATIENCE_S
        while self._read(end):
            pass
        code = self.process.wait(timeout=PATIENCE_S)
        os.close(self._master)
        self._master = -1
        return code

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
        try:
            data = os.read(self._master, 65_536) if ready else b""
        except OSError:  # the other side is closed
            return False
        self._raw += data
        return bool(data)

    def kill(self) -> None:
        """Ends what a failed test left behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._master >= 0:
            os.close(self._master)


class Project:
    """A folder in which `golive` is called."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GOLIVE_")}
        self.environ = kept | {"COLUMNS": "100", "TERM": "xterm-256color", "TMPDIR": str(folder)} | environ

    def golive(self, *words: str, stdin: str = "", **environ: str) -> Done:
        """One command on pipes."""
        done = subprocess.run(
            [*GOLIVE, *words], cwd=self.folder, env=self.environ | environ, input=stdin, capture_output=True,
            text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, stdin: str = "", **environ: str) -> str:
        """Standard output of a command that must succeed."""
        done = self.golive(*words, stdin=stdin, **environ)
        assert done.code == 0, done
        return done.out

    @contextmanager
    def terminal(self, *words: str, columns: int = 100, **environ: str) -> Iterator[Terminal]:
        """One command in a terminal."""
        size = {"COLUMNS": str(columns)}
        terminal = Terminal([*GOLIVE, *words], self.folder, self.environ | size | environ, columns)
        try:
            yield terminal
        finally:
            terminal.kill()

    def shown(self, *words: str, columns: int = 100, **environ: str) -> list[str]:
        """The lines that a command prints in a terminal; it must succeed."""
        with self.terminal(*words, columns=columns, **environ) as terminal:
            assert terminal.end() == 0, terminal.text
            return [line.rstrip() for line in terminal.text.splitlines()]

    @contextmanager
    def dev(self, *words: str) -> Iterator[Terminal]:
        """`golive dev` on a free port, ready; ended by Ctrl-C."""
        with self.terminal("dev", "--port", "0", *words) as terminal:
            terminal.until(r"Ctrl-C ends\.")
            yield terminal
            if terminal.process.poll() is None:
                terminal.type("\x03")
                terminal.end()

    @contextmanager
    def serve(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """`golive serve --announce json` on pipes."""
        process = subprocess.Popen(
            [*GOLIVE, "serve", "--port", "0", "--announce", "json", *words],
            cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def new_project(folder: Path) -> Project:
    """A project with the agent `bistro`, whose simulated provider gets a port of its own."""
    project = Project(folder)
    shutil.copytree(_new(), folder, dirs_exist_ok=True)
    settings = folder / "golive.toml"
    settings.write_text(settings.read_text().replace(":8090/", f":{free_port()}/"))
    return project


@functools.cache
def _new() -> Path:
    """What `golive new bistro` writes, once for all who begin with it."""
    folder = tempfile.TemporaryDirectory(prefix="golive-new-")
    atexit.register(folder.cleanup)
    made = Project(Path(folder.name) / "project")
    made.folder.mkdir()
    made.ok("new", "bistro")
    return made.folder


def free_port() -> int:
    """A port below those that the system hands out by itself: nobody gets it between our look and its use."""
    ports = range(20_000, 32_000)
    for _ in range(len(ports)):
        port = random.choice(ports)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until(true: Callable[[], object], what: str) -> None:
    """Waits until `true()` holds."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)
