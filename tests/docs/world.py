"""What the documentation's examples run in: a new project, the simulated provider, and `golive serve` with a key.

Owns the processes and the environment. Addresses that the pages name are replaced by the ones that are really used.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

BIN = Path(sys.executable).parent
SERVER, SIMULATOR = "http://127.0.0.1:8080", "http://127.0.0.1:8090"
"""As the pages write them."""


class World(NamedTuple):
    """A folder with a project in it, and what serves it."""

    folder: Path
    server: str
    simulator: str
    key: str

    def here(self, text: str) -> str:
        """An example's text with the addresses of this world."""
        return text.replace(SERVER, self.server).replace(SIMULATOR, self.simulator)

    def environ(self) -> dict[str, str]:
        """What a reader's shell would hold."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        path = f"{BIN}:/usr/local/bin:/usr/bin:/bin"
        return {**kept, "PATH": path, "GOLIVE_KEY": self.key, "GOLIVE_URL": self.server, "COLUMNS": "120"}

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Runs a page's commands; the first that fails ends it, and so does an HTTP status that is an error."""
        begin = 'set -euo pipefail\ncurl() { command curl -sS --fail-with-body --max-time 20 "$@"; }\n'
        return subprocess.run(
            ["bash", "-c", begin + self.here(script)],
            cwd=self.folder, env=self.environ(), capture_output=True, text=True, timeout=170, check=False,
        )  # fmt: skip


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Makes the project, starts the processes, and ends them on leaving."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GOLIVE_")}

    def golive(*words: str) -> str:
        done = subprocess.run(
            [BIN / "golive", *words], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    golive("new", "support")
    with _process([sys.executable, "-m", "golive.sim", "--port", "0", "--until-stdin-closes"], folder, environ) as line:
        simulator = str(json.loads(line)["base_url"])
        settings = folder / "golive.toml"
        settings.write_text(settings.read_text().replace("http://127.0.0.1:8090/v1", simulator))
        key = golive("keys", "create", "--name", "docs", "--role", "admin").strip()
        serve = [str(BIN / "golive"), "serve", "--port", "0", "--announce", "json"]
        with _process(serve, folder, environ) as answer:
            yield World(folder, str(json.loads(answer)["url"]), simulator.removesuffix("/v1"), key)


@contextmanager
def _process(command: list[str], folder: Path, environ: dict[str, str]) -> Iterator[str]:
    """A process that says in its first line that it is ready; ended, and waited for, on leaving."""
    with (folder / f"{Path(command[-1]).name}.log").open("w+") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            log.seek(0)
            assert line, log.read()
            yield line
        finally:
            process.terminate()
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
