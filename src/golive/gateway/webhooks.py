"""Webhooks over HTTP: how they stand, what became of each message, sending one again, trying one out."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from golive.config.explain import shown
from golive.config.outward import WebhookConfig
from golive.config.section import NAME
from golive.config.suggest import did_you_mean
from golive.core.clock import Clock
from golive.core.errors import InvalidRequest, NotFound
from golive.core.ids import Ids
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.pages import page
from golive.gateway.permit import reach, see
from golive.gateway.routes import Answer, Param, Route
from golive.gateway.whose import USER_PARAM, confined
from golive.runtime.announce import TEST, message
from golive.runtime.post import Attempt
from golive.store.ports import Delivery, Store
from golive.tenants.authorize import INSTALLATION
from golive.tenants.roles import ALL, Verb, covers, within

PAGE = 200
"""Most deliveries of one page."""
MESSAGE = r"^msg_[0-9a-z]{1,60}$"
"""Ids of messages."""

Deliver = Callable[[str, WebhookConfig, str, bytes], Awaitable[Attempt]]
"""Makes one attempt: name, settings, the message's id and body."""


class WebhookCard(Struct, frozen=True, kw_only=True):
    """A webhook as it is configured, and how many messages to it are due, sent and dead (as long as their runs are
    kept). `url` is without its query; `oldest_due_at` is when the oldest due message was made."""

    name: str
    url: str
    topics: tuple[str, ...]
    agents: tuple[str, ...]
    outcomes: tuple[str, ...]
    relayed: bool
    content: bool
    due: int
    sent: int
    dead: int
    oldest_due_at: float | None


class WebhookList(Struct, frozen=True):
    data: list[WebhookCard]


class DeliveryCard(Struct, frozen=True, kw_only=True):
    """A message and what became of it; its body is not shown. `due_at` is when it is sent, or was last.

    `state`: due, sent, dead (given up). `last_error` says why the last attempt failed.
    """

    id: str
    webhook: str
    run: str
    topic: str
    state: Literal["due", "sent", "dead"]
    attempts: int
    at: float
    due_at: float
    done_at: float | None
    last_error: str | None


class DeliveriesPage(Struct, frozen=True):
    """Messages, newest first. `next` is the `before` of the next page; null on the last one."""

    data: list[DeliveryCard]
    next: str | None


class DeliveriesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["due", "sent", "dead"] | None = None
    run: Annotated[str, Meta(pattern=r"^run_[0-9a-z]{1,60}$")] | None = None
    webhook: Annotated[str, Meta(pattern=NAME)] | None = None
    before: Annotated[str, Meta(pattern=MESSAGE)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE)] = 50


class TestDone(Struct, frozen=True, kw_only=True):
    """What came of a message of the type `golive.test`. `status` is null where there was no answer."""

    webhook: str
    id: str
    delivered: bool
    status: int | None
    error: str
    seconds: float


class WebhookFaces:
    """Handlers of /v1/webhooks and /v1/deliveries."""

    def __init__(
        self, *, webhooks: Callable[[], Mapping[str, WebhookConfig]], store: Store, deliver: Deliver,
        wake: Callable[[], None], clock: Clock, ids: Ids,
    ) -> None:  # fmt: skip
        """Takes what it asks.

        Args:
            webhooks: those there are now, by name.
            wake: says that there may be something to send.
        """
        self._webhooks = webhooks
        self._store = store
        self._deliver = deliver
        self._wake = wake
        self._clock = clock
        self._ids = ids
        self._query = Reader(DeliveriesQuery)

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/webhooks"""
        seen = self._seen(exchange, "webhooks.read")
        tenant = exchange.principal.tenant
        counted = await self._store.tenant(tenant).delivery_counts()
        counts = {(found.target, found.state): found.count for found in counted}
        oldest = {found.target: found.oldest_at for found in counted if found.state == "due"}
        cards = [
            WebhookCard(
                name=name, url=_shown(webhook, tenant), topics=webhook.topics, agents=webhook.agents,
                outcomes=webhook.outcomes, relayed=webhook.relayed, content=webhook.content,
                due=counts.get((name, "due"), 0), sent=counts.get((name, "sent"), 0),
                dead=counts.get((name, "dead"), 0), oldest_due_at=oldest.get(name),
            )
            for name, webhook in seen.items()
        ]  # fmt: skip
        await exchange.json(WebhookList(cards))

    async def test(self, exchange: Exchange) -> None:
        """POST /v1/webhooks/{name}/test"""
        name, id_ = exchange.params["name"], self._ids.new("msg")
        seen = self._seen(exchange, "webhooks.send")
        webhook = seen.get(name)
        if webhook is None:
            raise NotFound(
                f"There is no webhook {name[:120]!r}.",
                remedy=(near := did_you_mean(name[:120], seen)),
                advice="" if near else "Add [webhooks.NAME] to golive.toml.",
                field="name", value=name[:120],
            )  # fmt: skip
        attempt = await self._deliver(name, webhook, id_, message(TEST, self._clock.now(), {"webhook": name}))
        await exchange.json(
            TestDone(
                webhook=name, id=id_, delivered=attempt.verdict == "sent", status=attempt.status, error=attempt.error,
                seconds=round(attempt.seconds, 3),
            )
        )  # fmt: skip

    async def deliveries(self, exchange: Exchange) -> None:
        """GET /v1/deliveries"""
        query = self._query.query(exchange.scope["query_string"])
        store, seen = self._store.tenant(exchange.principal.tenant), reach(exchange, "webhooks.read", "delivery")
        only = confined(exchange)

        async def rows(before: str | None, limit: int) -> list[tuple[Delivery, str, str | None]]:
            """Each with the agent and the user that its run is of, where that decides."""
            found = await store.deliveries(
                run=query.run, state=query.state, target=query.webhook, before=before, limit=limit
            )
            return [(row, *await self._of(exchange, row, only)) for row in found]

        def theirs(row: tuple[Delivery, str, str | None]) -> bool:
            return seen(row[1]) and only in (None, row[2])

        data, after = await page(rows, lambda row: row[0].id, theirs, query.before, query.limit)
        await exchange.json(DeliveriesPage([card(row) for row, *_ in data], after))

    async def _of(self, exchange: Exchange, row: Delivery, only: str | None) -> tuple[str, str | None]:
        """The agent and the user that a message's run is of; "", which no pattern but `*` covers, and None where that
        decides nothing, or it is not known."""
        if not exchange.principal.limited and only is None:
            return "", None
        view = await self._store.tenant(exchange.principal.tenant).run(row.run)
        return ("", None) if view is None else (view.agent, view.user)

    def _seen(self, exchange: Exchange, verb: Verb) -> dict[str, WebhookConfig]:
        """The webhooks that who asks may see: those of their tenant that tell of no agents but theirs."""
        reach(exchange, verb, "webhook")
        grants = [grant for grant in exchange.principal.grants if verb in grant.verbs]
        agents = [pattern for grant in grants for pattern in grant.agents]
        return {
            name: webhook
            for name, webhook in self._webhooks().items()
            if covers(webhook.tenants, exchange.principal.tenant)
            and all(within(pattern, agents) for pattern in webhook.agents or ALL)
        }

    async def send(self, exchange: Exchange) -> None:
        """POST /v1/deliveries/{id}/send"""
        store, id_ = self._store.tenant(exchange.principal.tenant), exchange.params["id"]
        found = await self._find(exchange.principal.tenant, id_)
        only = confined(exchange)
        agent, user = await self._of(exchange, found, only)
        if not see(exchange, "webhooks.send", "delivery", id_, agent) or only not in (None, user):
            raise _no_message(id_)
        webhook = self._webhooks().get(found.target)
        if webhook is None or not covers(webhook.tenants, found.tenant):
            raise InvalidRequest(
                f"The message {id_} is to the webhook {found.target!r}, which is not configured any more.",
                advice=f"Add [webhooks.{found.target}] to golive.toml again.", field="id", value=id_,
            )  # fmt: skip
        await store.send_again(id_)
        self._wake()
        await exchange.json(card(await self._find(exchange.principal.tenant, id_)), 202)

    async def _find(self, tenant: str, id_: str) -> Delivery:
        rows: list[Delivery] = []
        if re.fullmatch(MESSAGE, id_):
            rows = await self._store.tenant(tenant).deliveries(before=f"{id_}~", limit=1)  # `~` sorts behind all ids
        if not rows or rows[0].id != id_:
            raise _no_message(id_)
        return rows[0]

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "GET", "/v1/webhooks", "webhooks.read", self.listing, "List webhooks", kind="webhook",
                narrows=True, tag="Webhooks",
                answers=(Answer(200, "Those of golive.toml, with counts.", WebhookList),),
            ),
            Route(
                "POST", "/v1/webhooks/{name}/test", "webhooks.send", self.test, "Try a webhook out", kind="webhook",
                narrows=True,
                tag="Webhooks", params=(Param("name", "path", "The webhook's name."),),
                answers=(Answer(200, "What the receiver answered; look at `delivered`.", TestDone),),
                description="Sends one message of the type `golive.test` at once; it is kept nowhere.",
            ),
            Route(
                "GET", "/v1/deliveries", "webhooks.read", self.deliveries, "List messages to webhooks", kind="delivery",
                narrows=True,
                tag="Webhooks",
                params=(*(Param(name, "query", "") for name in DeliveriesQuery.__struct_fields__), USER_PARAM),
                answers=(Answer(200, "A page of messages.", DeliveriesPage),),
            ),
            Route(
                "POST", "/v1/deliveries/{id}/send", "webhooks.send", self.send, "Send a message again", kind="delivery",
                narrows=True,
                tag="Webhooks", params=(Param("id", "path", "The message's id, such as msg_01jd3k…"),),
                answers=(Answer(202, "The message, due now, whatever became of it.", DeliveryCard),),
            ),
        ]  # fmt: skip


def _no_message(id_: str) -> NotFound:
    remedy = "List messages with `golive webhooks show NAME` (GET /v1/deliveries)."
    return NotFound(f"There is no message {id_[:120]!r}.", remedy=remedy, field="id", value=id_[:120])


def _shown(webhook: WebhookConfig, tenant: str) -> str:
    """Where it leads: to a tenant that shares it with others no more than the origin, for a path may be a secret."""
    url = shown(webhook.url)
    if tenant == INSTALLATION or webhook.tenants == (tenant,):
        return url
    return "/".join(url.split("/")[:3])


def card(row: Delivery) -> DeliveryCard:
    """What may be shown of a message."""
    return DeliveryCard(
        id=row.id, webhook=row.target, run=row.run, topic=row.topic, state=row.state, attempts=row.attempts, at=row.at,
        due_at=row.due_at, done_at=row.done_at, last_error=row.last_error,
    )  # fmt: skip
