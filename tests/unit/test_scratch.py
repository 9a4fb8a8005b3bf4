"""Folders that end with their process: what a sweep takes away, and what it leaves."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from golive.workers.scratch import Scratch, sweep

HOLD = (
    "import sys; from golive.workers.scratch import Scratch; print(Scratch('mine-').path, flush=True); sys.stdin.read()"
)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder, the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def holder(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Another process with a folder of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=os.environ | {"TMPDIR": str(folder)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def test_a_folder_is_the_users_alone_and_goes_when_told() -> None:
    """Mode 0700; removed with what is in it, once."""
    scratch = Scratch("mine-")
    assert scratch.path.stat().st_mode & 0o777 == 0o700
    (scratch.path / "deep").mkdir()
    (scratch.path / "deep" / "file").write_text("x")
    scratch.remove()
    scratch.remove()
    assert not scratch.path.exists()


def test_a_killed_process_leaves_a_folder_that_the_next_sweep_takes(temporary: Path) -> None:
    """While the process lives, its folder stays; after SIGKILL it goes, contents and all. Ours stays throughout."""
    mine = Scratch("mine-")
    with holder(temporary) as (process, path):
        (path / "left").write_text("x")
        assert sweep("mine-") == []
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert path.exists()
        assert sweep("mine-") == [path.name]
    assert not path.exists()
    assert mine.path.exists()
    mine.remove()


def test_a_program_that_the_holder_started_does_not_hold_the_folder(temporary: Path) -> None:
    """The lock is not inherited: what a killed server's tools had started does not keep its folder alive."""
    scratch = Scratch("mine-")
    begins = "print(flush=True); input()"  # once it runs, nothing is still to be closed in it
    child = subprocess.Popen(
        [sys.executable, "-c", begins], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"\n"
        assert scratch._lock is not None
        os.close(scratch._lock)  # as when this process ended
        assert sweep("mine-") == [scratch.path.name]
    finally:
        child.communicate(b"\n")


def test_what_cannot_be_judged_stays(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Other names, files, links and what they lead to, and another user's folders are left alone."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious").write_text("x")
    (temporary / "other-1").mkdir()
    (temporary / "mine-file").write_text("x")
    (temporary / "mine-link").symlink_to(elsewhere)
    stays = {"other-1", "mine-file", "mine-link"}
    if os.geteuid() == 0:
        (temporary / "mine-theirs").mkdir()
        os.chown(temporary / "mine-theirs", 65_534, 65_534)
        stays.add("mine-theirs")
    (temporary / "mine-orphan").mkdir()
    assert sweep("mine-") == ["mine-orphan"]
    assert {path.name for path in temporary.iterdir()} == stays
    assert (elsewhere / "precious").exists()


def test_without_a_temporary_folder_nothing_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep never fails."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    assert sweep("mine-") == []
