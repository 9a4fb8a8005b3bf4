"""The contract of a store: the fingerprints of secrets."""

from golive.store.fingerprints import FingerprintRow
from golive.store.ports import Store

SEEN = FingerprintRow("ab" * 32, "env:KEY", 5.5)


async def test_a_fingerprint_is_kept_since_it_was_first_seen(store: Store) -> None:
    """Seen again later changes nothing."""
    await store.fingerprints.put(SEEN)
    await store.fingerprints.put(FingerprintRow("ab" * 32, "file:other", 9.5))
    await store.fingerprints.put(FingerprintRow("cd" * 32, "env:KEY", 4.5))
    assert await store.fingerprints.rows() == [FingerprintRow("cd" * 32, "env:KEY", 4.5), SEEN]


async def test_a_revocation_stands_for_good_and_moves_the_control_version(store: Store) -> None:
    """Whoever sees the value again, or revokes it again, does not take it back."""
    await store.fingerprints.put(SEEN)
    before = await store.control_version()
    await store.fingerprints.put(FingerprintRow("ab" * 32, "env:KEY", 7.0, 7.0, "key:op", "leaked", True))
    assert await store.control_version() > before
    revoked = FingerprintRow("ab" * 32, "env:KEY", 5.5, 7.0, "key:op", "leaked", True)
    assert await store.fingerprints.rows() == [revoked]
    await store.fingerprints.put(SEEN)
    await store.fingerprints.put(FingerprintRow("ab" * 32, "env:KEY", 9.0, 9.0, "cli", "again", False))
    assert await store.fingerprints.rows() == [revoked]
