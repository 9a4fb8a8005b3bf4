"""A golive server as a process of its own: started, awaited, killed, started again, its log captured in files."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import GoliveError
from golive.core.tasks import uncancelled

START_S = 30.0
DRAIN_S = 1.0
"""How long a stop waits for open runs; then a second signal ends the server at once."""
STOP_S = 5.0
"""How long that may take before it becomes a kill."""
LOOK_S = 0.02
MAX_LOG_BYTES = 64 * 1024 * 1024
TAIL_CHARS = 1_500


class ServerStartFailed(GoliveError):
    """The server ended, or said nothing, before it answered."""

    code = "check.server_start"


class _Announced(Struct):
    url: str
    pid: int


class ServerProcess:
    """`golive serve` over one configuration.

    Args:
        command: what stands before `serve`.
        folder: where `server.log` (standard error) and `server.out` (standard output) are written.
        speed: how fast its time goes once it answers.
        since: when time began to go so fast, seconds since the epoch; None: with its first start.
    """

    def __init__(
        self,
        command: Sequence[str],
        config: Path,
        environ: Mapping[str, str],
        folder: Path,
        clock: Clock,
        *,
        speed: float = 1.0,
        since: float | None = None,
    ) -> None:
        self._golive, self._config, self._speed, self._since = tuple(command), config, speed, since
        self._command = [*command, "serve", "--config", str(config), "--announce", "json", "--until-stdin-closes"]
        self._command += ["--speed", str(speed)]
        self.environ = dict(environ)
        self._clock = clock
        self.log_file = folder / "server.log"
        self.out_file = folder / "server.out"
        self.url = ""
        self.pid = 0
        self.exit_code: int | None = None
        """Of the last one that was stopped; negative: the signal that ended it."""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        """Starts it, waits until it answers, returns its address: the same as before, where it had one.

        Raises:
            ServerStartFailed: it ended, or did not answer within `START_S`; tells the end of its log.
        """
        self.out_file.write_bytes(b"")
        if self._since is None:
            self._since = self._clock.now()
        with self.out_file.open("ab") as out, self.log_file.open("ab") as log:
            # A session of its own: Ctrl-C in a terminal is for us, who then stop it in good order.
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                *["--since", str(self._since)],  # its clock goes on: what was done before is not in the future
                *([] if not self.url else ["--port", str(urlsplit(self.url).port)]),
                env=self.environ,
                cwd=self.log_file.parent,
                stdin=asyncio.subprocess.PIPE,  # its end is the server's: it ends when we do, however we end
                stdout=out,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        deadline = Deadline.after(self._clock, START_S, "the start of the twin's server")
        while True:
            line = self.out_file.read_bytes().partition(b"\n")
            if line[1]:
                announced = msgspec.json.decode(line[0], type=_Announced)
                self.url, self.pid = announced.url, announced.pid
                return self.url
            if self._process.returncode is not None or not deadline.remaining(self._clock):
                state = self._process.returncode
                await self.stop()
                raise ServerStartFailed(
                    f"the twin's server {'did not answer in time' if state is None else f'ended with code {state}'}: "
                    f"{self.log()[-TAIL_CHARS:].strip()}",
                    remedy="Does `golive serve` start with this configuration?",
                    exit_code=state,
                )
            await asyncio.sleep(LOOK_S)

    def beside(self, folder: Path, settings: Mapping[str, str]) -> "ServerProcess":
        """Another server over the same configuration, with these settings in its environment; not started yet.

        Args:
            folder: of its log.
        """
        environ = {**self.environ, **settings}
        return ServerProcess(
            self._golive, self._config, environ, folder, self._clock, speed=self._speed, since=self._since
        )

    async def also(self, words: Sequence[str], timeout_s: float) -> tuple[int, str, str]:
        """Another command of the same golive in the same surroundings: its exit code, and what it said and reported.

        Raises:
            TimeoutError: it took longer than `timeout_s`; it is ended.
        """
        process = await asyncio.create_subprocess_exec(
            *self._golive,
            *words,
            env=self.environ,
            cwd=self.log_file.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await uncancelled(process.wait())
        return process.returncode or 0, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def log(self) -> str:
        """Everything it wrote so far, over all its starts; the last `MAX_LOG_BYTES` of it."""
        data = self.log_file.read_bytes() if self.log_file.exists() else b""
        return data[-MAX_LOG_BYTES:].decode("utf-8", "replace")

    async def kill(self) -> None:
        """SIGKILL, as when a machine dies; returns when it is gone."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it does nothing any more, and does not know it."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT: it goes on where it was frozen."""
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Ends it kindly, or else by force; returns when it is gone, also when we are cancelled meanwhile."""
        await uncancelled(self._stop())

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        for number, seconds in ((signal.SIGTERM, DRAIN_S), (signal.SIGTERM, STOP_S)):
            self._signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await process.wait()
        await self.kill()
        self.exit_code, self._process = process.returncode, None

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
