"""What chaos is made of: provider, ledger, disk or PostgreSQL, one server or three replicas, proxies in between."""

import asyncio
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.ledger import Line, read
from tests.chaos.project import GONE, LEASE_S, Abilities, write_project
from tests.chaos.replica import Replica
from tests.chaos.wheel import ROOT
from tests.e2e.cli_kit import free_port
from tests.postgres_kit import PostgresServer

StoreKind = Literal["sqlite", "postgres"]
DISK_MB = 256
DATABASE = "golive"
FULL_FILE = 4_096
"""Bytes that a file may have where the full disk is a limit on the process: less than any of ours has already."""


class Helper(NamedTuple):
    """A process of ours beside the servers: never broken, ends when its standard input does."""

    process: asyncio.subprocess.Process
    told: dict[str, Any]


async def helper(*command: str) -> Helper:
    """Starts one and reads the line in which it says where it is."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return Helper(process, json.loads(await process.stdout.readline()))


class Stage:
    """Everything of one round, in one folder; see `Stage.build`."""

    def __init__(self, root: Path, store: StoreKind, python: Path, seed: int) -> None:
        self.root, self.store, self.python, self.seed = root, store, python, seed
        self.key = ""
        self.replicas: list[Replica] = []
        self.provider_url = ""
        self.ledger_port = 0
        self.to_provider: FaultProxy
        self.to_store: list[FaultProxy] = []
        """One for each replica, on PostgreSQL."""
        self.disk = "tmpfs"
        """How a full disk is made here: "tmpfs" (really full), or "rlimit" (the process may not make files grow)."""
        self._helpers: list[Helper] = []
        self._postgres: PostgresServer | None = None
        self._mounted = False

    async def build(self, *, falsely: bool = False) -> None:
        """Starts everything, the servers last; `falsely`: see `project.py`."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        provider = await helper("golive.sim", "--until-stdin-closes", "--seed", str(self.seed))
        ledger = await helper("tests.chaos.ledger", str(self.root / "ledger.jsonl"))
        self._helpers = [provider, ledger]
        self.ledger_port = int(ledger.told["port"])
        self.provider_url = str(provider.told["base_url"]).removesuffix("/v1")
        host, _, port = self.provider_url.removeprefix("http://").partition(":")
        self.to_provider = FaultProxy("provider", (host, int(port)))
        await self.to_provider.start()
        abilities = Abilities.of(self.python)
        urls = [self._on_disk()] if self.store == "sqlite" else await self._on_postgres()
        provided = f"http://127.0.0.1:{self.to_provider.port}/v1"
        write_project(self.root, abilities, provided, urls[0], self.ledger_port, falsely=falsely)
        command = [str(self.python), "-m", "golive.cli.main"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith(GONE)}
        for number, url in enumerate(urls, 1):
            mine = environ | {"GOLIVE_STORE__URL": url}
            if "replica" in abilities.server:
                mine["GOLIVE_SERVER__REPLICA"] = f"r{number}"
            self.replicas.append(Replica(f"r{number}", free_port(), command, self.root, mine))
        made = await asyncio.to_thread(
            subprocess.run, [*command, "keys", "create", "--name", "chaos", "--role", "admin", "--json"],
            cwd=self.root, env=environ | {"GOLIVE_STORE__URL": urls[0]}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(f"golive keys create: {made.stderr}")
        self.key = json.loads(made.stdout)["key"]
        await asyncio.gather(*(replica.start() for replica in self.replicas))

    def _on_disk(self) -> str:
        folder = self.root / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
        try:
            self._mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            self._mounted = False
        if not self._mounted:
            self.disk = "rlimit"
        return "sqlite:disk/golive.db"

    async def _on_postgres(self) -> list[str]:
        self._postgres = await asyncio.to_thread(PostgresServer, "fsync=on")
        await asyncio.to_thread(self._postgres.start)
        self.disk = "none"
        await asyncio.to_thread(self._postgres.create, DATABASE)
        for number in (1, 2, 3):
            proxy = FaultProxy(f"store r{number}", str(self._postgres.socket))
            await proxy.start()
            self.to_store.append(proxy)
        return [f"postgresql://golive@127.0.0.1:{proxy.port}/{DATABASE}" for proxy in self.to_store]

    # ---- what the monkey needs

    @property
    def up(self) -> list[Replica]:
        """The replicas that answer, as far as is known."""
        return [replica for replica in self.replicas if replica.up]

    @property
    def lease_s(self) -> float:
        """After so long without a beat a replica's runs are taken over."""
        return LEASE_S

    def fill_disk(self, replica: Replica) -> None:
        """From now on nothing can be written; `empty_disk` ends it."""
        if not self._mounted:
            _limit(replica.pid, FULL_FILE)
            return
        descriptor = os.open(self.root / "disk" / "balloon", os.O_CREAT | os.O_WRONLY)
        try:
            size, piece = 0, DISK_MB << 20
            while piece >= 4_096:
                try:
                    os.posix_fallocate(descriptor, size, piece)
                    size += piece
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece //= 2
        finally:
            os.close(descriptor)

    def empty_disk(self, replica: Replica) -> None:
        """There is space again."""
        if self._mounted:
            (self.root / "disk" / "balloon").unlink(missing_ok=True)
        else:
            _limit(replica.pid, resource.RLIM_INFINITY)

    def backends(self) -> list[int]:
        """Processes of PostgreSQL that serve a connection to golive's database."""
        return self._postgres.backends(DATABASE) if self._postgres is not None else []

    def well(self) -> None:
        """Ends every fault of the network and the disk; processes are woken by whoever stopped them."""
        for proxy in (self.to_provider, *self.to_store):
            proxy.well()
        for replica in self.replicas:
            self.empty_disk(replica)

    def effects(self) -> list[Line]:
        """What the outside world saw."""
        return read(self.root / "ledger.jsonl")

    async def close(self, *, keep: bool) -> None:
        """Ends all processes; the folder stays if `keep`, the database with it."""
        for replica in self.replicas:
            for pid in (replica.pid, *replica.workers()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT) if pid else None
            await replica.kill()
        for proxy in (self.to_provider, *self.to_store):
            await proxy.stop()
        for one in self._helpers:
            assert one.process.stdin is not None
            one.process.stdin.close()
            await one.process.wait()
        if self._postgres is not None:
            await asyncio.to_thread(self._postgres.stop)
            if keep:
                shutil.copytree(self._postgres.folder / "data", self.root / "postgres")
            await asyncio.to_thread(self._postgres.remove)
        if self._mounted:
            if keep:
                shutil.copytree(self.root / "disk", self.root / "database")
            _unmount(self.root / "disk")
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)


def _limit(pid: int, size: int) -> None:
    """How large a file the process may make; 0 would be ourselves."""
    if pid:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=False)


def pick(chance: Any, items: Sequence[Any]) -> Any:
    """One of several, or None of none."""
    return chance.choice(list(items)) if items else None
