"""Data keys over HTTP: which there are, a new one for a tenant, all wrapped under the server's master key.

No reference to a master key is taken from a request: which one counts says the configuration alone.
"""

from msgspec import Struct

from golive.core.chance import Chance
from golive.core.errors import Forbidden, NotFound
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.permit import deciding
from golive.gateway.routes import Answer, Param, Route
from golive.store.data_keys import DataKeyStore
from golive.store.sealed.cards import DataKeyCard, UserKeysCard, card_of, users_card
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.rotation import Rewrapped, rewrap
from golive.tenants.authorize import INSTALLATION, Principal


class DataKeyList(Struct, frozen=True):
    """`data`: the keys of tenants. `users`: how many keys their users have, by state. `master`: the name of the master
    key that new keys are wrapped under; `accepted`: of all that unwrap; both empty for other tenants than the
    installation's."""

    data: list[DataKeyCard]
    users: list[UserKeysCard]
    master: str
    accepted: list[str]


class DataKeyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    every_tenant: bool = False


class NewDataKey(Struct, frozen=True):
    """`key`: the id of the one that the tenant's new values go under now."""

    tenant: str
    key: str


class DataKeyFaces:
    """Handlers of /v1/secrets/data-keys."""

    def __init__(self, store: DataKeyStore, keys: DataKeys, chance: Chance) -> None:
        self._store = store
        self._keys = keys
        self._chance = chance
        self._query = Reader(DataKeyQuery)

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/secrets/data-keys"""
        principal = exchange.principal
        every = self._query.query(exchange.scope["query_string"]).every_tenant
        if every:
            _demand_across(exchange, principal)
        whole = principal.across or principal.tenant == INSTALLATION
        mine = [row for row in await self._store.all() if every or row.tenant == principal.tenant]
        users = [row for row in await self._store.counts() if row.scope == "user"]
        masters = self._keys.masters
        await exchange.json(
            DataKeyList(
                [card_of(row, whole) for row in mine],
                [users_card(row, whole) for row in users if every or row.tenant == principal.tenant],
                masters.present if whole else "",
                sorted(masters.accepted) if whole else [],
            )
        )

    async def rotate(self, exchange: Exchange) -> None:
        """POST /v1/secrets/data-keys/rotate"""
        tenant = exchange.principal.tenant
        if not self._keys.writes(tenant):
            await self._keys.refresh()
        if not self._keys.writes(tenant):
            raise NotFound(
                f"There is no data key of the tenant {tenant!r}.",
                remedy="A tenant gets one with its first run; an erased one gets none any more.", tenant=tenant,
            )  # fmt: skip
        made = await self._keys.rotate(tenant)
        exchange.tell(name=made)
        await exchange.json(NewDataKey(tenant, made), 201)

    async def rewrap(self, exchange: Exchange) -> None:
        """POST /v1/secrets/data-keys/rewrap"""
        done = await rewrap(self._store, self._keys.masters, self._chance)
        exchange.tell(name=done.master, wrapped=str(done.wrapped))
        await exchange.json(done)

    def routes(self) -> list[Route]:
        """All routes of this face."""
        every = Param("every_tenant", "query", "Those of every tenant, for who may act across tenants.", type="boolean")
        return [
            Route(
                "GET", "/v1/secrets/data-keys", "secrets.read", self.listing, "List the keys of stored content",
                kind="data-key", tag="Secrets", params=(every,),
                answers=(Answer(200, "The tenant's own, never what is in them.", DataKeyList),),
            ),
            Route(
                "POST", "/v1/secrets/data-keys/rotate", "secrets.manage", self.rotate, "Replace the tenant's data key",
                kind="data-key", tag="Secrets",
                answers=(Answer(201, "New content goes under the new key, on every server in a moment.", NewDataKey),),
            ),
            Route(
                "POST", "/v1/secrets/data-keys/rewrap", "secrets.manage", self.rewrap,
                "Wrap all data keys under the server's master key", kind="data-key", tag="Secrets",
                owner="installation",
                answers=(Answer(200, "How many there were under another one.", Rewrapped),),
            ),
        ]  # fmt: skip


def _demand_across(exchange: Exchange, principal: Principal) -> None:
    with deciding(exchange, "secrets.read", "data-key", "of every tenant"):
        if not principal.across:
            raise Forbidden(
                "Data keys of every tenant are shown to those alone who act across tenants.",
                remedy="Leave out `every_tenant`, or use a key of the role platform.",
                verb="secrets.read", role=principal.role,
            )  # fmt: skip
