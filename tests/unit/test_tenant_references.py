"""A tenant's reference leads where its pattern says: by its parts as a backend uses them, and by where a file lies."""

from pathlib import Path

import pytest

from golive.config.schema import SecretsConfig
from golive.config.secret_backends.reference import parse
from golive.config.secrets import Secrets
from golive.config.tenant_references import may_set
from golive.core.errors import ConfigError, SecretMissing

FILES = ("file:tenants/{tenant}/*",)
VAULT = ("vault:tenants/{tenant}/*", "aws-sm:{tenant}-key#one", "aws-sm:{tenant}/*")


@pytest.mark.parametrize(
    "reference",
    [
        "file:tenants/acme/team#1/../../other/key", "file:tenants/acme/#/../../other/key", "file:tenants/acme/../x",
        "file:tenants/acme/x@../../other", "file:tenants/acme/./x", "file:tenants/acme//x", "file:tenants/other/x",
        "file:tenants/acme/%2e%2e/x", "file:tenants/acme/a\\b", "file:tenants/acme/..",
        "vault:tenants/acme/../other/x#key", "vault:tenants/acme/x?version=1#key", "vault:tenants/acme/x#a/../b",
        "vault:tenants/acme/%2e%2e/x#key", "aws-sm:acme-key#two", "aws-sm:acme-key", "aws-sm:acme2/x",
    ],
)  # fmt: skip
def test_no_reference_climbs_out_of_what_the_tenant_is_given(reference: str) -> None:
    """Also behind a `#`, which separates nothing in the name of a file."""
    assert not may_set((*FILES, *VAULT), "acme", parse(reference))


@pytest.mark.parametrize(
    "reference",
    [
        "file:tenants/acme/key", "file:tenants/acme/team#1/key", "file:tenants/acme/..data", "vault:tenants/acme/x#key",
        "aws-sm:acme-key#one", "aws-sm:acme/x#key@AWSPREVIOUS",
    ],
)  # fmt: skip
def test_what_lies_below_the_beginning_may_be_set(reference: str) -> None:
    """Names with `#` in them, and stages, too."""
    assert may_set((*FILES, *VAULT), "acme", parse(reference))


def _secrets(root: Path) -> Secrets:
    for tenant in ("acme", "other"):
        (root / "tenants" / tenant / "data").mkdir(parents=True)
        (root / "tenants" / tenant / "data" / "key").write_text(f"key-of-{tenant}")
    return Secrets.of(root, {}, SecretsConfig(tenant_references=FILES))


def test_a_link_leads_nobody_out_of_the_tenants_folder(tmp_path: Path) -> None:
    """Links within it, as Kubernetes makes them, are followed; so is one that the folder itself stands behind."""
    secrets = _secrets(tmp_path)
    mine = tmp_path / "tenants" / "acme"
    (mine / "within").symlink_to("data/key")
    (mine / "out").symlink_to("../other/data/key")
    (mine / "around").symlink_to("around")
    assert secrets.resolve("file:tenants/acme/within") == "key-of-acme"
    for name in ("out", "around", "data/../../other/data/key"):
        with pytest.raises(ConfigError, match="leads out of the folder"):
            secrets.resolve(f"file:tenants/acme/{name}")
    (tmp_path / "tenants").rename(tmp_path / "elsewhere")
    (tmp_path / "tenants").symlink_to("elsewhere")
    assert secrets.resolve("file:tenants/acme/within") == "key-of-acme"
    with pytest.raises(SecretMissing):
        secrets.resolve("file:tenants/acme/none")


def test_a_file_that_no_pattern_covers_is_read_wherever_it_leads(tmp_path: Path) -> None:
    """Those are the installation's own; and what an edit covers from now on is looked at anew."""
    secrets = _secrets(tmp_path)
    (tmp_path / "own").symlink_to("tenants/other/data/key")
    (tmp_path / "tenants" / "acme" / "out").symlink_to("../other/data/key")
    assert secrets.resolve("file:own") == "key-of-other"
    secrets.contain(())
    assert secrets.resolve("file:tenants/acme/out") == "key-of-other"
    secrets.contain(FILES)
    with pytest.raises(ConfigError, match="leads out of the folder"):
        secrets.resolve("file:tenants/acme/out")


def test_control_characters_make_no_reference(tmp_path: Path) -> None:
    """Whoever stored it, and wherever: an error of the configuration, never of the programme."""
    secrets = Secrets(tmp_path, {})
    for reference in ("file:a\0b", "file:a\nb", "vault:a/b#\0", "file:\ud800"):
        with pytest.raises(ConfigError, match="is none of"):
            secrets.resolve(reference)
    with pytest.raises(ConfigError, match="cannot be read"):
        secrets.resolve(f"file:{'a' * 300}")
