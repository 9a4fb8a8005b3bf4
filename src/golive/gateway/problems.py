"""From an error's code to what an HTTP client is told: RFC 9457 problem answers, one table for all codes.

Owns status, title and headers per code. Leaves the words to the errors themselves and the OpenAI shape to
`openai_errors.py`, which reads the same table.

Source: RFC 9457, Problem Details for HTTP APIs (July 2023).
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from golive.core.errors import ConfigError, ContentErased, ContentSealed, GoliveError, StoreUnavailable
from golive.guards.redact import without_credentials
from golive.runtime.api import RunResult

CONTENT_TYPE = b"application/problem+json"
DEFAULT_RETRY_S = 1
"""Retry-After, seconds, where a retry helps and nobody said when."""
MAX_RETRY_S = 86_400
"""From here on nobody's word is passed on."""


def _passing(kind: type[GoliveError]) -> Iterator[str]:
    """The codes of an error and all its kinds after which a retry helps."""
    if kind.retry_helps:
        yield kind.code
    for special in kind.__subclasses__():
        yield from _passing(special)


# code: (status, title); a code that is missing is a fault of golive's own.
TABLE: dict[str, tuple[int, str]] = {
    "internal": (500, "Internal error"),
    "run.waiting": (409, "Waiting for a decision"),
    "run.open": (409, "Run under way"),
    "request.invalid": (400, "Invalid request"),
    "request.too_large": (413, "Request too large"),
    "not_found": (404, "Not found"),
    "method.not_allowed": (405, "Method not allowed"),
    "auth.required": (401, "Authentication required"),
    "auth.forbidden": (403, "Forbidden"),
    "auth.suspended": (403, "Not let in"),
    "tenant.limited": (429, "Tenant limit reached"),
    "conversation.busy": (409, "Conversation busy"),
    "server.overloaded": (503, "Server overloaded"),
    "server.shutting_down": (503, "Server shutting down"),
    "deadline.exceeded": (504, "Deadline exceeded"),
    "config.invalid": (500, "Invalid configuration"),
    "secret.missing": (500, "Secret missing"),
    "secret.revoked": (500, "Secret revoked"),
    "secret.unavailable": (503, "Secret unavailable"),
    "agent.invalid": (500, "Agent cannot be served"),
    "version.taken": (409, "Version name taken"),
    "server.port_in_use": (500, "Port in use"),
    "store.failed": (500, "Store failed"),
    "store.unavailable": (503, "Store unavailable"),
    "audit.unavailable": (503, "Audit log unavailable"),
    "store.schema": (500, "Store schema mismatch"),
    "store.sealed": (500, "Stored content cannot be opened"),
    "content.erased": (410, "Content erased"),
    "store.conflict": (409, "Concurrent change"),
    "state.conflict": (409, "Not as things stand"),
    "store.fenced": (409, "Run taken over"),
    "model.failed": (502, "Model call failed"),
    "model.unreachable": (502, "Model provider unreachable"),
    "model.timeout": (504, "Model provider too slow"),
    "model.rate_limited": (429, "Model provider rate limit"),
    "model.unavailable": (503, "Model provider unavailable"),
    "model.not_continued": (502, "Model provider did not go on with an answer"),
    "model.outrun": (502, "Another request was quicker"),
    "model.circuit_open": (503, "Model provider left alone after failures"),
    "model.auth": (502, "Model provider refused golive's credential"),
    "model.credential_ended": (502, "Credential revoked in the middle of a call"),
    "model.not_found": (404, "Model not found"),
    "model.bad_request": (400, "Model provider refused the request"),
    "model.no_credential": (403, "Tenant has no credential for the provider"),
    "model.incapable": (400, "No target can do what the request needs"),
    "model.context_too_long": (400, "Context too long"),
    "model.content_refused": (400, "Content refused"),
    "model.malformed": (502, "Model answer malformed"),
    "model.empty": (502, "Model answer empty"),
    "model.cut": (502, "Model answer broke off"),
    "tool.failed": (500, "Tool failed"),
    "tool.unknown": (500, "Tool unknown"),
    "tool.arguments_invalid": (500, "Tool arguments invalid"),
    "tool.raised": (500, "Tool raised"),
    "tool.result_invalid": (500, "Tool result invalid"),
    "tool.timeout": (504, "Tool timed out"),
    "tool.not_begun": (503, "Tool call not begun"),
    "tool.worker_crashed": (500, "Tool worker crashed"),
    "run.diverged": (500, "Replay diverged"),
}

_RETRY_HELPS = frozenset({"interrupted", *_passing(GoliveError)})
"""Reasons of runs without an answer that a new run may not meet."""
_RESERVED = frozenset({"type", "title", "status", "detail", "code", "remedy", "instance"})
_WHERE = re.compile(r"of the run run_[0-9a-z]+\b")
_encode = msgspec.json.Encoder(enc_hook=str).encode

Headers = list[tuple[bytes, bytes]]


def status_of(error: GoliveError) -> int:
    """The HTTP status of an error."""
    return TABLE.get(error.code, TABLE["internal"])[0]


def told_outside(error: GoliveError) -> GoliveError:
    """The error as a client may know it: which master keys there are, and what is to be done about them, is the
    operator's, who finds it in the log."""
    about_keys = "master" in error.fields or error.fields.get("key") == "secrets.master_key"
    fields = {name: error.fields[name] for name in ("tenant", "run", "seq", "retry_after_s") if name in error.fields}
    if isinstance(error, StoreUnavailable):
        if not about_keys:
            return error
        return StoreUnavailable("Stored content cannot be opened just now.", remedy="Try again in a moment.", **fields)
    sealed = isinstance(error, ContentSealed) and not isinstance(error, ContentErased)
    if not sealed and not (about_keys and isinstance(error, ConfigError)):
        return error
    where = f" {_WHERE.findall(error.message)[0]}" if _WHERE.search(error.message) else ""
    return ContentSealed(
        f"Stored content{where} cannot be opened.",
        remedy="Tell whoever runs this server; the log says more.", **fields,
    )  # fmt: skip


def problem(error: GoliveError) -> tuple[int, Headers, bytes]:
    """Status, headers and body of the answer to an error; its fields stand beside the standard members."""
    status, title = TABLE.get(error.code, TABLE["internal"])
    body: dict[str, Any] = {
        "type": f"urn:golive:problem:{error.code}",
        "title": title,
        "status": status,
        "detail": without_credentials(error.message),
        "code": error.code,
    }
    if error.remedy:
        body["remedy"] = error.remedy
    for name, value in error.fields.items():
        if name not in _RESERVED and value is not None:
            body[name] = without_credentials(value) if isinstance(value, str) else value
    return status, headers_of(error), _encode(body)


def headers_of(error: GoliveError, *, basic: bool = False) -> Headers:
    """The headers an error asks for: Retry-After, WWW-Authenticate (Basic where a browser shall ask), Allow."""
    headers: Headers = []
    if error.retry_helps:
        headers.append(_retry_after(error.fields.get("retry_after_s")))
    if error.code == "auth.required":
        headers.append((b"www-authenticate", b'Basic realm="golive"' if basic else b'Bearer realm="golive"'))
    if error.code == "method.not_allowed":
        headers.append((b"allow", ", ".join(error.fields.get("allow", ())).encode()))
    return headers


def retry_headers(result: RunResult) -> Headers:
    """Retry-After of a run that ended without an answer, where a new one may have more luck."""
    return [_retry_after(result.retry_after_s)] if result.reason in _RETRY_HELPS else []


def _retry_after(seconds: object) -> tuple[bytes, bytes]:
    whole = math.ceil(seconds) if isinstance(seconds, int | float) and 0 < seconds < MAX_RETRY_S else DEFAULT_RETRY_S
    return b"retry-after", b"%d" % whole
