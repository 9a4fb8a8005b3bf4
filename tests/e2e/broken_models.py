"""What `broken_server.py` takes out of the model plane: each function breaks one thing, by its name."""

from typing import Any

import msgspec


def chain() -> None:
    """A chain never moves on."""
    from golive.models.course import Course

    def failed(self: Any, error: Any) -> None:
        self._over = True

    Course.failed = failed  # type: ignore[method-assign]


def meter() -> None:
    """Half of the output is not counted."""
    from golive.core.messages import Usage
    from golive.models import meter as module

    real = module._Reading.settle

    def settle(self: Any, *, whole: bool) -> tuple[Usage, bool]:
        usage, estimated = real(self, whole=whole)
        return msgspec.structs.replace(usage, output_tokens=usage.output_tokens // 2), estimated

    module._Reading.settle = settle  # type: ignore[method-assign]


def vendor_words() -> None:
    """What a provider says is kept word for word, its key included."""
    from golive.models.vendor_errors import Origin

    Origin.redact = lambda self, text, limit=500: text  # type: ignore[method-assign,assignment,misc]


def rotation() -> None:
    """A credential that has used up its rate makes way for nobody."""
    from golive.core.errors import ModelRateLimited
    from golive.models.failures import TABLE

    TABLE[ModelRateLimited] = TABLE[ModelRateLimited]._replace(rotates=False)


def patience() -> None:
    """Of a model call's limits only call_s counts."""
    from golive.models import provider

    real = provider._sooner

    def sooner(outer: Any, at: float, seconds: float, setting: str) -> Any:
        return outer if setting.endswith(("first_token_s", "between_tokens_s")) else real(outer, at, seconds, setting)

    provider._sooner = sooner


def haste() -> None:
    """A model call's limits are a tenth of what is configured."""
    from golive.models import provider

    real = provider._sooner
    provider._sooner = lambda outer, at, seconds, setting: real(outer, at, seconds / 10, setting)


def breaker_never_opens() -> None:
    """Circuit breakers let everything through."""
    from golive.core.breaker import Breaker

    Breaker.failed = lambda self, ticket, now: None  # type: ignore[method-assign]


def breaker_never_closes() -> None:
    """Circuit breakers stay half-open for good."""
    from golive.core.breaker import Breaker

    def succeeded(self: Any, ticket: Any) -> None:
        self._counts(ticket)

    Breaker.succeeded = succeeded  # type: ignore[method-assign]


def retry_after() -> None:
    """Nobody minds when a provider asks to be left alone."""
    from golive.models.gate import Gate

    Gate.pause = lambda self, seconds: None  # type: ignore[method-assign]


def splice() -> None:
    """Where an answer is begun anew, nobody is told to take back the one that broke off."""
    from golive.models.recovery import _Answer

    real = _Answer.void

    def void(self: Any, rung: Any) -> None:
        real(self, rung)

    _Answer.void = void  # type: ignore[method-assign,assignment]


def blind_join() -> None:
    """The text that broke off is not sent, and whatever comes after it is joined to it as it is."""
    from golive.models import recovery
    from golive.models.joining import Joiner

    recovery._with = lambda request, *messages: request

    Joiner.feed = lambda self, piece: piece  # type: ignore[method-assign]
    Joiner.end = lambda self: ""  # type: ignore[method-assign]


def truncation() -> None:
    """An answer that breaks off is taken for a whole one."""
    from golive.core.errors import GoliveError
    from golive.models.call import Finished
    from golive.models.recovery import Recovering

    real = Recovering.__init__

    def init(self: Any, call: Any, ways: Any) -> None:
        async def whole(request: Any, ctx: Any) -> Any:
            said = False
            try:
                async for events in call(request, ctx):
                    said = said or any(hasattr(event, "text") for event in events)
                    yield events
            except GoliveError:
                if not said:
                    raise
                yield [Finished("stop")]

        real(self, whole, ways)

    Recovering.__init__ = init  # type: ignore[method-assign]


def bound() -> None:
    """What a provider does not report counts as nothing."""
    from golive.core.messages import Usage
    from golive.models import meter as module

    module._Reading.settle = lambda self, *, whole: (self.reported or Usage(), False)  # type: ignore[method-assign]
