"""Licences: each runtime dependency's is known and allowed, and one that is not fails with words."""

from pathlib import Path

import pytest

from supply import licences, locked, policy
from supply.locked import Unreadable
from supply.policy import Review
from tests.supply.planted import HASH, Planted, finding, package, rules


def test_every_runtime_dependency_has_an_allowed_licence(capsys: pytest.CaptureFixture[str]) -> None:
    """`make licences` passes over the lock as it is, and lists each of its packages with its version."""
    assert licences.main([]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert [[each.name, each.version] in rows for each in locked.read(locked.RUNTIME)].count(False) == 0
    assert {"boto3", "hvac"} <= {row[0] for row in rows}, "the extras count too"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"License-Expression": "GPL-3.0-only"}, "GPL-3.0-only is copyleft"),
        ({"License-Expression": "MIT AND AGPL-3.0-or-later"}, "AGPL-3.0-or-later is copyleft"),
        ({"License-Expression": "GPL-2.0-only WITH Classpath-exception-2.0"}, "is copyleft"),
        ({"License-Expression": "BUSL-1.1"}, "BUSL-1.1 is not on the list of allowed licences"),
        ({"License-Expression": "LicenseRef-Proprietary"}, "unknown"),
        ({"License": "MIT", "Classifier": "License :: OSI Approved :: GNU General Public License (GPL)"}, "unknown"),
        ({"License": "BSD"}, "unknown: its metadata says BSD"),
        ({"License": "word " * 100}, "unknown: its metadata says nothing"),
        ({}, "unknown: its metadata says nothing"),
    ],
)
def test_a_planted_licence_is_refused_with_words(fields: dict[str, str], words: str) -> None:
    """Copyleft, not on the list, contradictory, unclear and missing: each is refused, and the words say which."""
    assert words in licences.judge(package(), rules(), finding(Planted("planted", "1.0", fields))).objection


@pytest.mark.parametrize(
    "fields",
    [
        {"License-Expression": "MIT"},
        {"License-Expression": "GPL-3.0-only OR MIT"},
        {"License-Expression": "Apache-2.0 AND MIT"},
        {"License": "MIT License"},
        {"License": "word " * 100, "Classifier": "License :: OSI Approved :: MIT License"},
    ],
)
def test_an_allowed_licence_passes_however_it_is_said(fields: dict[str, str]) -> None:
    """Expressions, words and classifiers; of a choice one allowed licence is enough."""
    assert licences.judge(package(), rules(), finding(Planted("planted", "1.0", fields))).objection == ""


def test_a_package_that_cannot_be_looked_at_is_unknown() -> None:
    """Not installed, or another version than the locked one: refused, with the remedy."""
    assert "make setup" in licences.judge(package(), rules(), finding()).objection
    other = Planted("planted", "2.0", {"License-Expression": "MIT"})
    assert "2.0 is in this environment: make setup" in licences.judge(package(), rules(), finding(other)).objection


def test_a_review_counts_for_its_version_alone() -> None:
    """What a person read of one version says nothing of the next."""
    unclear = Planted("planted", "1.0", {"License": "BSD"})
    read = rules(planted=Review("1.0", "BSD-3-Clause", False, "LICENSE in its wheel"))
    assert licences.judge(package(), read, finding(unclear)).objection == ""
    older = rules(planted=Review("0.9", "BSD-3-Clause", False, "LICENSE in its wheel"))
    assert "(the review is of 0.9)" in licences.judge(package(), older, finding(unclear)).objection


def test_a_review_does_not_make_copyleft_allowed_unless_it_says_so() -> None:
    """Reading a licence and accepting it are two acts."""
    read = rules(planted=Review("1.0", "MPL-2.0", False, "its LICENSE"))
    assert licences.judge(package(), read, finding()).objection == "MPL-2.0 is copyleft"
    accepted = rules(planted=Review("1.0", "MPL-2.0", True, "used unchanged"))
    assert licences.judge(package(), accepted, finding()).objection == ""


def test_a_lock_with_a_stranger_in_it_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with 1 and names the package; without hashes or pins it ends with 2."""
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"gpl-of-nobody==1.0 \\\n    --hash=sha256:{HASH}\n")
    assert licences.main(["--lock", str(lock)]) == 1
    assert "refused: gpl-of-nobody 1.0: unknown" in capsys.readouterr().err
    lock.write_text("gpl-of-nobody>=1.0\n")
    assert licences.main(["--lock", str(lock)]) == 2
    assert "not pinned to one version" in capsys.readouterr().err


def test_a_gpl_package_in_the_lock_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package under the GPL, locked and installed: the command ends with 1 and says what is wrong with it."""
    metadata = tmp_path / "gpl_of_somebody-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(
        "Metadata-Version: 2.4\nName: gpl-of-somebody\nVersion: 1.0\nLicense-Expression: GPL-3.0-only\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"gpl-of-somebody==1.0 \\\n    --hash=sha256:{HASH}\n")
    assert licences.main(["--lock", str(lock)]) == 1
    assert "refused: gpl-of-somebody 1.0: GPL-3.0-only is copyleft" in capsys.readouterr().err


def test_every_review_is_of_what_is_locked() -> None:
    """A review of what is not there any more, or of another version, is taken out or done anew."""
    held = {each.name: each.version for each in licences.packages(locked.RUNTIME, locked.DEVELOPMENT)}
    stale = {
        name: review.version for name, review in policy.read().reviewed.items() if held.get(name) != review.version
    }
    assert stale == {}


def test_a_policy_that_is_not_as_it_should_be_is_refused(tmp_path: Path) -> None:
    """No list, a licence that is no SPDX expression, an acceptance without an end."""
    path = tmp_path / "policy.toml"
    for text in (
        "allowed =",
        "words = {}",
        'allowed = []\n[[reviewed]]\nname = "a"\nversion = "1"\nlicence = "BSD"\nbecause = ""',
        'allowed = []\n[[accepted]]\nadvisory = "X-1"\npackage = "a"\nuntil = "never"\nbecause = ""',
    ):
        path.write_text(text)
        with pytest.raises(Unreadable, match="not as it should be"):
            policy.read(path)
