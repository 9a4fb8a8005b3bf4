"""Processes under measurement: started on given cores, awaited, asked for their CPU and memory, ended by their id.

A server's figures are those of the process and all its children (such as golive's worker process).
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_S = 90.0
STOP_S = 20.0


class NotReady(RuntimeError):
    """A server that did not come up; the text names its log."""


def cores() -> tuple[str, str]:
    """The core of the server, and those of everything else, as taskset writes them."""
    mine = sorted(os.sched_getaffinity(0))
    rest = mine[1:] or mine
    return str(mine[0]), ",".join(str(core) for core in rest)


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str, headers: Mapping[str, str] = {}) -> bool:
    """Whether GET `path` is answered 200."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n{extra}connection: close\r\n\r\n".encode())
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


class Process:
    """One process, on one set of cores, its output in a log file.

    Args:
        cpu: cores as taskset takes them; empty: any.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cpu: str,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        pinned = ["taskset", "-c", cpu, *command] if cpu else list(command)
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                pinned, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.pid = self._process.pid

    def wait_ready(self, port: int, path: str, headers: Mapping[str, str] = {}) -> float:
        """Seconds until `path` is answered 200.

        Raises:
            NotReady: the process ended, or did not answer in time.
        """
        began = time.perf_counter()
        while time.perf_counter() - began < START_S:
            if answers(port, path, headers):
                return time.perf_counter() - began
            if self._process.poll() is not None:
                raise NotReady(f"it ended with exit code {self._process.returncode}; see {self.log}")
            time.sleep(0.005)
        raise NotReady(f"no answer within {START_S:g} s; see {self.log}")

    def tree(self) -> list[int]:
        """The process and all that descend from it."""
        parents: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = _stat(int(entry))
                except OSError:
                    continue
                parents.setdefault(int(fields[1]), []).append(int(entry))
        found = [self.pid]
        for pid in found:
            found += parents.get(pid, [])
        return found

    def cpu_s(self) -> float:
        """Seconds of user and system time of the tree so far."""
        total = 0
        for pid in self.tree():
            fields = _stat(pid)
            total += int(fields[11]) + int(fields[12])
        return total * TICK_S

    def rss_kb(self) -> list[int]:
        """Resident memory of each process of the tree, the first being the server itself."""
        return [_rss_kb(pid) for pid in self.tree()]

    def stop(self) -> None:
        """Ends it kindly, or after `STOP_S` by force."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def kill(self) -> None:
        """Ends it and all that descend from it at once: nginx's worker would outlive its master."""
        for pid in self.tree():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _rss_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1])
    raise OSError(f"/proc/{pid}/smaps_rollup says no Rss")


def output(command: Sequence[str], **more: object) -> str:
    """What a command prints, stripped; raises if it fails."""
    return str(subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout).strip()  # type: ignore[call-overload]


def json_output(command: Sequence[str], **more: object) -> dict[str, object]:
    """What a command prints, as JSON."""
    return dict(json.loads(output(command, **more)))
