"""The way of one call along its chain: whom to ask next, after how long, or that it is over. Decides; asks nobody.

Where another target stands in the chain, the call moves on at once; it waits (backs off) only when every target has
failed (in this call, or before it in the middle of the same answer) or is not to be asked, as long as deadline, number
of retries and the budget of all retries allow.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from golive.core.backoff import BackoffPolicy, RetryBudget
from golive.core.chance import Chance
from golive.core.errors import (
    CircuitOpen,
    ContentRefused,
    ContextTooLong,
    GoliveError,
    ModelError,
    ModelIncapable,
    ModelNoCredential,
    ModelRateLimited,
    NotContinued,
)
from golive.core.messages import ImagePart
from golive.models import failures
from golive.models.call import CallContext, ModelCall, ModelRequest, Skipped, SkipReason
from golive.models.capabilities import ModelCapabilities
from golive.models.gate import Gate


class Lane(NamedTuple):
    """A target, asked with one credential."""

    call: ModelCall
    gate: Gate


class ChainTarget(NamedTuple):
    """`provider/model`, with a lane for each credential of the provider; `lane_of` makes that of another one's
    reference."""

    ref: str
    lanes: tuple[Lane, ...]
    can: ModelCapabilities
    lane_of: Callable[[str], Lane] | None = None


class Step(NamedTuple):
    """Ask this target through this lane, after `wait_s` seconds."""

    target: ChainTarget
    lane: Lane
    wait_s: float = 0.0


class Chained:
    """The targets of a chain, in order, and those of their own for two classes of failure."""

    __slots__ = ("able", "content_refused", "context_too_long", "left_out", "providers", "steps", "targets")

    def __init__(
        self,
        targets: tuple[ChainTarget, ...],
        context_too_long: tuple[ChainTarget, ...] = (),
        content_refused: tuple[ChainTarget, ...] = (),
        *,
        left_out: tuple[Skipped, ...] = (),
    ) -> None:
        """`left_out`: those that stand in the chain and may not be asked."""
        self.left_out = left_out
        every = (*targets, *context_too_long, *content_refused)
        self.providers = tuple(dict.fromkeys([target.ref.partition("/")[0] for target in every]))
        self.targets = targets
        self.context_too_long = context_too_long
        self.content_refused = content_refused
        self.steps = _steps(targets)
        self.able = all(target.can.tools and target.can.structured_output and target.can.images for target in targets)
        """Whether any of them can carry out any request."""


def _steps(targets: Iterable[ChainTarget]) -> tuple[Step, ...]:
    return tuple([Step(target, lane) for target in targets for lane in target.lanes])


def _of_larger_windows(steps: list[Step], than: ChainTarget) -> list[Step]:
    """Those whose window is larger than that of `than`, or may be."""
    window = than.can.context_window
    windows = [(step, step.target.can.context_window) for step in steps]
    return [step for step, larger in windows if window is None or larger is None or larger > window]


class Course:
    """Made for one call, used up by it."""

    __slots__ = (
        "_along",
        "_budget",
        "_chain",
        "_chance",
        "_declined",
        "_failed",
        "_fresh",
        "_last",
        "_over",
        "_policy",
        "_request",
        "_retries",
        "_unable",
    )

    def __init__(
        self, chain: Chained, request: ModelRequest, ctx: CallContext, policy: BackoffPolicy, budget: RetryBudget,
        chance: Chance,
    ) -> None:  # fmt: skip
        """Of `ctx`: `avoid`, `broken` and `retries`."""
        self._chain = chain
        self._along = chain.targets
        self._request = request
        self._policy = policy
        self._budget = budget
        self._chance = chance
        self._unable: list[Skipped] = [*chain.left_out]
        if chain.able:
            self._fresh = list(chain.steps)
        else:
            self._fresh = list(_steps([target for target in chain.targets if self._is_able(target, request)]))
        self._failed: list[Step] = []
        if ctx.avoid:
            self._fresh.sort(key=lambda step: step.target.ref in ctx.avoid)
        if ctx.broken:
            self._failed = [step for step in self._fresh if step.target.ref in ctx.broken]
            self._fresh = [step for step in self._fresh if step.target.ref not in ctx.broken]
        self._declined: set[str] = set()
        """Targets to which the request is too long, or whose policy it is against: never asked again."""
        self._last: Step | None = None
        self._retries = ctx.retries
        self._over = False
        budget.called()

    @property
    def retries(self) -> int:
        """Attempts after a wait until now, those for the same answer before this call included."""
        return self._retries

    def skipped(self) -> tuple[Skipped, ...]:
        """Those passed over so far in favour of later ones."""
        if not self._fresh and not self._unable:
            return ()
        blocked = tuple(
            Skipped(step.target.ref, "paused" if step.lane.gate.pause_s() else "breaker")
            for step in self._fresh
            if step.lane.gate.wait_s()
        )
        return (*self._unable, *blocked)

    def next(self, remaining_s: float) -> Step | None:
        """Whom to ask now; None: nobody. `remaining_s` is what the deadline leaves."""
        if self._over:
            return None
        for place, step in enumerate(self._fresh):
            if not step.lane.gate.wait_s():
                del self._fresh[place]
                self._last = step
                return step
        again = self._again(remaining_s)
        if again is not None:
            self._retries += 1
            self._fresh = [step for step in self._fresh if step.lane is not again.lane]
            self._failed = [step for step in self._failed if step.lane is not again.lane]
            self._last = again
        return again

    def failed(self, error: GoliveError) -> None:
        """The last one asked failed with `error` before it had said anything."""
        step, found = self._last, failures.of(error)
        assert step is not None
        if not found.moves:
            self._over = True
            return
        if not found.rotates:  # what is wrong is not the credential
            self._fresh = [other for other in self._fresh if other.target is not step.target]
            if not found.retries:
                self._failed = [other for other in self._failed if other.target is not step.target]
        self._reroute(error, step)
        if found.retries:
            self._failed.append(step)

    def over(self) -> None:
        """The last one asked has begun to answer: whatever becomes of that, this call asks nobody else."""
        self._over = True

    def reroutes_refused(self) -> bool:
        """Whether content that the last one asked refuses goes to targets of its own."""
        step, own = self._last, self._chain.content_refused
        assert step is not None
        if not own:
            return False
        if own is self._along:
            return any(other.target is not step.target for other in self._fresh)
        return any(target.ref != step.target.ref and target.ref not in self._declined for target in own)

    def not_now(self) -> None:
        """The one that was to be asked must not be any more; it stays in question for later."""
        assert self._last is not None
        self._fresh.append(Step(self._last.target, self._last.lane))

    def nobody(self) -> GoliveError:
        """The error where nobody was asked at all."""
        left = [*self._fresh, *self._failed]
        if not left:
            return _unaskable(self._unable)
        wait_s = round(min(step.lane.gate.wait_s() for step in left), 1)
        refs = ", ".join(dict.fromkeys(step.target.ref for step in left))
        if any(not step.lane.gate.wait_s() for step in self._failed):  # retries, their budget or the deadline forbid it
            return NotContinued(f"{refs} broke off in this very answer, and may not be asked again for it.", sent=False)
        paused = all(step.lane.gate.pause_s() for step in left)
        kind: type[ModelError] = ModelRateLimited if paused else CircuitOpen
        why = "asked to be left alone" if paused else "failed too often lately and is not asked"
        return kind(
            f"{refs} {why}; the next attempt is possible in {wait_s:g} s.",
            remedy="Try again then, or add another target to the chain.", retry_after_s=wait_s, sent=False,
        )  # fmt: skip

    def end(self, error: GoliveError | None) -> GoliveError:
        """The error that ends the call: `error`, the last one's, or why nobody was asked at all.

        Its `retry_after_s` is when the soonest of all that may be asked again may be, seconds; None: at once, as far as
        is known. What it was before stands in `vendor_retry_after_s`, if another.
        """
        if error is None:
            return self.nobody()
        left, own_s = [*self._fresh, *self._failed], error.fields.get("retry_after_s")
        if not left or self._over:
            return error
        lane = self._last and self._last.lane
        # A gate knows the provider's word less a moment, and of a very long pause the beginning alone.
        waits = [max(step.lane.gate.wait_s(), own_s or 0.0 if step.lane is lane else 0.0) for step in left]
        soonest_s = round(min(waits), 1) or None
        if soonest_s != own_s:
            error.fields |= {"retry_after_s": soonest_s, "vendor_retry_after_s": own_s}
        return error

    def _again(self, remaining_s: float) -> Step | None:
        """The one that may be asked soonest; of equals the last of the chain."""
        if self._retries >= self._policy.retries:
            return None
        backoff_s = self._policy.wait_s(self._retries + 1, self._chance)
        waits = [(step.lane.gate.wait_s(), step, False) for step in reversed(self._fresh)]
        waits = [(max(backoff_s, step.lane.gate.wait_s()), step, True) for step in reversed(self._failed)] + waits
        allowed = [
            found
            for found in waits
            if found[1].lane.gate.pause_s() <= self._policy.most_s and found[1].lane.gate.closed_s() <= backoff_s
        ]
        if not allowed:
            return None
        wait_s, step, is_retry = min(allowed, key=lambda found: found[0])
        if wait_s >= remaining_s or (is_retry and not self._budget.take()):
            return None
        return Step(step.target, step.lane, wait_s)

    def _reroute(self, error: GoliveError, step: Step) -> None:
        """Too long a context and a refusal of the content choose other targets than an outage does."""
        if isinstance(error, ContextTooLong):
            chosen = self._chain.context_too_long
            self._fresh = _of_larger_windows(self._fresh, step.target)
            self._failed = _of_larger_windows(self._failed, step.target)
        elif isinstance(error, ContentRefused):
            chosen = self._chain.content_refused
        else:
            return
        self._declined.add(step.target.ref)
        if chosen and chosen is not self._along:
            self._along = chosen
            self._failed.clear()
            left = [target for target in chosen if target.ref not in self._declined]
            self._fresh = list(_steps([target for target in left if self._is_able(target, self._request)]))

    def _is_able(self, target: ChainTarget, request: ModelRequest) -> bool:
        can = target.can
        lacks: SkipReason | None = None
        if not can.tools and (request.tools or "tools" in request.extra):
            lacks = "tools"
        elif request.output_schema is not None and not can.structured_output:
            lacks = "structured_output"
        elif not can.images and _has_images(request):
            lacks = "images"
        if lacks is not None:
            self._unable.append(Skipped(target.ref, lacks))
        return lacks is None


_FEATURES: dict[SkipReason, tuple[str, str]] = {
    "tools": ("the tools", "takes no tools"),
    "images": ("the images", "takes no images"),
    "structured_output": ("the JSON schema of the answer", "binds no answer to a JSON schema (structured output)"),
}
"""What a request may need: its name in a request, and what is said of a target that lacks it."""


def _unaskable(unable: Sequence[Skipped]) -> ModelError:
    """Nobody was asked: none of these can do what the request needs, or may be asked for this tenant."""
    able = [skipped for skipped in unable if skipped.reason == "credential"]
    return no_credential(*[skipped.target for skipped in able]) if able else _incapable(unable)


def no_credential(*targets: str) -> ModelNoCredential:
    """The error where these may be asked with a tenant's own credential only, and there is none."""
    providers = ", ".join(dict.fromkeys(target.partition("/")[0] for target in targets))
    return ModelNoCredential(
        f"This tenant has no credential for {providers}, and is served with no other. Nobody was asked.",
        remedy=f"Give it one: `golive credentials set {providers.partition(',')[0]} REFERENCE`.",
        targets=", ".join(targets), sent=False,
    )  # fmt: skip


def _incapable(unable: Sequence[Skipped]) -> ModelIncapable:
    """Nobody was asked, for none of these can do what the request needs."""
    lacking = tuple(dict.fromkeys(skipped.reason for skipped in unable))
    settings = " and ".join(f'`{skipped.reason}` of [capabilities."{skipped.target}"]' for skipped in unable)
    return ModelIncapable(
        "; ".join(f"{skipped.target} {_FEATURES[skipped.reason][1]}" for skipped in unable) + ". Nobody was asked.",
        remedy=f"Leave {' or '.join(_FEATURES[reason][0] for reason in lacking)} out of the request, or use another "
        "model.",
        advice=f"Where a model can do it after all, the server's operator corrects {settings} in golive.toml.",
        lacking=lacking, targets=", ".join(skipped.target for skipped in unable), sent=False,
    )  # fmt: skip


def _has_images(request: ModelRequest) -> bool:
    return any(
        isinstance(part, ImagePart)
        for message in request.messages
        if not isinstance(message.content, str)
        for part in message.content
    )
