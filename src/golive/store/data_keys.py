"""What the store keeps of the keys that content is sealed under: wrapped, and which of them is whose.

Owns the rows and the contract. What is sealed under them, and how they are wrapped, belongs to `store/sealed`.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from golive.core.errors import ContentErased

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


class DataKeyCount(Struct, frozen=True):
    """How many keys of one scope of a tenant are in one state, under one master key ("" once erased)."""

    tenant: str
    scope: Scope
    state: Literal["present", "retired", "erased"]
    master: str
    count: int


class Living(Struct, frozen=True):
    """A server process that lives. `masters`: names of the master keys that it has, the present one first; none where
    it has not said."""

    holder: str
    masters: tuple[str, ...]


class DataKeyStore(Protocol):
    """The data keys of all tenants: what is sealed must be opened before anything else is known of it.

    Of tenants there are few, and all of their keys are read at once; of users there may be millions, and theirs are
    read one by one.
    """

    async def installation(self) -> str:
        """The id of the installation, which stays the same in its copies and backups."""
        ...

    async def all(self) -> list[DataKeyRow]:
        """Every key of scope "tenant", the retired and the erased ones too, by tenant and id."""
        ...

    async def get(self, tenant: str, id_: str) -> DataKeyRow | None:
        """The key of that id, of whatever scope and state."""
        ...

    async def present(self, tenant: str, user: str) -> DataKeyRow | None:
        """The key that new values of a user go under."""
        ...

    async def erased(self, places: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Which of these keys (tenant and id) are erased, or gone."""
        ...

    async def counts(self) -> list[DataKeyCount]:
        """How many there are of each kind, by tenant, scope, state and master key."""
        ...

    async def to_rewrap(self, master: str, limit: int) -> list[DataKeyRow]:
        """Keys of both scopes that are not erased and wrapped under another master key than that, by tenant and id."""
        ...

    async def add(self, row: DataKeyRow, replaces: str | None) -> bool:
        """Adds the key, and retires the one of id `replaces` as of `row.created_at`.

        The control version grows where it is a tenant's: a user's is looked for by whoever needs it.

        Returns False, and changes nothing, where another key than that is the subject's present one (None: any), or the
        id is taken.

        Raises:
            ContentErased: the tenant, or this user of it, was erased: nothing of theirs is sealed any more.
        """
        ...

    async def reserve(self, tenant: str, id_: str, count: int, most: int) -> bool:
        """Adds `count` to `reserved`; False, and changes nothing, where that came to more than `most`, or the key is
        retired, erased or gone."""
        ...

    async def rewrap(self, row: DataKeyRow, wrapped: bytes, master: str) -> bool:
        """Replaces what is wrapped; False, and changes nothing, where the key is no more as in `row`."""
        ...

    async def plain_tenant(self) -> str | None:
        """A tenant whose oldest run is not sealed: it began before content was. None: there is none."""
        ...

    async def tell_masters(self, holder: str, masters: Sequence[str]) -> None:
        """Says which master keys a server process has, by name, which holds no space; nothing where none beats so."""
        ...

    async def living(self) -> list[Living]:
        """The server processes whose time is not over, by holder."""
        ...

    async def erase(self, tenant: str, scope: Scope | None, subject: str, at: float) -> int:
        """Destroys the wrapped keys of a tenant (`scope` None), or of one subject of it; how many there were.

        What was sealed under them can be read by nobody any more; the control version grows.
        """
        ...


def no_key_for(row: DataKeyRow) -> ContentErased:
    """Why no data key is made."""
    whose = f"the user {row.subject} of {row.tenant}" if row.scope == "user" else f"the tenant {row.tenant}"
    return ContentErased(
        f"Nothing is kept of {whose} any more: it was erased.",
        remedy="An erased name is not used again; choose another one.", tenant=row.tenant, subject=row.subject,
    )  # fmt: skip


PLAIN_TENANT = """
SELECT tenant FROM tenants WHERE (
    SELECT events.key_id IS NULL FROM events WHERE events.tenant = tenants.tenant ORDER BY run, seq LIMIT 1
) LIMIT 1
"""
"""Along the key of the events, for ids of runs grow with time. For both databases."""


class KeepsDataKeys(Protocol):
    """A store that keeps data keys."""

    data_keys: DataKeyStore
