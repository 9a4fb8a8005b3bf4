"""What takes minutes: the built wheel as users install it."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


async def output_of(*command: str | Path, cwd: Path, environ: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and everything a command printed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=cwd, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")


async def test_the_wheel_runs_the_demo(tmp_path: Path) -> None:
    """Built, installed into an empty environment, called from anywhere: the demo completes and its checks pass."""
    uv = shutil.which("uv") or ROOT / ".tools" / "bin" / "uv"
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "_build"))
    code, said = await output_of(uv, "build", "--wheel", "--out-dir", tmp_path / "dist", source, cwd=tmp_path)
    assert code == 0, said
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    for step in (
        (uv, "venv", "--python", sys.executable, tmp_path / "venv"),
        (uv, "pip", "install", "--python", python, "-r", ROOT / "requirements.lock"),
        (uv, "pip", "install", "--python", python, "--no-deps", wheel),
    ):
        code, said = await output_of(*step, cwd=tmp_path)
        assert code == 0, said
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GOLIVE_", "PYTHON"))}
    code, said = await output_of(python.with_name("golive"), "demo", cwd=tmp_path, environ=environ)
    assert code == 0, said
    assert "3 of 3 runs completed" in said
    assert "backup/sim-agent answered" in said
    assert "CONDITIONAL" in said
    assert " fail " not in said
