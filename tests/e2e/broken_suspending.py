"""Sabotages of how the suspended are kept out; see `broken_server.py`."""

from typing import Any


def hard_of_hearing() -> None:
    """The directory of tenants is read at the start, and by whoever changes it; others' changes it learns of late."""
    from golive.tenants import directory

    directory.POLL_S = 2.5


def unending() -> None:
    """Whoever is suspended begins nothing more; what is open goes on."""
    from golive.runtime.barring import Barring

    Barring.look = lambda self: None  # type: ignore[method-assign]


def userless() -> None:
    """Tenants are held against the directory, and users are not."""
    from golive.tenants.directory import Directory

    real = Directory.barred

    def barred(self: Any, tenant: str, user: str | None = None) -> str | None:
        return real(self, tenant)

    Directory.barred = barred  # type: ignore[method-assign]


def zealous() -> None:
    """With one user, everybody in the tenant is out."""
    from golive.tenants.directory import USER_SUSPENDED, Directory

    real = Directory.barred

    def barred(self: Any, tenant: str, user: str | None = None) -> str | None:
        return USER_SUSPENDED if any(of == tenant for of, _ in self.out()) else real(self, tenant, user)

    Directory.barred = barred  # type: ignore[method-assign]
