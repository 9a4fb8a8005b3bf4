"""Imports point downwards only, and the contract that says so can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root / "src"), "HOME": str(root), "COLUMNS": "200"}
    command = [str(LINT), "--no-cache", "--config", str(root / "pyproject.toml")]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def _copy(to: Path) -> Path:
    shutil.copytree(ROOT / "src", to / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", to)
    return to / "src" / "golive"


def test_imports_point_downwards() -> None:
    """The tree keeps the layers of ARCHITECTURE.md, every folder counted."""
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_upward_import_is_refused(tmp_path: Path) -> None:
    """An import of the runtime in the store breaks the contract, by name."""
    package = _copy(tmp_path)
    (package / "store" / "sample.py").write_text("import golive.runtime\n")
    done = _lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "golive.store.sample -> golive.runtime" in done.stdout


def test_neighbours_never_import_each_other(tmp_path: Path) -> None:
    """Folders on one line of the layers are strangers."""
    package = _copy(tmp_path)
    (package / "models" / "sample.py").write_text("import golive.tools\n")
    done = _lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "golive.models.sample -> golive.tools" in done.stdout


def test_a_folder_without_a_layer_is_refused(tmp_path: Path) -> None:
    """A new folder must be given its place before it is used."""
    package = _copy(tmp_path)
    (package / "extras").mkdir()
    (package / "extras" / "__init__.py").write_text('"""Owns nothing."""\n')
    done = _lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "extras" in done.stdout + done.stderr
