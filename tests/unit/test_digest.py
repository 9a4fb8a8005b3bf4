"""A version's digest changes with all that decides how the agent behaves, with nothing else, and holds no secret."""

import hashlib
import os
from pathlib import Path

import pytest

from golive.config.load import load
from golive.core.clock import SystemClock
from golive.core.errors import AgentError, VersionTaken
from golive.releases import digest as releases
from golive.releases.digest import digest, project_lock, resolved_chains, version_digest
from golive.releases.registry import Version, dev_name, register, unbound
from golive.store.sqlite.store import SqliteStore

GOLIVE = '[providers.sim]\nbase_url = "http://127.0.0.1:8090/v1/"\napi_key = "env:SIM_KEY"\n'
AGENT = 'name = "a"\nversion = "1"\n[models.default]\nchain = ["sim/x", "sim/y"]\ntemperature = 1\n'


def folder(root: Path, files: dict[str, str]) -> Path:
    """A folder with these files, by relative path."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def project(root: Path, golive: str = GOLIVE) -> str:
    folder(root, {"golive.toml": golive, "agents/a/agent.toml": AGENT, "agents/a/prompt.md": "Hi"})
    loaded = load(root, {})
    return version_digest(loaded.agents["a"], loaded.config, root)


def test_the_digest_is_what_it_always_was(tmp_path: Path) -> None:
    """These bytes are hashed, on every machine and in every later golive, or released names would break."""
    folder(tmp_path, {"prompt.md": "Be kind.\n", "sub/a.py": "x = 1\n"})
    chains = {"default": [{"provider": "sim", "model": "x"}]}
    parts = [
        b"v\0\0\0\0\0\0\0\x10golive-version-1",
        b"p\0\0\0\0\0\0\0\x09prompt.md", b"b\0\0\0\0\0\0\0\x09Be kind.\n",
        b"p\0\0\0\0\0\0\0\x08sub/a.py", b"b\0\0\0\0\0\0\0\x06x = 1\n",
        b"l\0\0\0\0\0\0\0\x04lock",
        b'c\0\0\0\0\0\0\0\x2c{"default":[{"model":"x","provider":"sim"}]}',
    ]  # fmt: skip
    assert digest(tmp_path, b"lock", chains) == "sha256:" + hashlib.sha256(b"".join(parts)).hexdigest()


def test_content_names_lock_and_chains_count(tmp_path: Path) -> None:
    """Another byte, another name, a file more, another lock, another chain: each gives another digest."""
    a = folder(tmp_path / "a", {"one": "1", "two": "2"})
    found = {
        digest(a, None, {}),
        digest(folder(tmp_path / "b", {"one": "1", "two": "3"}), None, {}),
        digest(folder(tmp_path / "c", {"one": "1", "too": "2"}), None, {}),
        digest(folder(tmp_path / "d", {"one": "1", "two": "2", "three": ""}), None, {}),
        digest(folder(tmp_path / "e", {"one": "1", "sub/two": "2"}), None, {}),
        digest(a, b"", {}),
        digest(a, b"lock", {}),
        digest(a, None, {"default": []}),
    }
    assert len(found) == 8
    assert digest(folder(tmp_path / "same", {"two": "2", "one": "1"}), None, {}) == digest(a, None, {})


def test_leftovers_modes_and_empty_folders_do_not_count(tmp_path: Path) -> None:
    """Caches, editors' files, version control, .env, file modes and times make no other version."""
    a = folder(tmp_path, {"prompt.md": "x", "sub/b": "y"})
    before = digest(a, None, {})
    leftovers = [
        "__pycache__/tools.cpython-311.pyc", "sub/__pycache__/x", "tools.pyc", ".git/HEAD", ".env", ".DS_Store",
        "prompt.md~", "#prompt.md#", ".#prompt.md", ".prompt.md.swp", "sub/.mypy_cache/x",
    ]  # fmt: skip
    folder(a, dict.fromkeys(leftovers, "leftover"))
    (a / "empty").mkdir()
    (a / "prompt.md").chmod(0o755)
    os.utime(a / "prompt.md", (0, 0))
    assert digest(a, None, {}) == before


def test_symlinks_count_as_what_they_lead_to(tmp_path: Path) -> None:
    """A link within the folder is its content, wherever the folder was checked out."""
    a = folder(tmp_path / "a", {"one": "1"})
    (a / "two").symlink_to("one")
    assert digest(a, None, {}) == digest(folder(tmp_path / "b", {"one": "1", "two": "1"}), None, {})


@pytest.mark.parametrize("target", ["../outside", "../outside-folder", ".", "link", "nowhere"])
def test_symlinks_that_leave_or_lead_nowhere_are_refused(tmp_path: Path, target: str) -> None:
    """What lies outside could change unseen; loops and dead links cannot be read. Each is named."""
    folder(tmp_path, {"outside": "x", "outside-folder/x": "x"})
    a = folder(tmp_path / "a", {"one": "1"})
    (a / "link").symlink_to(target)
    with pytest.raises(AgentError, match="link") as caught:
        digest(a, None, {})
    assert caught.value.remedy


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    """Reading a pipe would wait for ever."""
    a = folder(tmp_path / "a", {"one": "1"})
    os.mkfifo(a / "pipe")
    with pytest.raises(AgentError, match="pipe is no regular file"):
        digest(a, None, {})


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """An unreadable folder is no empty one."""
    with pytest.raises(AgentError, match="cannot be read: No such file"):
        digest(tmp_path / "nope", None, {})


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data and environments do not belong into a version; the limits are exact and named."""
    a = folder(tmp_path / "a", {"one": "123", "two": "45"})
    monkeypatch.setattr(releases, "MAX_BYTES", 5)
    monkeypatch.setattr(releases, "MAX_FILES", 2)
    assert digest(a, None, {}).startswith("sha256:")
    folder(a, {"two": "456"})
    with pytest.raises(AgentError, match=r"more than .* MiB"):
        digest(a, None, {})
    folder(a, {"two": "", "three": ""})
    with pytest.raises(AgentError, match="more than 2 files"):
        digest(a, None, {})


def test_chains_are_resolved_without_secrets(tmp_path: Path) -> None:
    """Provider, dialect, address, model and settings of each target; no reference to a key."""
    project(tmp_path)
    loaded = load(tmp_path, {})
    settings = {"temperature": 1.0}
    shared = {"provider": "sim", "dialect": "openai-chat", "base_url": "http://127.0.0.1:8090/v1", "settings": settings}
    chains = resolved_chains(loaded.agents["a"].config, loaded.config)
    assert chains == {"default": [{**shared, "model": "x"}, {**shared, "model": "y"}]}
    assert "SIM_KEY" not in str(chains)


def test_addresses_count_and_keys_do_not(tmp_path: Path) -> None:
    """Another address is another version; another key, price, time limit or slash is not."""
    before = project(tmp_path)
    assert project(tmp_path, GOLIVE.replace("env:SIM_KEY", "file:key")) == before
    assert project(tmp_path, GOLIVE.replace("/v1/", "/v1") + "call_s = 3\n") == before
    assert project(tmp_path, GOLIVE.replace("8090", "8091")) != before


def test_the_projects_lock_counts_unless_the_agent_has_its_own(tmp_path: Path) -> None:
    """The first lock beside golive.toml is part of the version; one in the folder is hashed with the folder."""
    a = folder(tmp_path / "a", {"one": "1"})
    assert project_lock(a, tmp_path) is None
    folder(tmp_path, {"requirements.lock": "r"})
    assert project_lock(a, tmp_path) == b"r"
    folder(tmp_path, {"uv.lock": "u"})
    assert project_lock(a, tmp_path) == b"u"
    folder(a, {"requirements.lock": "own"})
    assert project_lock(a, tmp_path) is None


async def test_a_name_is_bound_to_its_digest() -> None:
    """The same content registers again; other content under the same name is refused with a remedy."""
    store = SqliteStore.open(":memory:", clock=SystemClock(), inline=True)
    try:
        tenant = store.tenant("t")
        first = await register(tenant, Version("a", "1.0.0", "sha256:aa"), 1.0)
        assert await register(tenant, Version("a", "1.0.0", "sha256:aa"), 2.0) == first
        assert first.created_at == 1.0
        with pytest.raises(VersionTaken) as caught:
            await register(tenant, Version("a", "1.0.0", "sha256:bb"), 3.0)
        assert caught.value.message == (
            "version 1.0.0 of agent a was registered with other content: files of the agent, the lock of its "
            "dependencies, or the addresses of its models' providers differ."
        )
        assert caught.value.remedy == "Raise `version` in agents/a/agent.toml, or restore what differs."
        assert (await register(tenant, Version("a", "1.0.1", "sha256:bb"), 3.0)).digest == "sha256:bb"
        assert (await register(tenant, Version("b", "1.0.0", "sha256:bb"), 3.0)).agent == "b"
        assert [row.name for row in await tenant.versions("a")] == ["1.0.0", "1.0.1"]
    finally:
        await store.close()


async def test_every_name_that_is_taken_is_told_at_once() -> None:
    """A provider's address may be that of several agents; names that are free or stand as they are, are no matter."""
    store = SqliteStore.open(":memory:", clock=SystemClock(), inline=True)
    try:
        tenant = store.tenant("t")
        for agent in ("a", "b", "c"):
            await register(tenant, Version(agent, "1.0.0", f"sha256:{agent}"), 1.0)
        await unbound(tenant, [Version("a", "1.0.0", "sha256:a"), Version("d", "1.0.0", "sha256:d")])
        with pytest.raises(VersionTaken) as caught:
            await unbound(tenant, [Version(agent, "1.0.0", "sha256:c") for agent in ("a", "b", "c")])
        assert caught.value.message.startswith(
            "version 1.0.0 of agent a, version 1.0.0 of agent b were registered with other content: "
        )
        assert caught.value.remedy == (
            "Raise `version` in agents/a/agent.toml, agents/b/agent.toml, or restore what differs."
        )
        assert caught.value.fields["agent"] == "a, b"
    finally:
        await store.close()


def test_a_development_name_carries_its_digest() -> None:
    """Each edit has its own name, valid as a semantic version also where there is build metadata already."""
    assert dev_name("1.0.0", "sha256:3f9a01bcdd") == "1.0.0+dev.3f9a01bc"
    assert dev_name("1.0.0+linux", "sha256:3f9a01bcdd") == "1.0.0+linux.dev.3f9a01bc"
