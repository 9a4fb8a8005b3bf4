"""Sabotages of what keeps tenants apart; see `broken_server.py`."""

from typing import Any


def any_run() -> None:
    """A run is looked up by its id alone, as in a handler that forgets whose it must be."""
    from golive.runtime.service import Runtime

    real, all_tenants = Runtime.result, _all_tenants

    async def result(self: Any, tenant: str, run: str) -> Any:
        for each in (tenant, *await all_tenants(self._store)):
            try:
                return await real(self, each, run)
            except Exception as error:
                refused = error
        raise refused

    Runtime.result = result  # type: ignore[method-assign]


async def _all_tenants(store: Any) -> list[str]:
    return [row.tenant for row in await store.all_tenants()]


def all_keys() -> None:
    """The list of keys is that of the whole installation."""
    from golive.tenants.keys import KeyAdmin

    async def listed(self: Any, tenant: str, by: Any = None) -> Any:
        return sorted(await self._store.all_keys(), key=lambda row: row.created_at)

    KeyAdmin.list = listed  # type: ignore[method-assign]


def one_cache() -> None:
    """Kept answers are everybody's."""
    from msgspec.structs import replace

    from golive.models import cache

    real = cache.key_of
    cache.key_of = lambda ctx, *more: real(replace(ctx, tenant="", version=""), *more)


def one_conversation() -> None:
    """What was said in a conversation of that name is told to whoever names it."""
    from golive.memory.history import Past
    from golive.runtime import carrier
    from golive.store.ports import RunFilter
    from golive.store.sealed.store import SealedStore

    real, real_tenant = carrier.past, SealedStore.tenant  # type: ignore[attr-defined]
    opened: list[Any] = []

    def tenant(self: Any, name: str) -> Any:
        opened[:] = [self]
        return real_tenant(self, name)

    async def past(_: Any, conversation: str, but: str, *, summarised: bool, user: Any = None) -> Past:
        runs: tuple[Any, ...] = ()
        for name in await _all_tenants(opened[0]):
            store = opened[0].tenant(name)
            for of in {view.user for view in await store.runs(RunFilter(conversation=conversation))}:
                runs += (await real(store, conversation, but, summarised=summarised, user=of)).runs
        return Past(runs, "")

    SealedStore.tenant = tenant  # type: ignore[method-assign,assignment]
    carrier.past = past  # type: ignore[attr-defined,assignment]


def telltale() -> None:
    """Who asks for a run of another tenant is told that there is one."""
    from golive.core.errors import NotFound
    from golive.runtime.service import Runtime
    from golive.runtime.steering import no_run

    real = Runtime.result

    async def result(self: Any, tenant: str, run: str) -> Any:
        try:
            return await real(self, tenant, run)
        except NotFound:
            for each in await _all_tenants(self._store):
                if await self._store.tenant(each).run(run) is not None:
                    raise NotFound(f"The run {run} is not yours.", field="run", value=run) from None
            raise no_run(run) from None

    Runtime.result = result  # type: ignore[method-assign]


def everywhere() -> None:
    """Every key may act in every tenant."""
    from msgspec.structs import replace

    from golive.tenants.authentication import Credentials

    real = Credentials.authenticate

    async def authenticate(self: Any, header: str) -> Any:
        return replace(await real(self, header), across=True)

    Credentials.authenticate = authenticate  # type: ignore[method-assign]


def parcels() -> None:
    """There is a thing with an id of which no drill has heard."""
    from golive.gateway.routes import Answer, Param, Route
    from golive.gateway.store_face import StoreFace

    real = StoreFace.routes

    def routes(self: Any) -> list[Route]:
        async def show(exchange: Any) -> None:
            await exchange.json({"parcel": exchange.params["parcel"]})

        return [
            *real(self),
            Route(
                "GET", "/v1/parcels/{parcel}", "config.read", show, "Show a parcel",
                params=(Param("parcel", "path", "Its id."),), answers=(Answer(200, "The parcel.", dict),),
            ),
        ]  # fmt: skip

    StoreFace.routes = routes  # type: ignore[method-assign]


def town_crier() -> None:
    """Every webhook is told of every tenant's runs."""
    from golive.runtime import announce, webhooks

    announce.covers = webhooks.covers = lambda patterns, name: True  # type: ignore[attr-defined]


def one_clock() -> None:
    """All schedules begin their runs in the installation's own tenant."""
    from golive.runtime.schedulers import Schedulers

    def of(self: Any, tenant: str) -> Any:
        return self._schedules() if tenant == "default" else {}

    Schedulers.of = of  # type: ignore[method-assign]


def no_label() -> None:
    """Series do not say whose they are."""
    from golive.telemetry.metrics import Metrics

    Metrics.label = lambda self, tenant: "other"  # type: ignore[method-assign]


def one_broom() -> None:
    """What one tenant wants removed is removed for all."""
    from golive.runtime import retention

    real = retention._prune

    async def prune(store: Any, before: float, counted: Any, tenant: Any = None, but: Any = ()) -> None:
        await real(store, before, counted)

    retention._prune = prune
