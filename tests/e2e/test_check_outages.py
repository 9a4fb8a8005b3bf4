"""The drills of the model plane: each fails when what it is about is really broken, and none is shortened.

docs/check.md names these sabotages in a table, which `test_check.py` compares with the register.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist.drill import ROUNDING_S
from golive.checklist.engine import prove
from golive.checklist.registry import load as load_checks
from golive.checklist.twin import SPEED, Twin
from tests.e2e.check_kit import FURTHER, GOLIVE, PRICES, breaking, hold, project, twin_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

DRILLS = (
    "RT-1.first-token",
    "RT-1.stall",
    "MD-2.cut",
    "MD-2.cut-responses",
    "MD-2.cut-messages",
    "MD-2.down",
    "MD-2.all-down",
    "MD-2.slow",
    "MD-2.malformed",
    "MD-3.retry-after",
    "MD-4.recovery",
    "MD-7.usage",
)


PREFILL = GOLIVE + PRICES + '\n[capabilities."*"]\nprefill = true\n'
"""With targets that go on where a text stops."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lax(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin of a server that waits too long, asks too often and counts too little."""
    sabotages = ("patience", "breaker_never_opens", "retry_after", "bound")
    async with twin_of(project(tmp_path_factory.mktemp("lax")), *sabotages) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rash(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin of a server that gives up too soon, for good, and calls whole what is not."""
    sabotages = ("chain", "haste", "breaker_never_closes", "truncation")
    async with twin_of(project(tmp_path_factory.mktemp("rash")), *sabotages) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def several(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin with two credentials at its first target, in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("several"), golive=FURTHER + PRICES)) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def continuing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin whose targets go on where a text stops, in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("continuing"), golive=PREFILL)) as found:
        yield found


async def test_first_token_sees_a_limit_that_is_ignored(lax: Twin) -> None:
    """An answer that comes only after call_s is told to be late, by the server's clock."""
    found = await hold("RT-1.first-token", lax)
    assert found.status == "fail"
    assert found.why.startswith("the answer came ")
    assert "attempts failed: model.timeout" in found.measured
    assert f"{SPEED:g} times as fast, durations as configured" in found.measured


async def test_stall_sees_a_limit_that_is_ignored(lax: Twin) -> None:
    """The same for a silence in mid-answer."""
    found = await hold("RT-1.stall", lax)
    assert found.status == "fail"
    assert found.why.startswith("the answer came ")


async def test_all_down_sees_a_client_that_is_not_told_when_to_come_back(lax: Twin) -> None:
    """Where no breaker opens, clients of a dead model get a bare 502."""
    found = await hold("MD-2.all-down", lax)
    assert found.status == "fail"
    assert found.why == "a client of first/large is told 502, and not to come back later"


@pytest.mark.parametrize(
    ("sabotage", "why"),
    [
        ("untold", "a client of the agent is told 503, and not when to try again (Retry-After: none)"),
        ("timeless", "a run that no model answered does not say when to try again, though the breakers know"),
    ],
)
async def test_all_down_sees_an_agent_that_does_not_say_when_to_come_back(well: Twin, sabotage: str, why: str) -> None:
    """Its own clients, and whoever looks at the run, need the time as much as a model's."""
    async with breaking(well, sabotage) as twin:
        found = await hold("MD-2.all-down", twin)
    assert (found.status, found.why) == ("fail", why)


async def test_retry_after_sees_a_provider_that_is_not_left_alone(lax: Twin) -> None:
    """Requests before the time are counted, with their distance."""
    found = await hold("MD-3.retry-after", lax)
    assert found.status == "fail"
    assert "before the 12 s it asked for" in found.why


async def test_recovery_sees_a_breaker_that_never_opens(lax: Twin) -> None:
    """A dead target that is asked for ever is named."""
    found = await hold("MD-4.recovery", lax)
    assert found.status == "fail"
    assert found.why == "first/large was asked 7 times, all in vain, and no breaker opened"


async def test_usage_sees_what_is_not_counted(lax: Twin) -> None:
    """Tokens that the provider bills and did not report are missing."""
    found = await hold("MD-7.usage", lax)
    assert found.status == "fail"
    assert "missing: golive counts (0, 0) tokens in and out, the provider bills" in found.why


async def test_down_sees_a_chain_that_stays(rash: Twin) -> None:
    """Without a next target users go unanswered, and are counted."""
    found = await hold("MD-2.down", rash)
    assert found.status == "fail"
    assert found.why.startswith("5 runs were not answered: failed (model.unreachable)")


async def test_malformed_sees_nonsense_that_nobody_mends(rash: Twin) -> None:
    """A page of HTML in place of an answer, and no other attempt."""
    found = await hold("MD-2.malformed", rash)
    assert found.status == "fail"
    assert "html: the run ended as failed (" in found.why


async def test_slow_sees_a_provider_that_is_given_up_too_soon(rash: Twin) -> None:
    """Limits that are a tenth of the configured ones hurt a provider that keeps them."""
    found = await hold("MD-2.slow", rash)
    assert found.status == "fail"
    assert found.why == "the provider was given up (model.timeout) though it kept every limit"


async def test_cut_sees_a_part_that_is_called_whole(rash: Twin) -> None:
    """`stop` and `completed` on a text that broke off, on both kinds of face."""
    found = await hold("MD-2.cut", rash)
    assert found.status == "fail"
    assert "native, cut by close: the user was left with" in found.why
    assert "chat, cut by close: `stop` after" in found.why


@pytest.mark.parametrize(
    ("end", "face", "whole"), [("responses", "Responses", "completed"), ("messages", "Messages", "end_turn")]
)
async def test_cut_on_a_face_sees_a_part_that_is_called_whole(rash: Twin, end: str, face: str, whole: str) -> None:
    """A text that broke off, and ends there as a whole one does."""
    found = await hold(f"MD-2.cut-{end}", rash)
    assert found.status == "fail"
    assert f"{face}, cut by close: `{whole}` after" in found.why


async def test_cut_on_a_face_sees_two_answers_spliced(tmp_path: Path) -> None:
    """A target that is to go on, and begins anew instead; the server joins the two without looking."""
    async with twin_of(project(tmp_path, golive=PREFILL), "blind_join") as spliced:
        for end in ("responses", "messages"):
            found = await hold(f"MD-2.cut-{end}", spliced)
            assert found.status == "fail", end
            assert "characters that are not the" in found.why, end


@pytest.mark.parametrize("end", ["", "-responses", "-messages"])
async def test_cut_passes_whole_where_a_target_continues(continuing: Twin, end: str) -> None:
    """With a target that goes on, no face is left with a part."""
    found = await hold(f"MD-2.cut{end}", continuing)
    assert (found.status, found.why) == ("pass", "")
    assert "4 whole, 0 ended as partial, 0 as an error, of 4" in found.measured


async def test_cut_sees_two_answers_spliced(tmp_path: Path) -> None:
    """The part that broke off, and behind it a whole answer."""
    async with twin_of(project(tmp_path), "splice") as spliced:
        found = await hold("MD-2.cut", spliced)
    assert found.status == "fail"
    assert "native, cut by close: the user was left with" in found.why


async def test_recovery_sees_a_breaker_that_never_closes(rash: Twin) -> None:
    """A breaker that lets one attempt at a time through for ever is not closed."""
    found = await hold("MD-4.recovery", rash)
    assert found.status == "fail"
    assert found.why == "a breaker is not closed after 3 successes"


async def test_a_chain_of_one_is_drilled_as_far_as_it_goes(tmp_path: Path) -> None:
    """One target, of Gemini's dialect: only what needs a second is Unknown, with the remedy; retries carry the rest."""
    golive = GOLIVE.replace("[providers.first]", '[providers.first]\ndialect = "gemini"') + PRICES
    async with twin_of(project(tmp_path, golive=golive, chain='"first/large"')) as single:
        report = await prove(load_checks().select(DRILLS), single)
    statuses = {check.id: check.status for check in report.checks}
    assert statuses.pop("MD-2.down") == "unknown"
    assert set(statuses.values()) == {"pass"}, [(check.id, check.why) for check in report.checks]
    assert "add a second" in next(check.why for check in report.checks if check.id == "MD-2.down")


async def test_further_credentials_are_drilled_as_well(several: Twin) -> None:
    """Two credentials at the first target: each has a breaker of its own, and every drill expects as much."""
    report = await prove(load_checks().select(DRILLS), several)
    assert {check.status for check in report.checks} == {"pass"}, [(check.id, check.why) for check in report.checks]
    recovery = next(check for check in report.checks if check.id == "MD-4.recovery")
    assert recovery.measured.startswith("10 failures; ")


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses", "anthropic", "gemini"])
async def test_rotation_passes_with_the_time_of_the_first(tmp_path: Path, dialect: str) -> None:
    """The first credential is left alone until its time, and every user answered by the second."""
    golive = FURTHER.replace("[providers.first]", f'[providers.first]\ndialect = "{dialect}"') + PRICES
    async with twin_of(project(tmp_path, golive=golive)) as sound:
        found = await hold("MD-3.rotation", sound)
    assert (found.status, found.why) == ("pass", "")
    told = re.search(r"with 2 of 2 credentials, with the first again after ([0-9.]+) s", found.measured)
    assert told is not None
    assert float(told[1]) >= 12 - ROUNDING_S
    used = found.evidence[-1].got.partition("their use: ")[2].partition(";")[0].split(", ")
    assert used[:2] == ["1", "2"]
    assert set(used[2:-1]) <= {"2"}
    assert used[-1] == "1"


async def test_rotation_sees_a_credential_that_is_not_left_alone(several: Twin) -> None:
    """Used again before its time is over, it is told after how long."""
    async with breaking(several, "retry_after") as lax:
        found = await hold("MD-3.rotation", lax)
    assert found.status == "fail"
    assert "before its 12 s were over" in found.why


async def test_rotation_sees_a_credential_that_makes_way_for_nobody(several: Twin) -> None:
    """Users are answered, but by another target."""
    async with breaking(several, "rotation") as stubborn:
        found = await hold("MD-3.rotation", stubborn)
    assert found.status == "fail"
    assert found.why == "another target answered, though first/large has a credential that is well"


async def test_rotation_is_not_known_of_a_single_credential(well: Twin) -> None:
    """Where there is no other, it says where to name one."""
    found = await hold("MD-3.rotation", well)
    assert found.status == "unknown"
    assert found.why.endswith("name another in `more_api_keys` of [providers.first]")


async def test_a_long_limit_is_not_shortened(tmp_path: Path) -> None:
    """What takes too long even at this speed is Unknown, and says how long it would take."""
    golive = (GOLIVE + PRICES).replace("[server]", "[breaker]\nopen_s = 900\n\n[server]")
    async with twin_of(project(tmp_path, golive=golive)) as patient:
        found = await hold("MD-4.recovery", patient)
    assert found.status == "unknown"
    assert found.why.startswith("as configured it takes 915 s, 92 s even at 10 times the speed")


async def test_two_providers_of_one_model_are_told_apart(tmp_path: Path) -> None:
    """A chain of the same model at two providers: one of them is down, and the other answers."""
    async with twin_of(project(tmp_path, chain='"first/large", "second/large"')) as twins:
        found = await hold("MD-2.down", twins)
    assert found.status == "pass", found.why
