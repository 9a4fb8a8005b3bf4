"""The one table of failures: what another target may mend, what waiting may, what another credential may, whose fault.

docs/failures.md shows it to people; a test holds the two together.
"""

from typing import NamedTuple

from golive.core.errors import (
    ConfigError,
    ContentRefused,
    ContextTooLong,
    CredentialEnded,
    DeadlineExceeded,
    GoliveError,
    ModelAuthFailed,
    ModelBadRequest,
    ModelCut,
    ModelError,
    ModelMalformed,
    ModelNotFound,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
    NotContinued,
    Outrun,
)


class FailureClass(NamedTuple):
    """What may help after a failure of this class.

    moves: another target of the chain may do better, at once.
    retries: the same target may do better after a while.
    rotates: another credential of the same provider may do better, at once.
    blames: it counts against the provider in its circuit breaker.
    """

    moves: bool
    retries: bool
    rotates: bool
    blames: bool


TABLE: dict[type[GoliveError], FailureClass] = {
    #                              moves  retries rotates blames
    ModelUnreachable: FailureClass(True, True, False, True),
    ModelTimeout: FailureClass(True, True, False, True),
    ModelUnavailable: FailureClass(True, True, False, True),
    ModelRateLimited: FailureClass(True, True, True, True),
    ModelMalformed: FailureClass(True, True, False, True),
    ModelCut: FailureClass(True, True, False, True),
    ModelAuthFailed: FailureClass(True, False, True, True),
    CredentialEnded: FailureClass(True, True, True, False),
    ModelNotFound: FailureClass(True, False, False, False),
    ContextTooLong: FailureClass(True, False, False, False),
    ContentRefused: FailureClass(True, False, False, False),
    ModelBadRequest: FailureClass(False, False, False, False),
    NotContinued: FailureClass(False, False, False, False),
    Outrun: FailureClass(False, False, False, False),
    ModelError: FailureClass(True, False, False, False),
    ConfigError: FailureClass(True, False, True, False),
    DeadlineExceeded: FailureClass(False, False, False, False),
    GoliveError: FailureClass(True, False, False, False),
}
"""Of an error the nearest ancestor's row counts. ModelRateLimited with a Retry-After blames nobody (`gate.py`); for an
account whose quota is used up waiting is of no use (`of`)."""


def of(error: GoliveError) -> FailureClass:
    """The error's row."""
    found = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    if found.retries and error.fields.get("quota_exhausted"):
        return found._replace(retries=False)
    return found


def blames_provider(error: GoliveError) -> bool:
    """Whether the failure counts in the circuit breaker."""
    return of(error).blames
