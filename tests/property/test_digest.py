"""Whatever folders hold: the same content has the same digest, different content a different one."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from golive.releases.digest import digest

NAMES = st.text(alphabet="ab.-_é ", min_size=1, max_size=6).filter(lambda name: name.strip(".") == name)
FOLDERS = st.dictionaries(st.tuples(st.sampled_from(["x", "y/z"]), NAMES), st.binary(max_size=6), max_size=4)
LOCKS = st.none() | st.binary(max_size=6)


def written(files: Mapping[tuple[str, str], bytes], lock: bytes | None) -> str:
    """The digest of a folder with these files, written in the mapping's order."""
    with tempfile.TemporaryDirectory() as place:
        for (folder, name), content in files.items():
            path = Path(place) / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return digest(Path(place), lock, {})


@given(FOLDERS, LOCKS)
def test_order_and_place_do_not_matter(files: Mapping[tuple[str, str], bytes], lock: bytes | None) -> None:
    """Written elsewhere and in another order, the digest is the same."""
    assert written(files, lock) == written(dict(reversed(list(files.items()))), lock)


@given(FOLDERS, LOCKS, FOLDERS, LOCKS)
def test_different_contents_differ(
    one: Mapping[tuple[str, str], bytes],
    lock: bytes | None,
    other: Mapping[tuple[str, str], bytes],
    other_lock: bytes | None,
) -> None:
    """Two digests are equal exactly if files and locks are."""
    assert (written(one, lock) == written(other, other_lock)) == ((dict(one), lock) == (dict(other), other_lock))


@given(st.binary(max_size=8), st.integers(0, 8))
def test_bytes_cannot_move_between_files(content: bytes, cut: int) -> None:
    """Splitting the same bytes elsewhere over two files is other content."""
    whole = written({("x", "a"): content, ("x", "b"): b""}, None)
    split = written({("x", "a"): content[:cut], ("x", "b"): content[cut:]}, None)
    assert (whole == split) == (content[cut:] == b"")
