"""Which database the server remembers in: what an operator asks of each replica before the schema is changed."""

from typing import Literal

from msgspec import Struct

from golive.gateway.exchange import Exchange
from golive.gateway.routes import Answer, Route
from golive.store import schema
from golive.store.ports import Store


class StoreCard(Struct, frozen=True, kw_only=True):
    """`server_schema`: the schema that this server knows; it runs on that, and on newer ones that allow it.

    `generation` rises when a backup is restored. `shared`: whether other servers may use the database beside this one.
    """

    kind: schema.Kind
    server_schema: int
    generation: int
    shared: bool


class StoreFace:
    """Handler of /v1/store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def show(self, exchange: Exchange) -> None:
        """GET /v1/store"""
        kind: Literal["sqlite", "postgresql"] = "postgresql" if self._store.shared else "sqlite"
        await exchange.json(
            StoreCard(
                kind=kind,
                server_schema=schema.VERSION,
                generation=await self._store.generation(),
                shared=self._store.shared,
            )
        )

    def routes(self) -> list[Route]:
        """The one route of this face."""
        return [
            Route(
                "GET", "/v1/store", "config.read", self.show, "Show the database", kind="store", owner="installation",
                answers=(Answer(200, "Its kind, the schema that this server knows, its generation.", StoreCard),),
            ),
        ]  # fmt: skip
