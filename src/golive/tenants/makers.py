"""Whose work a key is: the person who made it, or whose key made it, however many keys lie between.

A key of a person's does not outlive the person: who is suspended or erased has none that works (`directory.py`), and
whoever's tokens are revoked has their keys revoked with them. Owns who that is; a key that a command made is nobody's.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec import structs

from golive.core.clock import Clock
from golive.store.ports import KeyRow, Store
from golive.tenants.authorize import Principal
from golive.tenants.changing import over_what_stands
from golive.tenants.rolebook import person_of

Maker = tuple[str, str]
"""A person: the tenant they are of, and the name they bear there."""
_USER, _KEY = "user:", "key:"


def signature(by: Principal) -> str:
    """What `created_by` of a key says: the principal's id, with its own tenant before it (`acme/`) in another's."""
    return by.id if by.home == by.tenant else f"{by.home}/{by.id}"


def is_persons(by: Principal) -> bool:
    """Whether who asks is a person, or a key that is a person's work."""
    return by.maker is not None or by.id.startswith(_USER)


def maker_of(row: KeyRow, others: Mapping[str, Maker | None]) -> Maker | None:
    """The person whose key it is; None: nobody's. `others`: the same of the keys that were there before."""
    person = person_of(row.role)
    if person is not None:
        return row.tenant, person
    home, slash, id_ = row.created_by.partition("/")
    if not slash or ":" in home:  # the name of a person may hold one
        home, id_ = row.tenant, row.created_by
    if id_.startswith(_USER):
        return home, id_[len(_USER) :]
    return others.get(id_[len(_KEY) :]) if id_.startswith(_KEY) else None


def makers(rows: Iterable[KeyRow]) -> dict[str, Maker | None]:
    """Of each key by its id."""
    known = {row.id: row for row in rows}
    found: dict[str, Maker | None] = {}
    for row in known.values():
        way: list[KeyRow] = []
        at: KeyRow | None = row
        while at is not None and at.id not in found:
            found[at.id] = None  # for a circle, which nobody can make
            way.append(at)
            at = known.get(at.created_by.rpartition(_KEY)[2]) if _KEY in at.created_by else None
        for one in reversed(way):
            found[one.id] = maker_of(one, found)
    return found


async def end_keys_of(
    store: Store, clock: Clock, theirs: Callable[[Maker], bool], before: float,
) -> Collection[KeyRow]:  # fmt: skip
    """Revokes the keys, sessions included, of the people whom `theirs` means, that were made at or before `before`.

    Raises StoreError: some may be revoked, some not; again ends the rest.
    """
    rows = await store.all_keys()
    whose = makers(rows)
    ended: list[KeyRow] = []
    for row in rows:
        maker = whose[row.id]
        if maker is not None and row.revoked_at is None and row.created_at <= before and theirs(maker):
            ended.append(await _end(store, row, clock.now()))
    return ended


async def _end(store: Store, row: KeyRow, now: float) -> KeyRow:
    mine = store.tenant(row.tenant)

    async def once() -> KeyRow:
        read = next((each for each in await mine.keys() if each.id == row.id), row)
        revoked = structs.replace(read, revoked_at=read.revoked_at or now)
        await mine.put_key(revoked, read)
        return revoked

    return await over_what_stands(once)
