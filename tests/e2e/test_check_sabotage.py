"""Each check fails when the thing it is about is really broken, and says what is broken.

docs/check.md names these sabotages in a table, which `test_check.py` compares with the register.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist.checks import endings
from golive.checklist.checks.degrading import FALLS
from golive.checklist.checks.endings import ENDINGS
from golive.checklist.checks.leaks import BAD_KEY
from golive.checklist.twin import Twin
from tests.e2e.check_kit import GOLIVE, hold, project, twin_of
from tests.e2e.saboteur import Asked, Saboteur, Told

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken; what breaks stands before it."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ill(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin of a server in which many things are broken that do not meet."""
    sabotages = ("step_cap", "deadline", "chain", "meter", "log", "revocation", "health", "worker_secrets", "hold")
    async with twin_of(project(tmp_path_factory.mktemp("ill")), *sabotages) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worse(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """Another one, with what does meet."""
    sabotages = ("doors", "vendor_words", "readiness", "inline_tools", "deaf", "amnesia", "plain")
    async with twin_of(project(tmp_path_factory.mktemp("worse")), *sabotages) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def curt(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin of a server that says neither what is missing nor why."""
    async with twin_of(project(tmp_path_factory.mktemp("curt")), "words", "nameless") as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def curt_form(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """Another such server, whose agent must answer in a form and cannot look at pictures."""
    golive = GOLIVE + '[capabilities."*"]\nimages = false\n'
    folder = project(tmp_path_factory.mktemp("form"), golive=golive, model='output_schema = "answer.json"\n')
    async with twin_of(folder, "words", "nameless") as found:
        yield found


# ---- GW-1 -----------------------------------------------------------------------------------------------------------


async def test_first_token_sees_a_server_that_holds_streams_back(ill: Twin) -> None:
    """A server that writes each stream at its end fails on both faces: the provider was done before the first word."""
    found = await hold("GW-1.first-token", ill)
    assert found.status == "fail"
    assert "/v1/chat/completions" in found.why
    assert "/v1/agents/clerk/runs" in found.why


async def test_proxy_check_names_a_buffering_proxy(well: Twin) -> None:
    """A proxy that collects streams fails, and is named by what it leaves in the headers."""
    async with Saboteur(well.url, collect=True, headers={"Via": "1.1 slowpoke", "Server": "nginx/1.25.1"}) as url:
        found = await hold("GW-1.proxy", well, url=url)
        assert found.status == "fail"
        for trace in ("Via: 1.1 slowpoke", "Server: nginx/1.25.1", "Content-Length", "X-Accel-Buffering"):
            assert trace in found.why
        assert (await hold("GW-1.first-token", well, url=url)).status == "fail"


async def test_a_proxy_that_passes_streams_on_is_no_fault(well: Twin) -> None:
    """The same proxy without buffering passes: it is not the proxy as such that is refused."""
    async with Saboteur(well.url, headers={"Via": "1.1 brisk"}) as url:
        assert (await hold("GW-1.proxy", well, url=url)).status == "pass"


async def test_resume_sees_an_event_swallowed_at_the_resume(well: Twin) -> None:
    """One event lost after a reconnect is told with its place."""

    def swallow(asked: Asked, number: int, event: bytes) -> bytes:
        return b"" if "last-event-id" in asked.headers and number == 2 else event

    async with Saboteur(well.url, event=swallow) as url:
        found = await hold("GW-1.resume", well, url=url)
    assert found.status == "fail"
    assert "first difference at" in found.why


async def test_resume_sees_a_lost_last_event_id(well: Twin) -> None:
    """Where Last-Event-ID is dropped on the way, the stream begins anew, and what comes twice is counted."""

    def forget(asked: Asked) -> Asked:
        return asked._replace(headers={k: v for k, v in asked.headers.items() if k != "last-event-id"})

    async with Saboteur(well.url, request=forget) as url:
        found = await hold("GW-1.resume", well, url=url)
    assert found.status == "fail"
    assert "events came twice" in found.why


# ---- GW-2, SEC ------------------------------------------------------------------------------------------------------


async def test_keys_sees_an_open_door(worse: Twin) -> None:
    """A server that lets strangers in fails, naming endpoint, credential and answer."""
    found = await hold("GW-2.keys", worse)
    assert found.status == "fail"
    assert "GET /v1/runs with no key: 200" in found.why


async def test_keys_sees_one_unlocked_endpoint(well: Twin) -> None:
    """One endpoint that a proxy answers without asking who it is, is found among all."""

    def open_metrics(asked: Asked, told: Told) -> Told:
        return told._replace(status=200) if asked.path == "/metrics" else told

    async with Saboteur(well.url, answer=open_metrics) as url:
        found = await hold("GW-2.keys", well, url=url)
    assert found.status == "fail"
    assert found.why.startswith("GET /metrics with no key: 200, malformed key: 200")
    assert "; " not in found.why


async def test_keys_sees_a_revoked_key_that_works(ill: Twin) -> None:
    """A key that goes on working after its revocation fails, and it alone."""
    found = await hold("GW-2.keys", ill)
    assert found.status == "fail"
    assert "GET /v1/agents with revoked key: 200" in found.why
    assert "no key" not in found.why


async def test_log_sees_a_key_in_the_log(ill: Twin) -> None:
    """Credentials in the log are found, good ones and mistyped ones, and are not repeated in the report."""
    found = await hold("SEC-1.log", ill)
    assert found.status == "fail"
    assert "the API key in use stands in the server's log" in found.why
    assert "a mistyped key stands in the server's log" in found.why
    shown = repr(found)
    assert not [name for name, secret in ill.secrets.items() if secret in shown]
    assert BAD_KEY not in shown


async def test_log_sees_a_key_in_database_and_answers(worse: Twin) -> None:
    """A provider's key that comes back in its error message is found where it was stored, nothing being sealed, and
    whom it was told."""
    found = await hold("SEC-1.log", worse)
    assert found.status == "fail"
    assert "the provider's key stands in golive.db" in found.why
    everywhere = "\n".join(each.got for each in found.evidence)
    assert "the provider's key stands in the answer to" in everywhere
    assert worse.secrets["the provider's key"] not in repr(found)


async def test_worker_sees_secrets_in_the_environment(ill: Twin) -> None:
    """A worker that was given the server's environment fails, with the secret's name."""
    found = await hold("SEC-6.worker", ill)
    assert found.status == "fail"
    assert "holds the provider's key" in found.why
    assert "CHECK_PROVIDER_KEY" in found.why


async def test_worker_sees_tools_inside_the_server(worse: Twin) -> None:
    """A server that runs tools itself fails: there is no worker process."""
    found = await hold("SEC-6.worker", worse)
    assert found.status == "fail"
    assert "tools may run inside the server" in found.why


# ---- RT, MD ---------------------------------------------------------------------------------------------------------


async def test_step_cap_sees_a_loop_that_goes_on(ill: Twin) -> None:
    """Model calls beyond the limit are counted by the provider."""
    found = await hold("RT-3.step-cap", ill)
    assert (found.status, found.why) == ("fail", "3 model calls beyond the limit")


async def test_deadline_sees_a_run_that_waits_on(ill: Twin) -> None:
    """A run that outlives its deadline fails without our waiting for its end."""
    found = await hold("RT-1.deadline", ill)
    assert found.status == "fail"
    assert found.why.startswith("no answer within")


async def test_chain_sees_a_chain_that_stays(ill: Twin) -> None:
    """When the first target refuses and nobody else is asked, the user gets no answer."""
    found = await hold("MD-1.chain", ill)
    assert found.status == "fail"
    assert "the run ended as failed" in found.why


OF_SOME_AGENTS = ("output-invalid", "no-images")
"""Ways of degrading that need an agent of that kind."""


@pytest.mark.parametrize("end", [*FALLS, *ENDINGS])
async def test_degrading_sees_a_bare_agent_failed(curt: Twin, curt_form: Twin, end: str) -> None:
    """A server that tells users the same whatever happened, and programs nothing, fails in every way of degrading."""
    found = await hold(f"RT-14.{end}", curt_form if end in OF_SOME_AGENTS else curt)
    assert found.status == "fail"
    assert "the user is told “agent failed" in found.why
    assert "missing is []" in found.why


async def test_what_only_some_agents_degrade_to_is_provoked_there(tmp_path: Path) -> None:
    """On a sound server both pass where the agent has a form and no eyes; elsewhere they say what it has not."""
    golive = GOLIVE + '[capabilities."*"]\nimages = false\n'
    folder = project(tmp_path / "a", golive=golive, model='output_schema = "answer.json"\n')
    async with twin_of(folder) as sound, twin_of(project(tmp_path / "b")) as plain:
        here = [await hold(f"RT-14.{end}", sound) for end in OF_SOME_AGENTS]
        there = [await hold(f"RT-14.{end}", plain) for end in OF_SOME_AGENTS]
    assert [one.status for one in here + there] == ["pass", "pass", "unknown", "unknown"]
    assert 'missing output (output_invalid), the user saw “"One two three' in here[0].measured
    assert "missing answer (model.incapable), the user saw no text" in here[1].measured
    assert there[0].why == "[models.default] of agent.toml has no output_schema to be missed"
    assert there[1].why.startswith("first/large, second/tiny may be sent pictures")


async def test_output_invalid_sees_an_answer_that_is_merely_json(tmp_path: Path) -> None:
    """A server that takes any JSON for an answer in the agent's form passes off what does not follow as whole."""
    folder = project(tmp_path, model='output_schema = "answer.json"\n')
    async with twin_of(folder, "formless") as loose:
        found = await hold("RT-14.output-invalid", loose)
    assert found.status == "fail"
    assert "the run ended as completed (done)" in found.why


@pytest.mark.parametrize("end", list(ENDINGS))
async def test_endings_sees_a_run_that_goes_on(worse: Twin, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that nobody wants any more and that goes on all the same, or that a dead server still calls running."""
    monkeypatch.setattr(endings, "GIVE_UP_S", 1.0)  # none of them comes to an end
    found = await hold(f"RT-14.{end}", worse)
    assert found.status == "fail"
    assert found.why in (
        "the run ended as None (None); de: the run ended as None (None)",
        "the run ended as partial (model.timeout); de: the run ended as partial (model.timeout)",  # minutes later
    )


async def test_partial_sees_a_run_that_names_nothing(curt: Twin) -> None:
    """The text is kept, and nobody could tell that it is not the whole answer."""
    found = await hold("RT-2.partial", curt)
    assert (found.status, found.why) == ("fail", "the run does not name the answer as missing")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'"object":"chat.completion"', b'"object":"text_completion"', "Invalid enum value"),
        (b'"created":', b'"made":', "missing required field `created`"),
        (b"data: [DONE]\n\n", b"", "does not end with [DONE]"),
        (b'"total_tokens":', b'"total_tokens":9', "usage does not add up"),
        (b'"param":', b'"parameter":', "the error's body"),
    ],
)
async def test_dialect_sees_a_deviation(well: Twin, old: bytes, new: bytes, why: str) -> None:
    """An answer that deviates in one place from the vendor's shape fails, with the place."""

    def answer(_asked: Asked, told: Told) -> Told:
        return told._replace(body=told.body.replace(old, new))

    def event(_asked: Asked, _number: int, data: bytes) -> bytes:
        return data.replace(old, new)

    async with Saboteur(well.url, answer=answer, event=event) as url:
        found = await hold("MD-1.dialect", well, url=url)
    assert found.status == "fail"
    assert why in found.why


async def test_priced_sees_tokens_that_are_not_counted(ill: Twin) -> None:
    """Where golive counts less than the provider bills, both figures are told."""
    found = await hold("MD-7.priced", ill)
    assert found.status == "fail"
    assert "the provider bills" in found.why


async def test_priced_names_targets_without_a_price(tmp_path: Path) -> None:
    """Without prices for models that no list knows, each such target is named, with the alarm that was raised."""
    async with twin_of(project(tmp_path, golive=GOLIVE)) as unpriced:
        found = await hold("MD-7.priced", unpriced)
    assert found.status == "fail"
    for name in ("clerk", "first/large", "second/tiny"):
        assert f"{name} has no price (alarm price.missing was raised)" in found.why


# ---- RT-5 -----------------------------------------------------------------------------------------------------------


async def test_routing_is_not_known_of_an_agent_without_it(well: Twin) -> None:
    """One tier that answers everything is no pass, and no fault either."""
    for check in ("RT-5.routing", "RT-5.judging", "RT-5.summarising"):
        assert (await hold(check, well)).status == "unknown"


# ---- GW-10, REL-1 ---------------------------------------------------------------------------------------------------


async def test_health_sees_a_server_that_says_all_is_well(ill: Twin) -> None:
    """A /health that stays 200 while the providers are out fails, and so does its silence about their names."""
    found = await hold("GW-10.health", ill)
    assert found.status == "fail"
    assert "with the providers out, /health answered 200" in found.why
    assert "does not name as down: first, second" in found.why


async def test_health_sees_readiness_that_depends_on_providers(worse: Twin) -> None:
    """A server that calls itself unready because a provider is out would be drained everywhere at once."""
    found = await hold("GW-10.health", worse)
    assert found.status == "fail"
    assert found.why == "with the providers out, /health/ready answered 503"


async def test_digest_sees_a_folder_that_was_edited(tmp_path: Path) -> None:
    """A prompt changed under a running server is another version than the one that answers."""
    async with twin_of(project(tmp_path)) as edited:
        assert (await hold("REL-1.digest", edited)).status == "pass"
        prompt = edited.loaded.agents["clerk"].folder / "prompt.md"
        prompt.write_text("You count goats.\n")
        found = await hold("REL-1.digest", edited)
    assert found.status == "fail"
    assert found.measured.startswith("0 of 3 places")
