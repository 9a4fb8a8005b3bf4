"""What golive must do, as rows: every line of the go-live checklists, with what no check proves yet.

A check's id begins with its row. A row without a check is "not yet proved"; `missing` names the part of a row that its
checks leave open. Both keep the verdict at CONDITIONAL.
"""

from typing import Literal, NamedTuple

Proof = Literal["drill", "probe", "attest"]


class Row(NamedTuple):
    """One promise. `proof`: how it is to be proved; an `attest` is signed by a person."""

    id: str
    title: str
    proof: Proof
    missing: str = ""


ROWS: dict[str, Row] = {
    row.id: row
    for row in (
        Row(
            "GW-1", "Streams tokens, tool events and the end over SSE, resumable", "drill", "tool events in the stream"
        ),
        Row("GW-2", "Authentication by API key and JWT; bad credentials get 401", "drill", "expired keys"),
        Row("GW-3", "RBAC: a role reaches only what is its own", "drill"),
        Row("GW-4", "Rate limits per user, tenant, agent, global", "drill"),
        Row("GW-5", "Spend caps that no concurrency overshoots", "drill"),
        Row("GW-6", "Token budget per conversation", "drill"),
        Row("GW-7", "Input validation and sanitising", "drill"),
        Row("GW-8", "Idempotency-Key on every stateful request", "drill"),
        Row("GW-9", "Queue with capacity; nothing dropped silently", "drill"),
        Row("GW-10", "Health tells each dependency; readiness ignores providers", "drill"),
        Row(
            "GW-11",
            "TLS in transit, encryption at rest, key rotation",
            "drill",
            "at rest in PostgreSQL, TLS to providers and databases",
        ),
        Row("GW-12", "Kill switch for agent, version, tool, tenant, everything", "drill"),
        Row("RT-1", "Timeouts on every layer", "drill", "connect, tool call, queue"),
        Row("RT-2", "A failing run returns what it has", "drill"),
        Row("RT-3", "Step cap on loop iterations", "drill"),
        Row("RT-4", "Context pruning under a token budget", "drill"),
        Row("RT-5", "Model tiering lowers the cost per run", "drill"),
        Row("RT-6", "Tool retries with backoff, none on most 4xx", "drill"),
        Row("RT-7", "Tools as functions and MCP servers; failures skipped and named", "drill"),
        Row(
            "RT-8",
            "Side effects happen once across retries and crashes",
            "drill",
            "undo; that a tool declares of itself what is true",
        ),
        Row("RT-9", "A crashed server's runs resume", "drill", "a machine that loses power, and its disk's promises"),
        Row("RT-10", "Permission boundaries, time-limited elevation, audit", "drill"),
        Row("RT-11", "Human escalation and approval gates", "drill"),
        Row("RT-12", "Memory store; the agent answers without it", "drill"),
        Row("RT-13", "Batch calls for bulk work", "drill"),
        Row(
            "RT-14",
            "Graceful words for each way of degrading",
            "probe",
            "a fault inside the server, which nothing from outside provokes",
        ),
        Row(
            "MD-1", "Providers: OpenAI, Anthropic, Gemini, compatible servers", "drill", "Anthropic and Gemini dialects"
        ),
        Row("MD-2", "Fallback chain, also when a stream breaks in the middle", "drill"),
        Row("MD-3", "Retries by failure class", "drill", "the waits' growth, no retry of a 404"),
        Row("MD-4", "Circuit breaker for every dependency", "drill", "tools, memory and other dependencies"),
        Row("MD-5", "Requests queue while providers are degraded", "drill"),
        Row("MD-6", "Caching, never across tenants", "drill"),
        Row("MD-7", "Cost of every call from a price list", "probe", "cost per successful run, tenant and version"),
        Row("MD-8", "Monthly cost projected at 1x, 5x, 10x", "drill"),
        Row("SEC-1", "No key in source, images, logs, traces or answers", "probe", "images and traces"),
        Row("SEC-2", "Credential rotation and emergency revocation", "drill"),
        Row("SEC-3", "Prompt-injection tests, ten families and more", "drill"),
        Row("SEC-4", "PII and secrets redacted in output, logs, traces", "drill"),
        Row("SEC-5", "Output moderation, injection in tool results, unfounded claims", "drill"),
        Row(
            "SEC-6",
            "Isolation: tenants, and user code without secrets",
            "drill",
            "limits over several servers",
        ),
        Row("SEC-7", "Tamper-evident audit log", "probe"),
        Row("REL-1", "Immutable versions; the version stands on every trace", "probe", "the version on traces"),
        Row("REL-2", "Shadow runs", "drill"),
        Row("REL-3", "Canary that ramps or aborts by itself", "drill"),
        Row("REL-4", "Rollback by one command", "drill"),
        Row("REL-5", "Feature flags", "drill"),
        Row(
            "REL-6",
            "Configuration snapshots and reversible migrations",
            "drill",
            "configuration snapshots, migrations up and down",
        ),
        Row("OBS-1", "Structured log of decisions, calls, errors", "probe"),
        Row("OBS-2", "End-to-end traces", "probe"),
        Row("OBS-3", "Metrics", "probe"),
        Row("OBS-4", "Alerts to Slack, PagerDuty, webhook", "drill"),
        Row("OBS-5", "Live dashboard and fleet view", "drill"),
        Row("OBS-6", "User feedback tied to run and version", "probe"),
        Row("GO-1", "The check itself: every row, phases, GO or NO-GO", "drill"),
        Row("GO-2", "The five questions", "attest"),
        Row("GO-3", "Smoke test of 50 diverse requests", "drill"),
        Row("GO-4", "Load test at ten times the expected traffic", "drill"),
        Row("GO-5", "Decision quality under load", "drill"),
        Row("GO-6", "Runbooks for this deployment", "probe"),
        Row("GO-7", "Sign-offs", "attest"),
        Row("GO-8", "Launch watch, 24 hours", "drill"),
        Row("GO-9", "Thresholds the same in check, load and watch", "drill"),
    )
}
