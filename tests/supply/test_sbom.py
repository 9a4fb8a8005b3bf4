"""The bill of materials: whole, valid, the same each time, and out of the lock file alone."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from supply import locked, sbom
from tests.supply.planted import HASH


def _bill(path: Path, *arguments: str) -> dict[str, Any]:
    assert sbom.main(["--output", str(path), *arguments]) == 0
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_the_bill_lists_every_package_with_version_and_hashes(tmp_path: Path) -> None:
    """Each line of requirements.lock is a component with its version, its purl and its artifacts' hashes."""
    content = _bill(tmp_path / "golive.cdx.json")
    listed = {
        each["name"]: (each["version"], each["purl"], {h["content"] for h in each["externalReferences"][0]["hashes"]})
        for each in content["components"]
    }
    text = locked.RUNTIME.read_text()
    assert len(listed) == text.count("==") - text.count(" == ")
    assert sum(len(hashes) for _, _, hashes in listed.values()) == text.count("--hash=sha256:")
    for package in locked.read(locked.RUNTIME):
        purl = f"pkg:pypi/{package.name}@{package.version}"
        assert listed[package.name] == (package.version, purl, set(package.hashes))
    assert content["metadata"]["component"]["name"] == "golive"


def test_the_bill_says_licences_and_what_needs_what(tmp_path: Path) -> None:
    """Each component has its licence, each dependency of golive stands under it, extras included (greenlet)."""
    content = _bill(tmp_path / "golive.cdx.json")
    assert [each["name"] for each in content["components"] if not each.get("licenses")] == []
    needs = {each["ref"].split("/")[1].split("@")[0]: each.get("dependsOn", []) for each in content["dependencies"]}
    project = tomllib.loads((locked.ROOT / "pyproject.toml").read_text())["project"]
    assert len(needs["golive"]) == len(project["dependencies"])
    assert any("/greenlet@" in each for each in needs["sqlalchemy"])
    markers = {each["name"]: each["properties"][0]["value"] for each in content["components"] if "properties" in each}
    assert markers["colorama"] == 'sys_platform == "win32"'


@pytest.mark.filterwarnings("ignore:The Component this BOM is describing:UserWarning")
def test_the_bill_is_the_same_each_time(tmp_path: Path) -> None:
    """The same lock gives the same bytes; another lock another serial number."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    first = _bill(one)
    _bill(two)
    assert one.read_bytes() == two.read_bytes()
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"planted==1.0 \\\n    --hash=sha256:{HASH}\n")
    other = _bill(two, "--lock", str(lock))
    assert other["serialNumber"] != first["serialNumber"]
    assert [each["name"] for each in other["components"]] == ["planted"]


def test_a_package_without_a_hash_makes_no_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lock that does not say what may be installed is refused."""
    lock = tmp_path / "requirements.lock"
    lock.write_text("planted==1.0\n")
    assert sbom.main(["--lock", str(lock), "--output", str(tmp_path / "bill.json")]) == 2
    assert "has no SHA-256" in capsys.readouterr().err
    assert not (tmp_path / "bill.json").exists()
