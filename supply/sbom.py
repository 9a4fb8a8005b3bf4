"""`make sbom`: the bill of materials of golive in CycloneDX 1.6 (JSON), out of the lock file, without a network.

Every package of the lock stands in it: version, package URL, the SHA-256 of each artifact that may be installed, the
marker where it is not for every platform, the licence where `licences.py` is certain of it, and what needs what on this
platform. The same lock and environment give the same bytes: no time, no chance.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from supply import licences, locked, policy
from supply.locked import Locked, Unreadable


def bill(packages: Sequence[Locked], rules: policy.Policy, seed: bytes) -> Bom:
    """The bill of materials of golive with these packages.

    Args:
        seed: What the serial number is made of: the bytes of the lock file.
    """
    project = tomllib.loads((locked.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"golive {project['version']} {sha256(seed).hexdigest()}"))
    bom.metadata.timestamp = None  # type: ignore[assignment]  # optional in CycloneDX; a time would change the bytes
    root = Component(
        type=ComponentType.APPLICATION,
        name=project["name"],
        version=project["version"],
        description=project["description"],
        licenses=[_declared(project["license"])],
        bom_ref=f"pkg:pypi/{project['name']}@{project['version']}",
    )
    bom.metadata.component = root
    components = {package.name: _component(package, rules) for package in packages}
    bom.components.update(components.values())
    for name, extras in licences.everything().items():
        needed = sorted(licences.needs(name, extras).keys() & components.keys())
        bom.register_dependency(components.get(name, root), [components[each] for each in needed])
    return bom


def _declared(expression: str) -> LicenseExpression:
    return LicenseExpression(expression, acknowledgement=LicenseAcknowledgement.DECLARED)


def _component(package: Locked, rules: policy.Policy) -> Component:
    url = PackageURL("pypi", name=package.name, version=package.version)
    finding = licences.judge(package, rules)
    known = rules.spdx(finding.licence)
    artifacts = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(url.to_string()),
        comment="each hash is that of one artifact of this version that may be installed",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in package.hashes],
    )
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=url,
        bom_ref=url.to_string(),
        licenses=[_declared(known)] if known is not None else [],
        external_references=[artifacts],
        properties=[Property(name="golive:marker", value=str(package.marker))] if package.marker is not None else [],
    )


def text(bom: Bom) -> str:
    """The bill as JSON, held to the schema of CycloneDX.

    Raises:
        Unreadable: It does not follow the schema, which is a fault of ours.
    """
    written = str(JsonV1Dot6(bom).output_as_string(indent=2))
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(written)
    if fault is not None:
        raise Unreadable(f"the bill does not follow CycloneDX 1.6: {fault}")
    return written + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bill. 0: written; 2: a file cannot be read, or the bill does not follow its schema."""
    parser = argparse.ArgumentParser(prog="python -m supply.sbom", description=__doc__)
    parser.add_argument("--lock", type=Path, default=locked.RUNTIME, help="the lock file")
    parser.add_argument("--output", type=Path, default=locked.ROOT / "build" / "golive.cdx.json")
    chosen = parser.parse_args(arguments)
    try:
        packages = locked.read(chosen.lock)
        written = text(bill(packages, policy.read(), chosen.lock.read_bytes()))
    except (Unreadable, PackageNotFoundError) as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 2
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(written, "utf-8")
    serial = json.loads(written)["serialNumber"]
    print(f"{chosen.output.name}: {len(packages)} packages, {serial}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
