"""What is shown of data keys: all but what is in them."""

from typing import Literal

from msgspec import Struct

from golive.store.data_keys import DataKeyCount, DataKeyRow

KeyState = Literal["present", "retired", "erased"]


class DataKeyCard(Struct, frozen=True):
    """A data key of a tenant. `state`: present (new values go under it), retired (opens what was written), erased.

    `master`: the name of the master key that it is wrapped under, which tells nothing of that key; "" where it was
    erased, or whose it is may not know. `reserved`: no more values than that were sealed under it. Times are seconds
    since the epoch.
    """

    tenant: str
    id: str
    state: KeyState
    master: str
    reserved: int
    created_at: float
    retired_at: float | None
    erased_at: float | None


class UserKeysCard(Struct, frozen=True):
    """How many keys of a tenant's users are in one state, under one master key."""

    tenant: str
    state: KeyState
    master: str
    count: int


def state_of(row: DataKeyRow) -> KeyState:
    """Which of the three it is in."""
    if row.erased_at is not None:
        return "erased"
    return "present" if row.retired_at is None else "retired"


def card_of(row: DataKeyRow, whole: bool = True) -> DataKeyCard:
    """What is shown of a row; `whole`: to who may know the installation's master keys by name."""
    master = row.master if whole and row.erased_at is None else ""
    return DataKeyCard(
        row.tenant, row.id, state_of(row), master, row.reserved, row.created_at, row.retired_at, row.erased_at
    )


def users_card(row: DataKeyCount, whole: bool = True) -> UserKeysCard:
    """Likewise of a count."""
    return UserKeysCard(row.tenant, row.state, row.master if whole else "", row.count)
