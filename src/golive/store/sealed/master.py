"""The master keys of an installation: the one that data keys are wrapped under now, and those accepted besides."""

from collections.abc import Sequence

from msgspec.structs import replace

from golive.core.chance import Chance
from golive.core.errors import ContentSealed
from golive.core.sealing import KEY_BYTES, NONCE_BYTES, NotAuthentic, SealingKey, fingerprint, place
from golive.store.data_keys import DataKeyRow, Scope


class Masters:
    """Wraps and unwraps data keys. What is wrapped is bound to installation, tenant, subject and the key's id."""

    def __init__(self, installation: str, present: bytes, old: Sequence[bytes] = ()) -> None:
        """`installation`: its id. Raises ValueError unless each key has 32 bytes."""
        self.installation = installation
        self.present = fingerprint(present)
        """The name of the master key that new data keys are wrapped under."""
        self._keys = {fingerprint(key): SealingKey(key) for key in (present, *old)}

    @property
    def accepted(self) -> frozenset[str]:
        """The names of all that unwrap."""
        return frozenset(self._keys)

    def new(
        self, tenant: str, id_: str, now: float, chance: Chance, scope: Scope = "tenant", subject: str = ""
    ) -> DataKeyRow:
        """A fresh data key, of which no value may be sealed yet."""
        row = DataKeyRow(tenant, id_, scope, subject, b"", self.present, 0, now)
        return replace(row, wrapped=self._wrap(row, chance.token(KEY_BYTES), chance))

    def unwrap(self, row: DataKeyRow) -> bytes:
        """The data key itself.

        Raises:
            ContentSealed: it is wrapped under a master key that was not given, or is damaged, or another row's.
        """
        key = self._keys.get(row.master)
        if key is None:
            raise ContentSealed(
                f"The data key {row.id} of {row.tenant} is wrapped under the master key {row.master}, which golive was "
                f"not given: it has {', '.join(sorted(self._keys))}.",
                remedy="Set secrets.master_key to the key that the database was written with, or name it in "
                "secrets.old_master_keys. No other key opens what is there.",
                tenant=row.tenant, key_id=row.id, master=row.master,
            )  # fmt: skip
        try:
            return key.open(row.wrapped, self._place(row))
        except NotAuthentic:
            raise ContentSealed(
                f"The data key {row.id} of {row.tenant} cannot be unwrapped: its row was changed, or is of another "
                "installation.",
                remedy="Restore the table data_keys from a backup.",
                tenant=row.tenant, key_id=row.id, master=row.master,
            ) from None  # fmt: skip

    def rewrapped(self, row: DataKeyRow, chance: Chance) -> bytes:
        """What is wrapped in `row`, under the present master key. Raises ContentSealed."""
        return self._wrap(row, self.unwrap(row), chance)

    def _wrap(self, row: DataKeyRow, key: bytes, chance: Chance) -> bytes:
        return self._keys[self.present].seal(key, self._place(row), chance.token(NONCE_BYTES))

    def _place(self, row: DataKeyRow) -> bytes:
        return place("data key", self.installation, row.tenant, row.scope, row.subject, row.id)
