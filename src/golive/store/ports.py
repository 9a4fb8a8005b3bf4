"""The contract of a store. Two implementations keep it: SQLite (one file) and, past one machine, PostgreSQL.

Writes are grouped: one tick's go as one transaction. `append` alone writes to a run, and is fenced by epoch and
sequence number. Reads go through a tenant's handle, so that a forgotten filter is not a thing one can type.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from golive.core.events import DecisionKind, Event, Outcome, State
from golive.store.keeps import Keeps
from golive.store.room import Room
from golive.store.tenancy import TenantRecords


class Lease(Struct, frozen=True):
    """The right to write to one run, until a later epoch begins. `user`: in whose name the run was begun, if any."""

    tenant: str
    run: str
    epoch: int
    holder: str
    user: str | None = None


class DecisionRow(Struct, frozen=True, kw_only=True):
    """Something a run waits for a person to decide; holds no content. Replaced whole by each append that carries one.

    `about` says what kind of question it is, `subject` the tool it concerns ("" for none). At `expires_at` (seconds
    since the epoch) `default` is what was chosen. `choice` is None while it is pending. One clock says when that is,
    the store's: a row that is added expires as long after the append as `expires_at` comes after `asked_at`.
    """

    tenant: str
    run: str
    branch: str
    version: str
    epoch: int
    id: str
    about: DecisionKind
    subject: str
    agent: str
    asked_at: float
    expires_at: float
    default: str
    choice: str | None = None
    decided_by: str | None = None
    decided_at: float | None = None


class LedgerEntry(Struct, frozen=True, gc=False):
    """One movement of money and tokens. `kind`: "settled", or "cached": our own cache answered, and the amount is 0."""

    tenant: str
    run: str
    branch: str
    version: str
    epoch: int
    seq: int
    at: float
    kind: str
    target: str
    amount_microusd: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cache_write_tokens: int


class OutboxMessage(Struct, frozen=True):
    """Something to be told to the outside, at least once, because the events say so.

    `id` is the receiver's means to tell a repetition; `target` names the webhook; it is to be sent `after_s` seconds
    after it is durable, by the store's clock.
    """

    tenant: str
    run: str
    branch: str
    version: str
    epoch: int
    id: str
    at: float
    topic: str
    target: str
    after_s: float
    body: bytes


class Delivery(Struct, frozen=True, kw_only=True):
    """An outbox message and what became of it. `due`: to be sent at `due_at`; `sent`; `dead`: given up."""

    tenant: str
    id: str
    run: str
    topic: str
    target: str
    at: float
    state: Literal["due", "sent", "dead"]
    attempts: int
    due_at: float
    done_at: float | None = None
    last_error: str | None = None
    body: bytes


class DeliveryCount(Struct, frozen=True):
    """How many messages to one webhook are in one state; `oldest_at` is when the oldest of them was put there."""

    target: str
    state: Literal["due", "sent", "dead"]
    count: int
    oldest_at: float


class ScheduleRow(Struct, frozen=True):
    """When a schedule begins its next run. `digest` is that of its settings: a changed schedule counts anew."""

    tenant: str
    name: str
    digest: str
    next_at: float
    last_at: float | None = None
    last_run: str | None = None


class RunView(Struct, frozen=True, kw_only=True, gc=False):
    """The row that lists and dashboards read; holds no content. Replaced whole by each append that carries one."""

    tenant: str
    run: str
    branch: str
    version: str
    epoch: int
    agent: str
    version_name: str
    source: Literal["agent", "relay"]
    conversation: str | None
    principal: str
    state: State
    outcome: Outcome | None = None
    reason: str | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_microusd: int = 0
    priced: bool = True
    estimated: bool = False
    """What a provider did not report is in tokens and cost at its bound."""
    cache_write_tokens: int = 0
    saved_microusd: int = 0
    """What the run would have cost more without any cache."""
    user: str | None = None


class VersionRow(Struct, frozen=True):
    """An agent version once registered: the name is bound to the digest for good."""

    tenant: str
    agent: str
    name: str
    digest: str
    created_at: float


class KeyRow(Struct, frozen=True):
    """An API key as the store knows it: never the secret, only its HMAC."""

    tenant: str
    id: str
    name: str
    role: str
    mac: bytes
    created_at: float
    created_by: str
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None


class RunFilter(Struct, frozen=True, kw_only=True):
    """Which runs to list, newest first. `before` is the id of the last run of the page before."""

    agent: str | None = None
    state: State | None = None
    outcome: Outcome | None = None
    conversation: str | None = None
    source: Literal["agent", "relay"] | None = None
    user: str | None = None
    before: str | None = None
    limit: int = 50


class TenantStore(TenantRecords, Protocol):
    """Everything one tenant may read or set; no method can reach another's rows."""

    tenant: str

    async def events(self, run: str, after_seq: int = 0, limit: int = 10_000) -> list[Event]:
        """The run's events with seq > after_seq, in order; [] when there is no such run."""
        ...

    async def run(self, run: str) -> RunView | None: ...

    async def runs(self, where: RunFilter) -> list[RunView]: ...

    async def spent(self, run: str) -> int:
        """Micro-dollars the ledger holds against the run."""
        ...

    async def ledger(self, run: str) -> list[LedgerEntry]: ...

    async def register_version(self, row: VersionRow) -> VersionRow:
        """Binds (agent, name) to the digest; returns the row that stands.

        Raises:
            VersionTaken: the name is bound to another digest.
        """
        ...

    async def versions(self, agent: str | None = None) -> list[VersionRow]: ...

    async def put_key(self, row: KeyRow, read: KeyRow | None = None) -> None:
        """Adds the key, or gives the one that was `read` another end. Raises Conflict (it stands otherwise now)."""
        ...

    async def keys(self) -> list[KeyRow]: ...

    async def decisions(
        self, *, run: str | None = None, pending: bool = False, before: str | None = None, limit: int = 50
    ) -> list[DecisionRow]:
        """Decisions, newest first; `before` is the id of the last one of the page before."""
        ...

    async def deliveries(
        self,
        *,
        run: str | None = None,
        state: Literal["due", "sent", "dead"] | None = None,
        target: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        """Outbox messages, newest first; `before` as above."""
        ...

    async def delivery_counts(self, state: Literal["due", "sent", "dead"] | None = None) -> list[DeliveryCount]:
        """Outbox messages by webhook and state (of one state alone), ordered by both."""
        ...

    async def send_again(self, id_: str) -> bool:
        """Makes a message due now, whatever became of it; False: there is none of that id."""
        ...

    async def schedules(self) -> list[ScheduleRow]: ...

    async def put_schedule(self, row: ScheduleRow, expect: ScheduleRow | None) -> bool:
        """Adds (`expect` None) or replaces the row; False, and nothing changes, where another stands there."""
        ...

    async def drop_schedule(self, name: str) -> None: ...

    async def tail(self, after: str, limit: int = 1_000) -> tuple[list[Event], str]:
        """Events of all the tenant's runs, in the order in which they became durable, and the cursor behind them.

        `after` is "" or such a cursor. An event that becomes durable late comes late: none is ever skipped.
        """
        ...

    async def keys_used(self, times: Mapping[str, float]) -> None:
        """Sets `last_used_at` of these ids and nothing else: neither a revocation nor the control version changes."""
        ...


class Store(Keeps, Protocol):
    """A whole installation's memory."""

    shared: bool
    """Whether other servers may be writing to it."""

    def tenant(self, tenant: str) -> TenantStore:
        """The handle through which everything of one tenant is read and set."""
        ...

    async def append(
        self,
        lease: Lease,
        expect_seq: int,
        events: Sequence[Event],
        *,
        ledger: Sequence[LedgerEntry] = (),
        outbox: Sequence[OutboxMessage] = (),
        views: Sequence[RunView] = (),
        decisions: Sequence[DecisionRow] = (),
        at_rest: bool = False,
        room: Room | None = None,
    ) -> None:
        """Adds events and all that follows from them, in one transaction, durable on return.

        Args:
            lease: epoch 1 together with `expect_seq` 0 creates the run, which is its `user`'s from then on.
            expect_seq: the run's last seq as the caller knows it; `events[0].seq` is one more.
            at_rest: nobody needs to carry the run on: it has finished, or waits for a decision.
            room: nothing is written unless the run's conversation has it.

        Raises:
            ConversationBusy: there is no `room`. Nothing was written.
            Fenced: a later epoch holds the run. Nothing was written.
            Conflict: the run stands at another seq. Nothing was written.
            StoreUnavailable: the disk is full, read-only or gone. Nothing was written.
        """
        ...

    async def acquire(self, tenant: str, run: str, holder: str) -> Lease | None:
        """Takes the run over: the epoch goes up by one and every earlier lease is fenced. None: no such run."""
        ...

    async def beat(self, holder: str, lease_s: float) -> bool:
        """Says that the holder lives: for `lease_s` from now, by the store's clock, nobody claims its runs.

        Returns False where its time was over before, so that others may have taken some of them.
        """
        ...

    async def leave(self, holder: str) -> None:
        """The holder is gone, or all that it ever was: its runs may be claimed at once."""
        ...

    async def end_others(self, holder: str, replica: str = "") -> None:
        """As `leave` for all holders but this: for a server that knows itself to be the only one; or, with `replica`,
        only for those whose id begins with it and a slash: earlier processes of that replica."""
        ...

    async def claim(self, holder: str, versions: Sequence[str], limit: int, patience_s: float) -> list[Lease]:
        """Takes over runs that are not at rest and that no living holder has, oldest first, as `acquire` does.

        Two holders never get the same epoch of a run. Runs of other versions (digests) than these only once their
        holder has been gone for `patience_s`: somebody else may serve them.
        """
        ...

    async def held(self, holder: str) -> list[tuple[str, str]]:
        """Tenant and id of the runs that are this holder's and not at rest, oldest first."""
        ...

    async def due_decisions(self, limit: int) -> list[DecisionRow]:
        """Pending decisions of all tenants whose time is over by the store's clock."""
        ...

    async def claim_messages(
        self, for_s: float, limit: int, *, only: str | None = None, but: Sequence[str] = ()
    ) -> list[Delivery]:
        """Messages of all tenants that are due, oldest first; nobody else is given them for `for_s`.

        Each counts one attempt more. `only`: those to this webhook (target) alone; `but`: none to these.
        """
        ...

    async def settle_message(
        self, tenant: str, id_: str, state: Literal["due", "sent", "dead"], error: str | None, after_s: float = 0.0,
        *, attempted: bool = True,
    ) -> None:  # fmt: skip
        """What came of an attempt: sent or given up now, or due again after so many seconds, by the store's clock.
        `attempted`: False where there was none, which then does not count."""
        ...

    async def changed(self, tenant: str, run: str, after_seq: int, timeout_s: float) -> None:
        """Returns when the run has events behind `after_seq`, or the time is over; maybe sooner."""
        ...

    def nudge(self, tenant: str, run: str) -> None:
        """Wakes whoever waits in this process for that run to change."""
        ...

    async def generation(self) -> int:
        """Rises with each restored backup."""
        ...

    async def all_keys(self) -> list[KeyRow]:
        """Every key of every tenant (authentication happens before the tenant is known)."""
        ...

    async def control_version(self) -> int:
        """A number that grows whenever keys or other control state change, by any process."""
        ...

    async def ping(self) -> None:
        """Raises StoreUnavailable unless the store can be read *and written* now."""
        ...

    async def close(self) -> None: ...
