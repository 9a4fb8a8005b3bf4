"""What a store keeps beside runs: each kind has a module with its rows and its contract."""

from typing import Protocol

from golive.store.audit import KeepsAudit
from golive.store.data_keys import KeepsDataKeys
from golive.store.fingerprints import KeepsFingerprints
from golive.store.revocation import KeepsRevocations


class Keeps(KeepsAudit, KeepsDataKeys, KeepsFingerprints, KeepsRevocations, Protocol):
    """All of it."""
