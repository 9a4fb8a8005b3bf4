"""One server process that dies and comes back: started, killed, frozen, woken, drained; and when what happened."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

START_S = 30.0
"""Longest start; a process that is not ready by then is ended."""
DRAIN_S = 20.0
AGAIN_S = 0.25
"""Between two tries to start."""


class Start(NamedTuple):
    """A start that led to a server that answers; wall times."""

    replica: str
    exec_at: float
    ready_at: float


class Down(NamedTuple):
    """Why a replica carried nothing from `at` on. `how`: "kill", "freeze" or "drain"."""

    replica: str
    how: str
    at: float


class Frozen(NamedTuple):
    """A process that stood still."""

    pid: int
    since: float
    until: float


class Replica:
    """`golive serve` at one port, again and again.

    Args:
        command: up to and without `serve`.
    """

    def __init__(self, name: str, port: int, command: Sequence[str], root: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.up = False
        self.starts: list[Start] = []
        self.downs: list[Down] = []
        self.frozen: list[Frozen] = []
        self.failed_starts: list[str] = []
        """What starts said that led to nothing: the disk was full, the database out of reach."""
        self.log_path = root / f"{name}.log"
        self._command = [*command, "serve", "--config", str(root), "--port", str(port), "--announce", "json",
                         "--until-stdin-closes"]  # fmt: skip
        self._environ = dict(environ)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The server's process id; 0 while there is none."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process is not None else 0

    def workers(self) -> list[int]:
        """Its children."""
        try:
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except OSError:
            return []

    async def start(self, patience_s: float = 60.0) -> bool:
        """Starts it until it answers, as a supervisor would; False if it was killed meanwhile.

        Raises:
            RuntimeError: it did not come up within `patience_s`.
        """
        end = time.monotonic() + patience_s
        while True:
            before = len(self.downs)
            if await self._start_once():
                return True
            if len(self.downs) > before:
                return False
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} does not start: {self.failed_starts[-1:]}; see {self.log_path}")
            await asyncio.sleep(AGAIN_S)

    async def _start_once(self) -> bool:
        log_from = self.log_path.stat().st_size if self.log_path.exists() else 0
        exec_at = time.time()
        with self.log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environ, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )  # fmt: skip
        self._process = process
        assert process.stdout is not None
        line = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
        if line and process.returncode is None:
            self.starts.append(Start(self.name, exec_at, time.time()))
            self.up = bool(json.loads(line)["url"])
            return True
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        with self.log_path.open("rb") as log:
            log.seek(log_from)
            self.failed_starts.append(log.read()[-400:].decode(errors="replace"))
        return False

    async def kill(self) -> None:
        """SIGKILL to the server; its workers are to notice by themselves."""
        self.up = False
        if self._process is None:
            return
        self.downs.append(Down(self.name, "kill", time.time()))
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def drain(self) -> int:
        """SIGTERM, and the exit code; by force after `DRAIN_S`."""
        assert self._process is not None
        self.up = False
        self.downs.append(Down(self.name, "drain", time.time()))
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(DRAIN_S):
                return await self._process.wait()
        except TimeoutError:
            await self.kill()
            return -1

    async def freeze(self, pids: Sequence[int], for_s: float) -> None:
        """SIGSTOP to processes, and SIGCONT after a while."""
        since = time.time()
        server = self.pid in pids
        if server:
            self.downs.append(Down(self.name, "freeze", since))
        try:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(for_s)
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self.frozen += [Frozen(pid, since, time.time()) for pid in pids]

    def log(self) -> list[dict[str, object]]:
        """What it logged; lines that are no JSON are left out."""
        lines = []
        for line in self.log_path.read_bytes().splitlines() if self.log_path.exists() else ():
            with suppress(ValueError):
                lines.append(json.loads(line))
        return lines
