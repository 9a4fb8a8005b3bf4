"""What a store keeps beside runs, and what it removes: each kind has a module with its rows and its contract."""

from typing import Protocol

from golive.store.audit import KeepsAudit
from golive.store.data_keys import KeepsDataKeys
from golive.store.erasures import KeepsErasures
from golive.store.fingerprints import KeepsFingerprints
from golive.store.removal import Removes
from golive.store.revocation import KeepsRevocations
from golive.store.tenancy import KeepsTenants


class Keeps(
    KeepsAudit, KeepsDataKeys, KeepsErasures, KeepsFingerprints, KeepsRevocations, KeepsTenants, Removes, Protocol
):  # fmt: skip
    """All of it."""
