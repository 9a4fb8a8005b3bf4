"""What breaks on the way to a provider and back, and what takes too long, to our error tree."""

from golive.core.errors import ModelCut, ModelError, ModelMalformed, ModelTimeout, ModelUnreachable
from golive.models.transport import ConnectFailed, ConnectTimedOut, ProtocolBroken, TransportError
from golive.models.vendor_errors import Origin


def too_late(origin: Origin, limit: str, seconds: float, *, sent: bool, remedy: str = "") -> ModelError:
    """One of the provider's limits passed.

    Args:
        limit: its full name in the configuration; `seconds` is its value.
        sent: whether the request may have reached the provider.
        remedy: what else may help than to raise the limit: a clause.
    """
    return origin.error(
        ModelTimeout, f"did not answer within {seconds:g} s ({limit}).", limit=limit, seconds=seconds, sent=sent,
        remedy=f"Raise {limit} if that is too short{remedy}.",
    )  # fmt: skip


def unanswered(origin: Origin, error: TransportError, connect_s: float) -> ModelError:
    """The transport failed before the answer's head had come; `connect_s` is the limit of connecting, seconds."""
    if isinstance(error, ConnectTimedOut):
        return too_late(origin, f"providers.{origin.provider}.connect_s", connect_s, sent=False)
    words = origin.redact(str(error), 200)
    if isinstance(error, ProtocolBroken):
        return origin.error(ModelMalformed, f"did not answer in HTTP: {words}.", sent=True)
    how = "cannot be reached" if isinstance(error, ConnectFailed) else "closed the connection before answering"
    return origin.error(
        ModelUnreachable, f"{how} ({words}).", sent=error.sent,
        remedy=f"Check base_url of providers.{origin.provider} and that the server runs.",
    )  # fmt: skip


def cut(origin: Origin, error: BaseException, *, begun: bool) -> ModelError:
    """The body broke off: what had come of it is not the whole answer. `begun`: something of the answer may have."""
    when = "in the middle of its answer" if begun else "before its first token"
    return origin.error(ModelCut, f"broke off {when}: {origin.redact(str(error), 200)}.")
