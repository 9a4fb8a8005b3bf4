"""What the store keeps of the keys that content is sealed under: wrapped, and which of them is whose.

Owns the rows and the contract. What is sealed under them, and how they are wrapped, belongs to `store/sealed`.
"""

from typing import Literal, Protocol

from msgspec import Struct

Scope = Literal["tenant", "user"]


class DataKeyRow(Struct, frozen=True):
    """A data key, as it is kept. Times are seconds since the epoch.

    `wrapped`: sealed by the master key whose fingerprint is `master`; b"" once it was destroyed (`erased_at`).
    `scope`: the key of a whole tenant (`subject` ""), or of one of its users. `reserved`: no more values than that were
    sealed under it. Of the keys of one subject at most one is neither retired nor erased: new values go under that.
    """

    tenant: str
    id: str
    scope: Scope
    subject: str
    wrapped: bytes
    master: str
    reserved: int
    created_at: float
    retired_at: float | None = None
    erased_at: float | None = None


class DataKeyStore(Protocol):
    """The data keys of all tenants: what is sealed must be opened before anything else is known of it."""

    async def installation(self) -> str:
        """The id of the installation, which stays the same in its copies and backups."""
        ...

    async def all(self) -> list[DataKeyRow]:
        """Every key, the retired and the erased ones too, by tenant and id."""
        ...

    async def add(self, row: DataKeyRow, replaces: str | None) -> bool:
        """Adds the key, and retires the one of id `replaces` as of `row.created_at`; the control version grows.

        Returns False, and changes nothing, where another key than that is the subject's present one (None: any), or the
        id is taken.
        """
        ...

    async def reserve(self, tenant: str, id_: str, count: int, most: int) -> bool:
        """Adds `count` to `reserved`; False, and changes nothing, where that came to more than `most`, or the key is
        retired, erased or gone."""
        ...

    async def rewrap(self, row: DataKeyRow, wrapped: bytes, master: str) -> bool:
        """Replaces what is wrapped; False, and changes nothing, where the key is no more as in `row`."""
        ...

    async def erase(self, tenant: str, scope: Scope | None, subject: str, at: float) -> int:
        """Destroys the wrapped keys of a tenant (`scope` None), or of one subject of it; how many there were.

        What was sealed under them can be read by nobody any more; the control version grows.
        """
        ...


class KeepsDataKeys(Protocol):
    """A store that keeps data keys."""

    data_keys: DataKeyStore
