"""What is shipped in `deploy/` is well formed: linters and schemas that others keep, none of which needs a network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tests.deploy.files import DEPLOY, KUSTOMIZATIONS, MANIFESTS, ROOT, UNITS, documents, unit

BIN = Path(sys.executable).parent
KUBERNETES = "1.37"
"""Whose API schemas the manifests are held against."""
OLDEST_KUBERNETES = "1.30"
"""The oldest that README.md promises: preStop's `sleep` is on by default from there."""


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def test_the_dockerfile_passes_the_linter() -> None:
    """hadolint finds nothing, and nothing is switched off."""
    done = _run(BIN / "hadolint", "--no-fail", "--format", "json", DEPLOY / "Dockerfile")
    assert json.loads(done.stdout) == []
    assert "hadolint ignore" not in (DEPLOY / "Dockerfile").read_text()


def test_the_linter_of_dockerfiles_finds_faults(tmp_path: Path) -> None:
    """A shell-form entrypoint and an unpinned image are found."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nENTRYPOINT golive serve\n")
    found = json.loads(_run(BIN / "hadolint", "--no-fail", "--format", "json", bad).stdout)
    assert {"DL3006", "DL3025"} <= {finding["code"] for finding in found}


def test_the_compose_file_follows_its_schema() -> None:
    """The compose specification's own schema accepts it."""
    done = _run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_of_compose_files_finds_faults(tmp_path: Path) -> None:
    """A key that compose does not know is refused."""
    bad = tmp_path / "compose.yaml"
    bad.write_text((DEPLOY / "compose.yaml").read_text().replace("stop_grace_period:", "stop_grace:"))
    assert _run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", bad).returncode == 1


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, KUBERNETES])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_follow_the_api(path: Path, version: str) -> None:
    """Every manifest is what the API of these versions of Kubernetes accepts; unknown fields are refused."""
    found = documents(path)
    assert found
    for one in found:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_of_manifests_find_faults() -> None:
    """A field that Kubernetes would drop in silence is refused."""
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                           "spec": {"containers": [{"name": "c", "image": "i:1", "readiness": {}}]}}  # fmt: skip
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_names_what_is_there(path: Path) -> None:
    """Each resource and file exists, and each manifest beside it is a resource of it."""
    (found,) = documents(path)
    files = [file for generator in found["configMapGenerator"] for file in generator.get("files", ())]
    assert [name for name in (*found["resources"], *files) if not (path.parent / name).is_file()] == []
    beside = {one.name for one in path.parent.glob("*.yaml")} - {path.name}
    assert set(found["resources"]) == beside


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_kubectl_builds_it(path: Path) -> None:
    """`kubectl kustomize` builds it, every object in the namespace golive, and the API accepts what comes out."""
    done = _run("kubectl", "kustomize", path.parent)
    assert done.returncode == 0, done.stderr
    built = list(YAML(typ="safe", pure=True).load_all(done.stdout))
    assert len(built) > 1
    for one in built:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "golive"


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: path.name)
def test_no_key_stands_twice(path: Path) -> None:
    """A YAML file can be read, and no key in it hides another."""
    assert documents(path)


def test_a_key_that_stands_twice_is_found(tmp_path: Path) -> None:
    """The second of two equal keys is refused."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: 1\na: 2\n")
    with pytest.raises(YAMLError):
        documents(bad)


KNOWN_SECTIONS = {".service": {"Unit", "Service", "Install"}, ".timer": {"Unit", "Timer", "Install"}}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_can_be_read(path: Path) -> None:
    """A unit has sections of its kind and settings only; only lists are said twice."""
    sections = unit(path)
    assert set(sections) <= KNOWN_SECTIONS[path.suffix]
    twice = {key for keys in sections.values() for key, values in keys.items() if len(values) > 1}
    assert twice <= {"SystemCallFilter", "Environment"}


def _systemd() -> int:
    """The version of systemd that is installed; 0: none."""
    if shutil.which("systemd-analyze") is None:
        return 0
    return int(_run("systemd-analyze", "--version").stdout.split()[1])


@pytest.mark.skipif(_systemd() < 250, reason="systemd-analyze is not installed, or too old")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_units(path: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` knows every setting and value; that the program is not installed here is no fault."""
    program = tmp_path / "golive"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for one in UNITS:
        (tmp_path / one.name).write_text(one.read_text().replace("/opt/golive/bin/golive", str(program)))
    environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:", "SYSTEMD_LOG_LEVEL": "warning"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / path.name)],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "golive" in line] == []
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(_systemd() < 250, reason="systemd-analyze is not installed, or too old")
@pytest.mark.parametrize("path", [path for path in UNITS if path.suffix == ".service"], ids=lambda path: path.name)
def test_systemd_calls_the_services_hardened(path: Path) -> None:
    """The exposure by systemd's own measure (0 to 10, 9.6 for a service with no settings) is below 2."""
    done = _run("systemd-analyze", "security", "--offline=true", "--threshold=20", path)
    assert done.returncode == 0, done.stdout[-400:]


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_can_be_read_and_stop_at_the_first_fault(path: Path) -> None:
    """bash accepts each script, which is executable, and ends with the first command that fails."""
    assert _run("bash", "-n", path).returncode == 0
    assert os.access(path, os.X_OK)
    assert "\nset -euo pipefail\n" in path.read_text()


@pytest.mark.skipif(shutil.which("caddy") is None, reason="caddy is not installed")
def test_caddy_accepts_its_configuration(tmp_path: Path) -> None:
    """Caddy can use the Caddyfile."""
    environ = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    command: list[str | Path] = ["caddy", "validate", "--config", DEPLOY / "Caddyfile", "--adapter", "caddyfile"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_secrets_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    """`secrets.sh` makes files that only their owner reads, which agree with each other, and never makes them anew."""
    folder = tmp_path / "secrets"
    command: list[str | Path] = ["bash", DEPLOY / "secrets.sh", folder]
    assert _run(*command).returncode == 0
    names = {"pepper", "postgres_password", "pgpass", "compose.env"}
    made = {name: (folder / name).read_text() for name in names}
    assert {(folder / name).stat().st_mode & 0o777 for name in names} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(made["pepper"].strip()) == len(made["postgres_password"].strip()) == 64
    assert made["pepper"] != made["postgres_password"]
    assert made["pgpass"] == f"postgres:5432:golive:golive:{made['postgres_password']}"
    owner = (folder / "pepper").stat()
    assert made["compose.env"] == f"GOLIVE_USER={owner.st_uid}:{owner.st_gid}\n"
    assert owner.st_uid != 0
    assert _run(*command).returncode == 0
    assert {name: (folder / name).read_text() for name in names} == made
