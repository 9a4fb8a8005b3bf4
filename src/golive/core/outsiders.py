"""What people of a tenant are told of a failure that only whoever runs the server can mend.

References to secrets, variables, files, addresses and settings are the installation's: whoever runs it finds them in
the log and in the journal, everybody else is told that it is so, and whom to ask. Owns which errors are of that kind,
and the words in their place. Who counts as whom is the door's to say (`gateway/outsiders.py`).
"""

from typing import Any

from msgspec import structs

from golive.core.errors import CredentialEnded, GoliveError, ModelBadRequest, ModelCut, ModelError, ModelNoCredential
from golive.core.events import AlarmRaised, Event, ModelFailed, decode_body, encode_body

_NOT_SET_UP = "This server is not set up for that."
_DATABASE = "The database cannot be used just now."
WORDS: dict[str, str] = {
    "config.invalid": _NOT_SET_UP,
    "secret.missing": _NOT_SET_UP,
    "secret.unavailable": _NOT_SET_UP,
    "secret.revoked": _NOT_SET_UP,
    "agent.invalid": "This agent cannot be served just now.",
    "version.taken": "This agent cannot be served just now.",
    "server.port_in_use": _NOT_SET_UP,
    "store.failed": _DATABASE,
    "store.unavailable": _DATABASE,
    "store.schema": _DATABASE,
    "store.sealed": "Stored content cannot be opened.",
    "audit.unavailable": "What you asked for cannot be recorded just now, and so it is not done.",
    "model.auth": "The provider refused the credential that it was asked with.",
    "model.unreachable": "The provider cannot be reached.",
}
"""By the code of an error whose own words are for whoever runs the server."""
TOLD = frozenset(
    {
        "internal", "request.invalid", "request.too_large", "not_found", "method.not_allowed", "auth.required",
        "auth.forbidden", "auth.suspended", "tenant.limited", "conversation.busy", "server.overloaded",
        "server.shutting_down", "deadline.exceeded", "content.erased", "run.waiting", "run.open", "store.conflict",
        "state.conflict", "store.fenced", "run.diverged", "model.failed", "model.timeout", "model.rate_limited",
        "model.unavailable", "model.not_continued", "model.outrun", "model.circuit_open", "model.credential_ended",
        "model.not_found", "model.bad_request", "model.incapable", "model.no_credential", "model.context_too_long",
        "model.content_refused", "model.malformed", "model.empty", "model.cut", "tool.failed", "tool.unknown",
        "tool.arguments_invalid", "tool.raised", "tool.result_invalid", "tool.timeout", "tool.not_begun",
        "tool.worker_crashed",
    }
)  # fmt: skip
"""Codes of errors whose message is about what was sent, or about what a tool or model said: told to whoever asked."""
SAFE = ("tenant", "run", "seq", "retry_after_s", "provider", "model", "status", "request_id", "reference")
"""The fields of an error for whoever runs the server that everybody may know."""
_THEIR_REMEDIES = (CredentialEnded, ModelBadRequest, ModelCut, ModelNoCredential)
"""Failed calls whose remedy is for who made them; that of others is to look at the provider's settings."""
_IN_JOURNALS = WORDS | {"model.incapable": "No model of the chain can do what the request needs."}
"""In a journal message and remedy are one text."""
_ALARMS = {
    "breaker.opened": "{target} failed too often in a row and is not asked for a while.",
    "price.missing": "No price is known for {target}.",
}


ASK = "Ask whoever runs this server: its log has the reason."


def told(error: GoliveError, ask: str = ASK) -> GoliveError:
    """The error as people of a tenant may know it: its code, and words; never a reference, setting or remedy of ours.

    Args:
        ask: the remedy where only whoever runs the server can help.
    """
    words = WORDS.get(error.code)
    if words is None:
        whose = not isinstance(error, ModelError) or isinstance(error, _THEIR_REMEDIES)
        fields = {name: value for name, value in error.fields.items() if name != "cause"}
        return _like(error, error.message, error.remedy_of_all if whose else "", fields)
    fields = {name: error.fields[name] for name in SAFE if name in error.fields}
    return _like(error, words, ask, fields)


def _like(error: GoliveError, message: str, remedy: str, fields: dict[str, Any]) -> GoliveError:
    fresh = type(error).__new__(type(error))
    GoliveError.__init__(fresh, message, remedy=remedy, **fields)
    return fresh


def failed(body: ModelFailed) -> ModelFailed:
    """A failed attempt as people of a tenant may know it."""
    words = _IN_JOURNALS.get(body.code)
    return body if words is None else structs.replace(body, message=words, vendor_message=None)


def journalled(event: Event) -> bytes:
    """The body of an event, as JSON, as people of a tenant may know it."""
    if event.kind not in (ModelFailed.kind, AlarmRaised.kind):
        return event.body
    body = decode_body(event)
    if isinstance(body, ModelFailed):
        shown = failed(body)
        return event.body if shown is body else encode_body(shown)
    assert isinstance(body, AlarmRaised)
    words = _ALARMS.get(body.alarm)
    return event.body if words is None else encode_body(structs.replace(body, message=words.format(**body.fields)))
