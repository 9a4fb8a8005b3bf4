"""Secrets come from environment and files, are remembered for redaction, and appear in no message."""

import os
from pathlib import Path

import pytest

from golive.config.secrets import MAX_SECRET_BYTES, Secrets
from golive.core.chance import SeededChance
from golive.core.errors import ConfigError, SecretMissing

PEPPER = "file:.golive/pepper"


def test_references_are_resolved_and_remembered(tmp_path: Path) -> None:
    """`env:` and `file:` give the value, a file's without its line break; both are known from then on."""
    (tmp_path / "key").write_text("from file\r\n")
    secrets = Secrets(tmp_path, {"KEY": "from env"})
    assert secrets.known() == frozenset()
    assert secrets.resolve("env:KEY") == "from env"
    assert secrets.resolve("file:key") == "from file"
    assert secrets.resolve(f"file:{tmp_path / 'key'}") == "from file"
    assert secrets.known() == {"from env", "from file"}


def test_a_rotated_file_is_read_anew(tmp_path: Path) -> None:
    """The next `resolve` sees the new secret; the old one stays known, for it may still be logged."""
    (tmp_path / "key").write_text("old")
    secrets = Secrets(tmp_path, {})
    secrets.resolve("file:key")
    (tmp_path / "key").write_text("new")
    assert secrets.resolve("file:key") == "new"
    assert secrets.known() == {"old", "new"}


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("env:NOPE", "the secret `env:NOPE` is missing: the environment variable NOPE is not set. Set NOPE"),
        ("env:EMPTY", "the environment variable EMPTY is empty."),
        ("file:nope", "the secret `file:nope` is missing: there is no file"),
        ("file:empty", "is empty."),
    ],
)
def test_a_missing_secret_names_reference_and_remedy(tmp_path: Path, reference: str, told: str) -> None:
    """What is missing, where, and what to do."""
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(SecretMissing) as caught:
        Secrets(tmp_path, {"EMPTY": ""}).resolve(reference)
    assert told in str(caught.value)
    assert caught.value.remedy


def test_what_is_no_reference_is_not_echoed(tmp_path: Path) -> None:
    """It may be the secret itself."""
    with pytest.raises(ConfigError) as caught:
        Secrets(tmp_path, {}).resolve("sk-very-secret")
    assert "very" not in str(caught.value) + repr(caught.value.fields)


def test_files_that_cannot_be_secrets(tmp_path: Path) -> None:
    """A folder, a huge file and bytes that are no text are refused by name, without their content."""
    (tmp_path / "huge").write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    (tmp_path / "bytes").write_bytes(b"abc\xff")
    secrets = Secrets(tmp_path, {})
    for reference, told in (("file:.", "Is a directory"), ("file:huge", "larger"), ("file:bytes", "not UTF-8")):
        with pytest.raises(ConfigError, match=told) as caught:
            secrets.resolve(reference)
        assert "abc" not in str(caught.value)
    assert secrets.known() == frozenset()


def test_a_dot_env_file_is_not_read(tmp_path: Path) -> None:
    """What the process was given is the whole truth."""
    (tmp_path / ".env").write_text("KEY=sneaky\n")
    with pytest.raises(SecretMissing):
        Secrets(tmp_path, {}).resolve("env:KEY")


def test_the_pepper_is_made_once_for_golive_alone(tmp_path: Path) -> None:
    """A missing file is created whole, mode 0600, nothing left beside it; the next start reads the same."""
    made = Secrets(tmp_path, {}).pepper(PEPPER, SeededChance(1))
    file = tmp_path / ".golive/pepper"
    assert len(made) == 64
    assert bytes.fromhex(made.decode()) != b"\0" * 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(file.parent) == ["pepper"]
    again = Secrets(tmp_path, {})
    assert again.pepper(PEPPER, SeededChance(2)) == made
    assert again.known() == {made.decode()}


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    """Under the widest umask the pepper is still for golive alone."""
    before = os.umask(0)
    try:
        Secrets(tmp_path, {}).pepper(PEPPER, SeededChance(1))
    finally:
        os.umask(before)
    assert (tmp_path / ".golive/pepper").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".golive").stat().st_mode & 0o777 == 0o700


def test_of_two_that_start_at_once_the_first_wins(tmp_path: Path) -> None:
    """A pepper that appeared while ours was being written stands, and both use it."""

    class Racing(SeededChance):
        def token(self, size: int) -> bytes:
            if size == 32:
                (tmp_path / ".golive").mkdir(exist_ok=True)
                (tmp_path / ".golive/pepper").touch(0o600)
                (tmp_path / ".golive/pepper").write_text("f" * 64)
            return super().token(size)

    assert Secrets(tmp_path, {}).pepper(PEPPER, Racing(1)) == b"f" * 64
    assert os.listdir(tmp_path / ".golive") == ["pepper"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_pepper_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever reads it can forge keys, so the file must be golive's alone; other secret files may be mounted wider."""
    file = tmp_path / "pepper"
    file.write_text("a" * 64)
    file.chmod(mode)
    with pytest.raises(ConfigError, match="can be read by others") as caught:
        Secrets(tmp_path, {}).pepper("file:pepper", SeededChance(1))
    assert "chmod 600" in caught.value.remedy
    assert Secrets(tmp_path, {}).resolve("file:pepper") == "a" * 64


def test_a_short_pepper_is_refused(tmp_path: Path) -> None:
    """Below 32 bytes a pepper can be guessed; the message does not show it."""
    with pytest.raises(ConfigError, match="has 5 bytes, and needs 32") as caught:
        Secrets(tmp_path, {"P": "short"}).pepper("env:P", SeededChance(1))
    assert "short" not in str(caught.value)


def test_a_pepper_that_cannot_be_created_is_told(tmp_path: Path) -> None:
    """Where there is a file in place of the folder, the error names the file and the way out."""
    (tmp_path / ".golive").write_text("")
    with pytest.raises(ConfigError) as caught:
        Secrets(tmp_path, {}).pepper(PEPPER, SeededChance(1))
    assert "cannot be created" in str(caught.value)
    assert "env:NAME" in caught.value.remedy


def test_an_environment_pepper_is_never_created(tmp_path: Path) -> None:
    """A missing variable is an error, not a reason to invent a pepper that no other replica has."""
    with pytest.raises(SecretMissing):
        Secrets(tmp_path, {}).pepper("env:P", SeededChance(1))


def test_a_secret_file_that_others_can_read_is_told_once(tmp_path: Path) -> None:
    """It is used all the same, for orchestrators mount with modes of their own; one for its owner alone is not told."""
    told: list[tuple[str, dict[str, object]]] = []
    secrets = Secrets(tmp_path, {"E": "x"}, lambda event, **fields: told.append((event, fields)))
    for name, mode in (("open", 0o644), ("own", 0o600), ("group", 0o440)):
        (tmp_path / name).write_text("s")
        (tmp_path / name).chmod(mode)
    for reference in ("file:open", "file:own", "env:E", "file:open", "file:group"):
        assert secrets.resolve(reference) in ("s", "x")
    where = [(event, fields["reference"], fields["mode"]) for event, fields in told]
    assert where == [
        ("secret.readable_by_others", "file:open", "0644"),
        ("secret.readable_by_others", "file:group", "0440"),
    ]
    assert told[0][1]["message"] == f"the secret `file:open` can be read by others: {tmp_path / 'open'} has mode 0644."
    assert str(told[0][1]["remedy"]).startswith(f"Run `chmod 600 {tmp_path / 'open'}`")
