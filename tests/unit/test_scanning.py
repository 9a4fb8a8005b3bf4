"""Credentials are found where they lie, each kind of them, and what is none is let alone."""

import subprocess
from pathlib import Path

import pytest

from golive.guards.crash import report
from golive.guards.dotenv import exposed
from golive.guards.scanning import CHUNK_BYTES, Scanner, entropy

BODY = "Zq8Lw2Xn5Rt7Vb4Yc9Kd1Mf6Hs3Gj0P"
KINDS = {
    "golive key": f"gl_ab12cd34_{BODY}",
    "API key": f"sk-ant-{BODY}",
    "Stripe key": f"sk_live_{BODY}",
    "GitHub token": f"ghp_{BODY}",
    "GitLab token": f"glpat-{BODY[:20]}",
    "Slack token": f"xoxb-{BODY}",
    "AWS access key id": "AKIAZQ8LW2XN5RT7VB4Y",
    "Google API key": f"AIza{BODY}abcd",
    "Hugging Face token": f"hf_{BODY}",
    "Vault token": f"hvs.{BODY}",
    "webhook signing key": f"whsec_{BODY}",
    "JSON web token": f"eyJhbGciOiJSUzI1.{BODY}.{BODY}",
    "private key": "-----BEGIN PRIVATE KEY-----\n" + BODY * 2 + "\n-----END PRIVATE KEY-----",
}


def found(tmp_path: Path, text: str, name: str = "file.py", **known: str) -> list[str]:
    path = tmp_path / name
    path.write_text(text)
    return [f"{leak.line}: {leak.kind}" for leak in Scanner(known).scan([path])]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_credential_is_found_by_its_line(tmp_path: Path, kind: str) -> None:
    """Once, as what it is, and the finding does not hold it."""
    path = tmp_path / "file.txt"
    path.write_text(f"one\ntwo\nvalue: {KINDS[kind]}\n")
    leaks = Scanner().scan([path])
    assert [(leak.line, leak.kind) for leak in leaks] == [(3, kind)]
    assert BODY[:12] not in repr(leaks)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f'password = "{BODY[:20]}"', "random text"),
        (f"OPENAI_API_KEY={BODY}", "random text"),
        (f'  "client_secret": "{BODY}",', "random text"),
        ("token: 'd41d8cd98f00b204e9800998ecf8427e'", "random text"),
        ("postgresql://app:hunter2X9@db.internal/shop", "password in an address"),
    ],
)
def test_what_is_assigned_to_a_name_that_tells_is_found(tmp_path: Path, line: str, kind: str) -> None:
    """With or without quotes, in Python, JSON, YAML and .env alike."""
    assert found(tmp_path, f"# settings\n{line}\n") == [f"2: {kind}"]


@pytest.mark.parametrize(
    "line",
    [
        'api_key = "env:OPENAI_API_KEY"', 'api_key = "vault:secret/prod/openai#api_key"', "password = getpass()",
        'api_key = "sk-xxxxxxxxxxxxxxxxxxxxxxxx"', 'API_KEY = "your-api-key-goes-here-1"', "token = tokens[position2]",
        'secret_name = "production-openai-key-2"', "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
        'key = "d41d8cd98f00b204e98"', 'SECRET = "changeme-1234567890"',
        "postgresql://app:${PASSWORD}@db/shop", "postgresql://user:password@localhost/db",
        "-----BEGIN PRIVATE KEY-----", "the token is checked by verify_token_signature2",
        f'token = "{BODY}"  # golive: no secret',
    ],
)  # fmt: skip
def test_what_is_no_secret_is_let_alone(tmp_path: Path, line: str) -> None:
    """References, placeholders, examples, names, expressions, and lines that say so."""
    assert found(tmp_path, f"{line}\n") == []


def test_a_known_value_is_found_whatever_it_looks_like(tmp_path: Path) -> None:
    """By the name of its reference; also in a binary file, and where two reads meet."""
    plain = "correct horse battery"
    assert found(tmp_path, f"a\nb {plain}\n", **{"env:PHRASE": plain}) == ["2: known secret"]
    path = tmp_path / "golive.db"
    path.write_bytes(b"\0" * (CHUNK_BYTES - 5) + plain.encode() + b"\0" * 9)
    [leak] = Scanner({"env:PHRASE": plain}).scan([path])
    assert str(leak) == f"{path}, byte {CHUNK_BYTES - 5}: known secret (env:PHRASE)"


def test_folders_that_tools_made_and_files_where_secrets_belong_are_spared(tmp_path: Path) -> None:
    """The rest below the folder is read."""
    for name in ("src", "node_modules", ".venv"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key.txt").write_text(KINDS["API key"])
    (tmp_path / "one.key").write_text(KINDS["API key"])
    scanner = Scanner(spared=[tmp_path / "one.key"])
    assert [leak.path for leak in scanner.scan([tmp_path])] == [str(tmp_path / "src" / "key.txt")]
    assert (scanner.files, scanner.whole) == (1, True)


def test_a_dot_env_file_that_git_takes_in_is_a_finding(tmp_path: Path) -> None:
    """Untracked and not ignored, then ignored, then tracked all the same; outside a repository nothing is said."""
    (tmp_path / ".env").write_text("X=1\n")
    (tmp_path / ".env.example").write_text("X=\n")
    assert exposed(tmp_path) == []
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    assert [leak.name for leak in exposed(tmp_path)] == ["add it to .gitignore"]
    (tmp_path / ".gitignore").write_text(".env\n")
    assert exposed(tmp_path) == []
    subprocess.run([*git, "add", "-f", ".env"], check=True)
    assert [leak.name for leak in exposed(tmp_path)] == ["it is tracked: git rm --cached"]


def test_a_private_key_that_is_configured_lies_where_it_belongs(tmp_path: Path) -> None:
    """As long as others cannot read it and git does not take it in; elsewhere its place is somebody else's."""
    key = tmp_path / "tls" / "server.key"
    key.parent.mkdir()
    key.write_text(KINDS["private key"])

    def told(mode: int, root: Path = tmp_path) -> list[str]:
        key.chmod(mode)
        return [f"{leak.kind}: {leak.name}" for leak in exposed(root, [key, tmp_path / "missing.key"])]

    assert told(0o600) == told(0o640) == told(0o400) == []
    assert told(0o644) == ["private key that others can read: mode 0644: chmod 600"]
    assert told(0o660) == ["private key that others can read: mode 0660: chmod 600"]
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / ".gitignore").write_text(".env\n")
    assert told(0o600) == ["file of secrets that git takes in: add it to .gitignore"]
    (tmp_path / ".gitignore").write_text(".env\n*.key\n")
    assert told(0o600) == []
    subprocess.run([*git, "add", "-f", "tls/server.key"], check=True)
    assert told(0o600) == ["file of secrets that git takes in: it is tracked: git rm --cached"]
    (tmp_path / "agents").mkdir()
    assert told(0o644, tmp_path / "agents") == []


def test_entropy_is_counted_in_bits_a_character() -> None:
    """None, one and two bits."""
    assert (entropy("aaaa"), entropy("abab"), entropy("abcd"), entropy("")) == (0.0, 1.0, 2.0, 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_report_holds_no_credential(kind: str) -> None:
    """Neither of a known shape nor of a variable whose name tells; the rest can be read."""
    try:
        raise ValueError(f"cannot use {KINDS[kind]} with correct-horse")
    except ValueError as error:
        told = report(error, {"SHOP_PASSWORD": "correct-horse", "HOME": "cannot use"})
    assert "ValueError: cannot use [redacted] with [redacted]" in told
    assert BODY[:12] not in told
