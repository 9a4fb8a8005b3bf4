"""The wheel of this working tree, in an environment of its own: what is broken is what would be shipped."""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".chaos"
"""Environments, stages and results."""
KEPT = 3
"""Environments that stay for the next time."""


def code_name(revision: str = "") -> str:
    """What tells the code: the commit, or of the working tree twelve hex digits over all that goes into the wheel."""
    if revision:
        return _output("git", "rev-parse", "--short=12", f"{revision}^{{commit}}")
    digest = hashlib.sha256()
    files = sorted(path for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc")
    for path in [*files, ROOT / "pyproject.toml", ROOT / "requirements.lock"]:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def installed(revision: str = "") -> Path:
    """The Python of an environment that has the wheel and the locked packages; made at the first call.

    Args:
        revision: of which commit; "": of the working tree.
    """
    name = code_name(revision)
    home = STATE / f"wheel-{name}"
    python = home / "bin" / "python"
    if (home / ".made").exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    STATE.mkdir(exist_ok=True)
    uv = str(ROOT / ".tools" / "bin" / "uv")
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(home))
    source = ROOT
    if revision:
        source = home / "source"
        packed = subprocess.run(["git", "archive", name], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(source, filter="data")
    constraints = str(ROOT / "requirements-bootstrap.lock")
    built = home / "built"
    _run(uv, "build", "--quiet", "--wheel", "--out-dir", str(built), "--build-constraints", constraints, str(source))
    install = (uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python))
    _run(*install, "--require-hashes", "-r", str(source / "requirements.lock"))
    _run(*install, "--no-deps", *map(str, built.glob("*.whl")))
    (home / ".made").touch()
    for old in sorted(STATE.glob("wheel-*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return python


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
