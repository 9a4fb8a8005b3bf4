"""People of a tenant learn no reference, variable, file, setting or remedy of the installation from any error."""

from collections.abc import Iterator

import msgspec
import pytest

from golive.core import outsiders
from golive.core.errors import DeadlineExceeded, GoliveError
from golive.core.events import AlarmRaised, Event, ModelFailed, encode_body
from golive.core.health import BreakerInfo, Dependency
from golive.gateway import outsiders as door
from golive.gateway.exchange import Exchange
from golive.gateway.problems import TABLE, problem
from golive.tenants.authorize import Principal

PLANTED = "PLANTED_VARIABLE"
REFERENCE = f"env:{PLANTED}"
OF_ACME = Principal("acme", "key:a", "admin")
ACROSS = Principal("acme", "key:p", "platform", across=True, home="elsewhere")
OURS = Principal("default", "key:d", "user")


def kinds(of: type[GoliveError] = GoliveError) -> Iterator[type[GoliveError]]:
    """Those of the tree; modules that no server serves (the check, the client) have some of their own besides."""
    yield of
    for special in of.__subclasses__():
        if special.__module__ == of.__module__:
            yield from kinds(special)


def made(kind: type[GoliveError]) -> GoliveError:
    """One that names a reference wherever an error can: of the operators' kind in its words, else in what is theirs."""
    if kind is DeadlineExceeded:
        return DeadlineExceeded(limit=PLANTED, seconds=1.0)
    theirs = kind.code in outsiders.WORDS
    fields = dict.fromkeys(("key", "value", "origin", "path", "vendor_message"), REFERENCE) if theirs else {}
    message = f"the secret `{REFERENCE}` is missing." if theirs else "What was sent is wrong."
    return kind(message, remedy=REFERENCE if theirs else "Do.", advice=f"Set {PLANTED}.", cause=REFERENCE, **fields)


def asked(principal: Principal | None, run: str | None = None) -> Exchange:
    async def nothing(*_: object) -> None: ...

    exchange = Exchange({"method": "GET", "path": "/", "headers": []}, nothing, nothing)  # type: ignore[arg-type]
    if principal is not None:
        exchange.principal = principal
    exchange.run = run
    return exchange


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_no_error_names_what_is_the_installations_to_people_of_a_tenant(kind: type[GoliveError]) -> None:
    """Every class of the tree, also those to come; code and status stay, so that programs go on as they do."""
    error = made(kind)
    if kind is not DeadlineExceeded:  # whose message has the limit's name: a setting of the request, too
        for principal in (OF_ACME, None):
            told = door.told(asked(principal), error)
            assert PLANTED not in problem(told)[2].decode() + str(told)
            assert (type(told), told.code, problem(told)[0]) == (kind, error.code, problem(error)[0])
    for principal in (ACROSS, OURS):
        if kind.code != "store.sealed":  # of which no client learns more
            assert PLANTED in str(door.told(asked(principal), error))


def test_each_error_is_one_of_the_two_kinds() -> None:
    """Whoever adds a class says which; the tables of codes agree."""
    codes = {kind.code for kind in kinds()}
    assert set(outsiders.WORDS) | outsiders.TOLD == codes == set(TABLE)
    assert not set(outsiders.WORDS) & outsiders.TOLD


def test_a_remedy_names_what_the_operator_looks_for() -> None:
    """The run; or where there is none the reference that stands in the log."""
    error = made(next(kind for kind in kinds() if kind.code == "secret.missing"))
    ask = "Ask whoever runs this server, and name {}: its log has the reason."
    assert door.told(asked(OF_ACME, "run_1"), error, "err_1").remedy == ask.format("run_1")
    assert door.told(asked(OF_ACME), error, "err_1").remedy == ask.format("err_1")
    assert door.told(asked(OF_ACME), error).remedy == "Ask whoever runs this server: its log has the reason."
    assert door.told(asked(OF_ACME), error).message == "This server is not set up for that."
    late = DeadlineExceeded(limit="limits.deadline_s", seconds=2.0)
    assert late.remedy == "Raise limits.deadline_s if that is too short."
    assert door.told(asked(OF_ACME), late).remedy == ""


@pytest.mark.parametrize("code", [*outsiders.WORDS, "model.incapable"])
def test_journals_and_frames_name_it_to_nobody_of_a_tenant(code: str) -> None:
    """A failed attempt's message holds the remedy, too; what the vendor said of our credential goes with it."""
    body = ModelFailed(1, 1, "sim/a", code, f"the secret `{REFERENCE}` is missing.", vendor_message=REFERENCE)
    event = Event("acme", "run_1", 1, 1, "", "v", 0.0, body.kind, encode_body(body))
    shown = msgspec.json.decode(door.journalled(OF_ACME, event))
    assert PLANTED not in str(shown)
    assert (shown["code"], shown["target"], shown["step"]) == (code, "sim/a", 1)
    assert door.journalled(ACROSS, event) == event.body


def test_alarms_and_health_name_it_to_nobody_of_a_tenant() -> None:
    """What opened a breaker, and whose credential stands behind it."""
    alarm = AlarmRaised("breaker.opened", f"sim/a failed. The last failure: {REFERENCE}", {"target": "sim/a"})
    event = Event("acme", "run_1", 1, 1, "", "v", 0.0, alarm.kind, encode_body(alarm))
    assert msgspec.json.decode(door.journalled(OF_ACME, event))["message"] == (
        "sim/a failed too often in a row and is not asked for a while."
    )
    down = Dependency("sim", "provider", "down", 1.0, REFERENCE, (BreakerInfo("sim/a", "open", 9.0, REFERENCE, 1),))
    told = door.health(OF_ACME, down)
    assert told == Dependency("sim", "provider", "down", 1.0, "", (BreakerInfo("sim/a", "open", 9.0, "", 1),))
    assert door.health(ACROSS, down) is down


def test_what_is_the_requests_own_is_told_whole() -> None:
    """A message about what was sent, or what the model said, is no secret of the installation's."""
    for body in (ModelFailed(1, 1, "sim/a", "model.bad_request", "too hot"), AlarmRaised("output.invalid", "no JSON")):
        event = Event("acme", "run_1", 1, 1, "", "v", 0.0, body.kind, encode_body(body))
        assert door.journalled(OF_ACME, event) == event.body
