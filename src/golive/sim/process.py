"""A simulator in a process of its own, for the demo, drills, load and tests: started, awaited, stopped by its id."""

import asyncio
import sys

import msgspec

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import InternalError

START_S = 15.0
STOP_S = 5.0


class SimulatorProcess:
    """Starts `python -m golive.sim` on a free port. The process also ends when its parent does.

    Args:
        seed: see `Simulator`.
        port: 0 picks a free one; the same again brings a killed provider back at its address.
        api_keys: see `Simulator`; handed over through the environment, not the command line.
        speed: how fast its time goes.
    """

    def __init__(
        self, clock: Clock, *, seed: int = 0, port: int = 0, api_keys: tuple[str, ...] = (), speed: float = 1.0
    ) -> None:
        self._clock = clock
        self._seed = seed
        self._port = port
        self._keys = api_keys
        self._speed = speed
        self._process: asyncio.subprocess.Process | None = None
        self.base_url = ""
        self.pid = 0

    async def start(self) -> str:
        """Starts it and waits until it listens; returns the base URL, which ends in /v1.

        Raises:
            InternalError: the process ended first.
            DeadlineExceeded: it was not ready within `START_S`.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "golive.sim", "--port", str(self._port), "--seed", str(self._seed),
            "--speed", str(self._speed), "--until-stdin-closes", *(["--keys-from-stdin"] if self._keys else []),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for its parent, which ends it
        )  # fmt: skip
        self.pid = self._process.pid
        try:
            async with Deadline.after(self._clock, START_S, "golive.sim.process.START_S").enforced(self._clock):
                line = await self._first_line(self._process)
        except BaseException:
            self.kill()
            raise
        ready = msgspec.json.decode(line, type=dict[str, str | int])
        self.base_url = str(ready["base_url"])
        return self.base_url

    async def _first_line(self, process: asyncio.subprocess.Process) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        if self._keys:
            process.stdin.write(msgspec.json.encode(self._keys) + b"\n")
            await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            code = await process.wait()
            raise InternalError(
                f"The simulator on port {self._port} ended with exit code {code} before it was ready.",
                remedy="Its reason stands on standard error; port 0 picks a free port.",
                port=self._port, exit_code=code,
            )  # fmt: skip
        return line

    async def stop(self) -> None:
        """Ends it kindly, or after `STOP_S` by force; waits until it is gone."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def kill(self) -> None:
        """SIGKILL, at once, as when a provider's machine dies. `stop` still waits for its end."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def __aenter__(self) -> "SimulatorProcess":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
