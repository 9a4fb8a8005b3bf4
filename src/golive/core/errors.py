"""The error tree, whole, on one page.

Each error has a stable `code` (what programs match on), structured `fields`, whether a retry helps, and a `remedy`
(what the reader does next). `gateway/problems.py` turns codes into RFC 9457 answers; the CLI prints message and remedy.
What is expected (denied, invalid, gone) is one of these or a value; a broken invariant raises something else.
"""

from typing import Any, ClassVar


class GoliveError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "internal"
    retry_helps: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str = "", advice: str = "", **fields: Any) -> None:
        """`advice`: what whoever runs the server can do besides; people of a tenant are not told (outsiders.py)."""
        super().__init__(message)
        self.message = message
        self.remedy_of_all = remedy
        self.remedy = f"{remedy} {advice}".strip()
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InternalError(GoliveError):
    """A fault of golive's own; the log has the trace."""


# ---- what was sent to us -------------------------------------------------------------------------------------------


class InvalidRequest(GoliveError):
    """The request cannot be understood or carried out as it stands; `field` says where."""

    code = "request.invalid"


class BodyTooLarge(InvalidRequest):
    code = "request.too_large"


class NotFound(GoliveError):
    """No such agent, run, model, key or path (for this tenant)."""

    code = "not_found"


class MethodNotAllowed(GoliveError):
    code = "method.not_allowed"


class Unauthenticated(GoliveError):
    code = "auth.required"


class Forbidden(GoliveError):
    code = "auth.forbidden"


class Suspended(Forbidden):
    """Whoever asks, or their tenant, is not let in: suspended, erased, or nobody made it; `reason` says which."""

    code = "auth.suspended"


class TenantLimited(GoliveError):
    """A limit of one tenant is reached; `limit` names it, `value` says how much it is."""

    code = "tenant.limited"
    retry_helps = True


class ConversationBusy(GoliveError):
    """More runs wait on one conversation than its queue holds."""

    code = "conversation.busy"
    retry_helps = True


class Overloaded(GoliveError):
    """A named maximum of this server is reached."""

    code = "server.overloaded"
    retry_helps = True


class ShuttingDown(GoliveError):
    code = "server.shutting_down"
    retry_helps = True


# ---- limits --------------------------------------------------------------------------------------------------------


class DeadlineExceeded(GoliveError):
    """An absolute deadline has passed; `limit` names the setting that set it."""

    code = "deadline.exceeded"

    def __init__(self, *, limit: str, seconds: float) -> None:
        super().__init__(
            f"not done within {seconds:g} s ({limit})",
            advice=f"Raise {limit} if that is too short.",
            limit=limit,
            seconds=seconds,
        )


# ---- configuration and agents --------------------------------------------------------------------------------------


class ConfigError(GoliveError):
    """A file, an environment variable or a flag holds what cannot be used; `key`, `value`, `origin` say where."""

    code = "config.invalid"


class SecretMissing(ConfigError):
    code = "secret.missing"


class SecretUnavailable(ConfigError):
    """The backend that keeps a secret cannot be reached, or refused us."""

    code = "secret.unavailable"
    retry_helps = True


class SecretRevoked(ConfigError):
    """The credential was revoked: no call begins with it any more."""

    code = "secret.revoked"


class AgentError(ConfigError):
    """An agent's folder cannot be served."""

    code = "agent.invalid"


class VersionTaken(AgentError):
    """The same version name was registered with another digest; versions are immutable."""

    code = "version.taken"


class PortInUse(ConfigError):
    code = "server.port_in_use"


# ---- the store -----------------------------------------------------------------------------------------------------


class StoreError(GoliveError):
    code = "store.failed"


class StoreUnavailable(StoreError):
    """The database cannot be written or read now (disk full, read-only, locked, gone); nothing was stored."""

    code = "store.unavailable"
    retry_helps = True


class AuditUnavailable(GoliveError):
    """What was asked for cannot be recorded in the audit log now, and so it is not done."""

    code = "audit.unavailable"
    retry_helps = True


class SchemaMismatch(StoreError):
    code = "store.schema"


class ContentSealed(StoreError):
    """Stored content cannot be opened: its key is missing, or it is not what was sealed there. Names the row."""

    code = "store.sealed"


class ContentErased(ContentSealed):
    """The key that the content was sealed under was destroyed: nobody can read it any more, and that is meant so."""

    code = "content.erased"


class RunWaiting(GoliveError):
    """The run waits for a person's decision, and whoever asked cannot be kept waiting for that."""

    code = "run.waiting"


class RunOpen(GoliveError):
    """The run has not ended, and what was asked for might do again, or lose, what its tools are doing."""

    code = "run.open"


class Conflict(StoreError):
    """`append` expected another sequence number: somebody else wrote to the run; or what was erased was to change."""

    code = "store.conflict"


class NotAsItStands(GoliveError):
    """What was asked for does not go with the state that things are in, and nobody was quicker: waiting helps not."""

    code = "state.conflict"


class Fenced(StoreError):
    """The lease's epoch is over: another holder took the run; nothing was written."""

    code = "store.fenced"


# ---- models --------------------------------------------------------------------------------------------------------


class ModelError(GoliveError):
    """A provider could not or would not answer. Keeps the vendor's own words and request id.

    Fields: provider, model, status (HTTP, or None), vendor_code, vendor_message, request_id, retry_after_s. From a
    chain `retry_after_s` is the soonest of all its targets, and `vendor_retry_after_s` what this one said, if another.
    """

    code = "model.failed"

    @property
    def status(self) -> int | None:
        status: int | None = self.fields.get("status")
        return status


class ModelUnreachable(ModelError):
    """No connection, or it broke before the first byte of the answer."""

    code = "model.unreachable"
    retry_helps = True


class ModelTimeout(ModelError):
    """Nothing came within the connect, first-token or between-tokens limit (`limit` says which)."""

    code = "model.timeout"
    retry_helps = True


class ModelRateLimited(ModelError):
    code = "model.rate_limited"
    retry_helps = True


class ModelUnavailable(ModelError):
    """The provider answered 5xx."""

    code = "model.unavailable"
    retry_helps = True


class NotContinued(ModelError):
    """A target was to go on with an answer that had broken off, and said something else; that was thrown away."""

    code = "model.not_continued"


class Outrun(ModelError):
    """Another request for the same answer was quicker; this one was closed."""

    code = "model.outrun"


class CircuitOpen(ModelUnavailable):
    """Nobody was asked: every target has failed too often lately (`retry_after_s` says when one is tried again)."""

    code = "model.circuit_open"


class ModelAuthFailed(ModelError):
    """The provider refused our credential."""

    code = "model.auth"


class CredentialEnded(ModelError):
    """The call was cut because its credential was revoked meanwhile; another call uses another one."""

    code = "model.credential_ended"
    retry_helps = True


class ModelNotFound(ModelError):
    code = "model.not_found"


class ModelBadRequest(ModelError):
    """The provider refused the request itself; another target would too."""

    code = "model.bad_request"


class ModelIncapable(ModelBadRequest):
    """Nobody was asked: no target of the chain can do what the request needs (`lacking`, as in [capabilities])."""

    code = "model.incapable"


class ModelNoCredential(ModelError):
    """Nobody was asked: the tenant has no credential of its own, and the provider is asked with no other."""

    code = "model.no_credential"


class ContextTooLong(ModelBadRequest):
    code = "model.context_too_long"


class ContentRefused(ModelError):
    """The provider's own filter refused."""

    code = "model.content_refused"


class ModelMalformed(ModelError):
    """The answer was not the dialect it should be."""

    code = "model.malformed"
    retry_helps = True


class ModelEmpty(ModelError):
    """The answer ended in good order, and there was nothing in it."""

    code = "model.empty"
    retry_helps = True


class ModelCut(ModelError):
    """The answer broke off after it had begun."""

    code = "model.cut"
    retry_helps = True


# ---- tools ---------------------------------------------------------------------------------------------------------


class ToolError(GoliveError):
    """A tool call failed; the model is told, and the run goes on."""

    code = "tool.failed"


class ToolUnknown(ToolError):
    code = "tool.unknown"


class ToolArgumentsInvalid(ToolError):
    code = "tool.arguments_invalid"


class ToolRaised(ToolError):
    code = "tool.raised"


class ToolResultInvalid(ToolError):
    """What the tool returned cannot be written as JSON."""

    code = "tool.result_invalid"


class ToolTimeout(ToolError):
    code = "tool.timeout"


class ToolNotBegun(ToolError):
    """Nothing was done: the time by which the call had to begin was over, as another server may hold the run now."""

    code = "tool.not_begun"
    retry_helps = True


class WorkerCrashed(ToolError):
    """The worker process ended during the call."""

    code = "tool.worker_crashed"


class Diverged(GoliveError):
    """A replay asked for another effect than the journal holds at this place."""

    code = "run.diverged"
