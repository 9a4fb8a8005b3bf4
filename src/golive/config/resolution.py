"""Whether a reference to a secret leads to a value now, and if not why; never to which."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from golive.core.errors import ConfigError, SecretMissing, SecretRevoked, SecretUnavailable

Resolves = Literal["resolved", "missing", "unavailable", "revoked", "unusable"]
_OF_A_TENANT: dict[Resolves, tuple[str, str]] = {
    "missing": (
        "there is no value behind it",
        "Put the credential where the reference leads to, or set another reference.",
    ),
    "unavailable": ("its backend cannot be asked, or refused", "Try again later; else ask whoever runs this server."),
    "revoked": ("its value was revoked", "Put a new credential where the reference leads to."),
    "unusable": ("what it leads to cannot be used", "Ask whoever runs this server."),
}


class Resolution(Struct, frozen=True):
    """`state`: resolved; missing: there is no value, or none yet; unavailable: its backend cannot be asked; revoked;
    unusable: what is there is no secret. `problem` says why it is not resolved, `remedy` what helps."""

    state: Resolves = "resolved"
    problem: str = ""
    remedy: str = ""

    def for_tenants(self) -> "Resolution":
        """The same in words that name nothing of the installation's."""
        return self if self.state == "resolved" else Resolution(self.state, *_OF_A_TENANT[self.state])


def resolution(resolve: Callable[[str], str], reference: str) -> Resolution:
    """How the reference stands; `resolve` as `Secrets.resolve`."""
    try:
        resolve(reference)
    except ConfigError as error:
        state: Resolves = "unusable"
        if isinstance(error, SecretMissing):
            state = "missing"
        elif isinstance(error, SecretUnavailable):
            state = "unavailable"
        elif isinstance(error, SecretRevoked):
            state = "revoked"
        return Resolution(state, error.message, error.remedy)
    return Resolution()
