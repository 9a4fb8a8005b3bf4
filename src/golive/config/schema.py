"""What may stand in golive.toml and agent.toml: the one schema. Unknown keys are refused; every key is documented here.

The descriptions below are what `golive config explain` and the reference page of the documentation show.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from golive.config.access import RoleConfig
from golive.config.audit import AuditConfig
from golive.config.auth import AuthConfig
from golive.config.failing import BreakerConfig, RetryConfig
from golive.config.outward import ScheduleConfig, WebhookConfig
from golive.config.secret_settings import AwsConfig, EnvironmentConfig, RotationConfig, VaultConfig
from golive.config.section import (
    BASE_URL,
    FUNCTION,
    STORE_URL,
    TENANT_REFERENCE,
    VERSION,
    MasterRef,
    Name,
    Seconds,
    SecretRef,
    Section,
    TargetRef,
)
from golive.config.transport import CorsConfig, HttpLimitsConfig, Origin, SessionsConfig, TlsConfig

# ---- golive.toml -----------------------------------------------------------------------------------------------------


class ServerConfig(Section):
    """[server]: the HTTP side of one process."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all interfaces."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port to listen on; 0 picks a free one and prints it."""
    public_url: Origin | None = None
    """Where browsers find golive, such as https://agents.example.com, when a proxy stands before it: only pages of this
    address count as its own, and issuers send people back there. The address asked for counts when absent."""
    max_body_bytes: Annotated[int, Field(ge=1_024, le=1_073_741_824)] = 4_194_304
    """Largest request body, bytes; more is answered 413."""
    heartbeat_s: Seconds = 15.0
    """A comment is sent on a quiet event stream after this long, so that proxies keep it open."""
    disconnect_grace_s: Seconds = 10.0
    """How long an interactive run goes on without a subscriber before `on_disconnect = "cancel"` acts."""
    drain_s: Seconds = 20.0
    """On shutdown, how long running runs may finish before they are handed over: the next server, or this one started
    again, goes on with them. Plain calls that are open then end as `failed` (`interrupted`)."""
    linger_s: Annotated[float, Field(ge=0, le=3_600)] = 0.0
    """On shutdown, how long requests are still accepted while /health/ready already says no, so that load balancers
    let go first; comes before `drain_s`."""
    lease_s: Annotated[float, Field(ge=1, le=3_600)] = 10.0
    """How long after the last sign of life of a server others go on with its runs. Signs come three times as often."""
    replica: Name | None = None
    """A name of this server that is the same after a restart, and no other's: then it goes on with its own runs at once
    instead of after `lease_s`. One server on SQLite needs none."""
    store_patience_s: Annotated[float, Field(ge=0, le=3_600)] = 60.0
    """How long a run waits for a database that cannot be written, before it ends."""
    start_patience_s: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    """How long `golive serve` waits at its start for a PostgreSQL that is away (a failover), before it gives up.
    Meanwhile /health/live answers, and /health/ready says 503."""
    max_open_runs: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    """Runs this process carries at once; more are answered 503 with Retry-After."""
    conversation_queue: Annotated[int, Field(ge=0, le=1_000)] = 8
    """Runs that may wait their turn on one conversation; more are answered 409."""
    tls: TlsConfig = TlsConfig()
    cors: CorsConfig = CorsConfig()
    limits: HttpLimitsConfig = HttpLimitsConfig()
    sessions: SessionsConfig = SessionsConfig()


class StoreConfig(Section):
    """[store]: where golive remembers."""

    url: Annotated[str, Field(pattern=STORE_URL)] = "sqlite:.golive/golive.db"
    """`sqlite:PATH`, relative to golive.toml, for one server; or `postgresql://USER@HOST/DATABASE`, for any number of
    them. A password is better not written here: PGPASSWORD and ~/.pgpass are read."""
    keep_days: Annotated[float, Field(gt=0, le=36_500)] | None = None
    """How long finished runs and their journals are kept, days; for ever when absent. A tenant's own days
    (`golive tenants set --keep-days`) stand above it. What runs cost stays in the ledger."""


class SecretsConfig(Section):
    """[secrets]: golive's own secrets, by reference."""

    pepper: SecretRef = "file:.golive/pepper"
    """Mixed into every API key's HMAC; at least 32 bytes. A `file:` that does not exist is created with mode 0600, as
    long as there are no keys; another one than theirs is refused."""
    audit_key: SecretRef = "file:.golive/audit.key"
    """Signs the audit log; at least 32 bytes, and the same for all servers of a database. Created like the pepper."""
    master_key: MasterRef = "file:.golive/master.key"
    """What the keys of stored content are wrapped under: 32 bytes in hexadecimal or base64. A `file:` that does not
    exist is created with mode 0600, as long as nothing is sealed yet. Keep a copy: without it content is lost.
    `aws-kms:KEY` (a key's id, ARN or alias): a key that AWS KMS holds and never gives out."""
    old_master_keys: Annotated[tuple[MasterRef, ...], Field(max_length=8)] = ()
    """Master keys that are accepted besides, while `golive secrets rotate-master` goes from one to another."""
    plain_rows: Literal["refuse", "read"] = "refuse"
    """Content that stands in the database in plain words, from before content was sealed. `refuse`: it is not read, for
    whoever can write to the database can have put it there; `golive secrets seal` seals what is of before. `read`: it
    is taken as it stands."""
    ttl_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """How long a value from `aws-sm:` or `vault:` is used; it is fetched again before that is over."""
    stale_s: Annotated[float, Field(ge=0, le=2_592_000)] = 3_600.0
    """How long beyond that it goes on being used while its backend cannot be asked; then the credential is missing."""
    tenant_references: Annotated[tuple[Annotated[str, Field(pattern=TENANT_REFERENCE)], ...], Field(max_length=64)] = ()
    """References that tenants' own administrators may set as credentials: names, or beginnings with `*` behind, and
    `{tenant}` for the tenant's name, such as `["vault:tenants/{tenant}/*"]`. Who acts across tenants may set any."""
    aws: AwsConfig = AwsConfig()
    vault: VaultConfig = VaultConfig()
    rotation: dict[SecretRef, RotationConfig] = {}


class ProviderConfig(Section):
    """[providers.NAME]: a server that answers model calls."""

    dialect: Literal["openai-chat", "openai-responses", "anthropic", "gemini"] = "openai-chat"
    """What it speaks. `openai-chat`: OpenAI Chat Completions and everything compatible (vLLM, Ollama, LiteLLM,
    llama.cpp …). `openai-responses`: OpenAI Responses, by which a model's reasoning is carried from turn to turn.
    `anthropic`: Anthropic Messages. `gemini`: Google Gemini generateContent."""
    base_url: Annotated[str, Field(pattern=BASE_URL)]
    """Up to and without `/chat/completions`, `/responses` or `/messages`, such as https://api.openai.com/v1 or
    https://api.anthropic.com/v1; for `gemini` up to and without `/models`, such as
    https://generativelanguage.googleapis.com/v1beta."""
    api_key: SecretRef | None = None
    """Reference to the credential: `env:NAME`, `file:PATH`, `aws-sm:…` or `vault:…`; absent where none is needed."""
    more_api_keys: Annotated[tuple[SecretRef, ...], Field(max_length=16)] = ()
    """Further credentials of the same provider: one that is refused or has used up its rate makes way for the next."""
    credentials: Literal["installation", "tenant"] = "installation"
    """Whose credentials calls go with. `installation`: a tenant's own where it has one, else those above. `tenant`: its
    own or none; those above are asked for the provider's health alone."""
    price_as: str | None = None
    """Provider id in the price list (genai-prices), where name and address do not tell it; such as `openai`."""
    billing: Literal["standard", "batch", "flex", "priority"] = "standard"
    """What the provider's calls are billed as: at the list's usual prices, those of a batch, or of a service tier.
    Where an answer says in which tier it was served, that counts."""
    models: tuple[str, ...] = ()
    """Models to list in /v1/models for plain gateway use; others still work by name."""
    connect_s: Seconds = 5.0
    """Longest wait for a connection."""
    first_token_s: Seconds = 20.0
    """Longest wait from the request to the first event of a streamed answer; others have call_s alone."""
    between_tokens_s: Seconds = 15.0
    """Longest silence between two reads of a streamed answer."""
    call_s: Seconds = 60.0
    """Longest whole model call."""


class PriceConfig(Section):
    """[prices."PATTERN"]: your own price for targets `provider/model` that match the pattern (`*` matches anything)."""

    input_usd_per_mtok: Annotated[float, Field(ge=0)]
    """US dollars for a million input tokens."""
    output_usd_per_mtok: Annotated[float, Field(ge=0)]
    """US dollars for a million output tokens."""
    cached_input_usd_per_mtok: Annotated[float, Field(ge=0)] | None = None
    """US dollars for a million cached input tokens; the input price when absent."""
    cache_write_usd_per_mtok: Annotated[float, Field(ge=0)] | None = None
    """US dollars for a million input tokens written to the provider's cache; the input price when absent."""
    reasoning_usd_per_mtok: Annotated[float, Field(ge=0)] | None = None
    """US dollars for a million reasoning tokens; the output price when absent."""
    request_usd: Annotated[float, Field(ge=0)] = 0.0
    """US dollars for each call, whatever its tokens."""
    batch_discount: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share taken off the prices of tokens where `billing` of the provider is `batch`; 0.5 halves them."""


class CapabilityConfig(Section):
    """[capabilities."PATTERN"]: what targets `provider/model` that match the pattern can do (`*` matches anything).

    Each setting is taken from the most specific pattern that has it.
    """

    tools: bool = True
    """Whether tools may be sent."""
    images: bool = True
    """Whether pictures may be sent."""
    structured_output: bool = True
    """Whether an answer can be bound to a JSON Schema."""
    reasoning: bool = True
    """Whether `reasoning_effort` may be sent."""
    prefill: bool = False
    """Whether the model goes on writing where an assistant's message at the end of the request stops."""
    embeddings: bool = True
    """Whether it makes embeddings."""
    context_window: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of input and output together; not checked when absent."""
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of one answer; not checked when absent."""


class CacheConfig(Section):
    """[cache]: answers that are kept, in memory, and given again to an equal request of the same tenant and version."""

    ttl_s: Seconds | None = None
    """How long answers to deterministic requests (temperature 0, or a seed) and embeddings are kept; none are when
    absent. A tier's `cache_ttl_s`, and a client's header `x-golive-cache-ttl-s`, stand above it."""
    max_bytes: Annotated[int, Field(ge=65_536, le=1_099_511_627_776)] = 67_108_864
    """Most memory for kept answers, bytes; the one used longest ago makes way."""


class AgentsConfig(Section):
    """[agents]: where the agents' folders are."""

    path: str = "agents"
    """Folder that holds one folder per agent, relative to golive.toml."""


class LogConfig(Section):
    """[log]: the server's own log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe events to write."""
    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: coloured lines on a terminal, JSON elsewhere."""
    content: bool | None = None
    """Whether what tools print and raise, and providers' and webhooks' own words, stand in the log: users' words may be
    in them. Absent: with `golive dev` and `golive run`, and not with `golive serve`."""


class GoliveConfig(Section):
    """golive.toml, whole."""

    server: ServerConfig = ServerConfig()
    store: StoreConfig = StoreConfig()
    secrets: SecretsConfig = SecretsConfig()
    environment: EnvironmentConfig = EnvironmentConfig()
    auth: AuthConfig = AuthConfig()
    audit: AuditConfig = AuditConfig()
    agents: AgentsConfig = AgentsConfig()
    log: LogConfig = LogConfig()
    providers: dict[Name, ProviderConfig] = {}
    prices: dict[str, PriceConfig] = {}
    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    capabilities: dict[str, CapabilityConfig] = {}
    cache: CacheConfig = CacheConfig()
    webhooks: dict[Name, WebhookConfig] = {}
    schedules: dict[Name, ScheduleConfig] = {}
    roles: dict[Name, RoleConfig] = {}


# ---- agent.toml ------------------------------------------------------------------------------------------------------


class TierConfig(Section):
    """[models.TIER]: a chain of targets, tried in order."""

    chain: Annotated[tuple[TargetRef, ...], Field(min_length=1, max_length=8)]
    """Targets `provider/model`; the next is asked when one fails. See `on_break` for what has been shown by then."""
    chain_context_too_long: Annotated[tuple[TargetRef, ...], Field(max_length=8)] = ()
    """Targets to ask instead when the conversation is too long for one of `chain`; the rest of `chain` when absent."""
    chain_content_refused: Annotated[tuple[TargetRef, ...], Field(max_length=8)] = ()
    """Targets to ask instead when a provider's content filter refuses; the rest of `chain` when absent."""
    retries: Annotated[int, Field(ge=0, le=10)] | None = None
    """How often the call is tried again once every target of the chain has failed; `retry.retries` when absent."""
    on_break: Literal["continue", "reset", "fail"] = "continue"
    """When an answer breaks off in the middle. `continue`: a target whose capabilities say `prefill` goes on where the
    text stops; where there is none, as `reset`. `reset`: another answer is begun, and clients that can are told what
    to take back; others get what there is as a partial answer. `fail`: that at once."""
    hedge: bool = False
    """Whether a second request is sent when the first token is later than 95 % of those seen were; whoever says
    something first, answers. Both cost; the second counts against the budget of retries (`retry.share`)."""
    continue_instructed: bool = False
    """Whether `continue` may also ask a target in words to go on. Its answer is joined only where it repeats the last
    words of the text."""
    first_token_s: Seconds | None = None
    """Longest wait for the first event of an answer; that of the target's provider when absent."""
    between_tokens_s: Seconds | None = None
    """Longest silence within an answer; that of the target's provider when absent."""
    call_s: Seconds | None = None
    """Longest whole model call; that of the target's provider when absent."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Sampling temperature; the provider's default when absent."""
    max_output_tokens: Annotated[int, Field(ge=1)] | None = 4_096
    """Most tokens of one answer."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None
    """How long a reasoning model may think; sent only when set."""
    cache_ttl_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
    """How long an answer of this tier is kept and given again to an equal request, whatever its temperature; 0: never.
    `cache.ttl_s` when absent."""
    output_schema: str | None = None
    """File with a JSON Schema the answer must follow (structured output), relative to the agent's folder. Checked for
    its form when the agent is loaded; which part of JSON Schema is served, the provider decides. The answer is held
    against all of it: one that does not follow ends the run as `partial`."""


class ToolConfig(Section):
    """[tools.NAME]: settings of one function in tools.py."""

    timeout_s: Seconds = 30.0
    """Longest call; then it counts as failed, and the model is told."""
    critical: bool = False
    """Whether no answer is whole without it: a run whose last call of it failed ends `partial`, and not `completed`.
    The run names it in `missing` either way."""
    idempotent: bool = False
    """Whether the same call under the same idempotency key may be carried out again, as it then changes nothing
    further; the same of its `undo`. So is a call, or an undo, whose outcome was lost."""
    status: Annotated[str, Field(pattern=FUNCTION)] | None = None
    """Name of a function in tools.py that tells whether a call was carried out: it returns None if not, and else the
    result. Asked first about a call whose outcome was lost; no tool itself."""
    undo: Annotated[str, Field(pattern=FUNCTION)] | None = None
    """Name of a function in tools.py that takes a call back, for runs that are cancelled with undo; no tool itself."""
    on_unknown: Literal["ask", "tell"] | None = None
    """What becomes of a call of which, after all that, nobody knows whether it was carried out. `ask`: the run waits
    for a person's decision; `tell`: the model is told that it is not known. Unset: a person is asked where the server
    ended in the call, and the model is told where its worker died or its time ran out in a server that lives."""


class RoutingConfig(Section):
    """[routing]: a cheap model decides which tier answers a user's turn. Off unless `supervisor` is set."""

    supervisor: Name | None = None
    """The tier that is asked first, with one short call, and that answers what is simple."""
    strong: Name = "default"
    """The tier that answers everything else, and whenever there is a doubt."""
    judge: bool = False
    """Whether the supervisor's tier is asked about its own answer before anybody sees it: unless it is sure that the
    answer is whole and backed, the strong tier answers instead."""
    summarise_over: Annotated[int, Field(ge=8_000, le=150_000)] | None = None
    """Above so many characters of earlier turns the supervisor's tier condenses the older ones before the strong tier
    is asked. Unset: never."""
    wait_s: Seconds = 5.0
    """How long the supervisor's word and the judge's are waited for, each, and four times as long for a summary; never
    more than a fifth of what is left of `limits.deadline_s`. Then the strong tier answers, from the whole history."""


class LimitsConfig(Section):
    """[limits]: hard limits of one run."""

    max_steps: Annotated[int, Field(ge=1, le=1_000)] = 15
    """Most turns of the loop (model calls); then the run ends `partial`."""
    deadline_s: Seconds = 300.0
    """The whole run, from acceptance, waiting for its turn included; then it ends `partial`."""
    max_tool_calls_per_step: Annotated[int, Field(ge=1, le=256)] = 16
    """Tool calls of one step that are carried out; the model is told of the rest."""
    max_tool_result_bytes: Annotated[int, Field(ge=256, le=10_485_760)] = 262_144
    """Largest result of one tool call that the model is given, bytes; a longer one is refused as an error."""
    decide_s: Annotated[float, Field(gt=0, le=2_592_000)] = 86_400.0
    """How long a run waits for a person's decision, such as whether a call whose outcome a crash took was carried
    out; then the default is chosen. It does not count against `deadline_s`."""


class WorkerConfig(Section):
    """[worker]: the processes that run tools.py."""

    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Worker processes per version."""
    concurrency: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Calls at once in one worker; functions that are not `async` run in as many threads."""
    start_s: Seconds = 20.0
    """Longest start of a worker (import of tools.py and its lifespan)."""
    env: tuple[str, ...] = ()
    """Environment variables the worker may see; everything else is scrubbed."""


class AgentConfig(Section):
    """agent.toml, whole."""

    name: Name
    """The agent's name in addresses and as `model`; must equal the folder's name."""
    version: Annotated[str, Field(pattern=VERSION)]
    """A label of your own, such as `1.0.0` or `2026-11-21`: 1 to 64 letters, digits and `.+_-`, none of `.+_-` first.
    The same label with other content is refused."""
    description: str = ""
    """One sentence for lists."""
    models: Annotated[dict[Name, TierConfig], Field(min_length=1)]
    """Tiers; the loop uses `default`, or the only one."""
    tools: dict[str, ToolConfig] = {}
    """Functions of tools.py with settings of their own; all public functions of tools.py are tools."""
    messages: dict[str, Any] = {}
    """Words of your own for each way of degrading, such as `deadline = "Sorry, I needed more than {seconds} s."`, and
    in other languages under `[messages.de]`. `language` (`en` by default) says what the former are written in."""
    routing: RoutingConfig = RoutingConfig()
    limits: LimitsConfig = LimitsConfig()
    worker: WorkerConfig = WorkerConfig()
    on_disconnect: Literal["continue", "cancel"] = "cancel"
    """What becomes of an interactive run when its last subscriber leaves: `continue`, or `cancel` after a grace
    (`server.disconnect_grace_s`)."""
