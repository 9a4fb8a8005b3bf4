"""Scripts of the simulator: how they are read, where they come from, which one wins."""

import msgspec
import pytest

from golive.sim.script import AGENT, BUILT_IN, Script, ScriptInvalid, Scripts, parse_script, with_query


def test_a_script_reads_every_field_it_writes() -> None:
    """What a script encodes to, it is read back from."""
    script = Script(
        text="hello",
        tool_calls=(),
        pace_ms=2.5,
        retry_after="Wed, 21 Oct 2026 07:28:00 GMT",
        status=429,
        turns=(Script(tokens=3), Script(cut_after=1, cut="reset")),
    )
    assert parse_script(msgspec.json.encode(script)) == script


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"tokenz": 3}', "tokenz"),
        ('{"tokens": -1}', "tokens -1"),
        ('{"tokens": 99999999}', "tokens 99999999"),
        ('{"status": 99}', "status 99"),
        ('{"hang_ms": -2}', "hang_ms -2"),
        ('{"cut": "melt"}', "melt"),
        ('{"fragment": 0}', "fragment 0"),
        ("{", "truncated"),
        ("[]", "object"),
    ],
)
def test_a_script_that_cannot_be_followed_names_what_is_wrong(text: str, said: str) -> None:
    """An unknown field or a value out of range is refused, and the message names it."""
    with pytest.raises(ScriptInvalid, match=said):
        parse_script(text)


def test_the_model_name_sets_fields_by_a_query() -> None:
    """`sim-text?tokens=50&pace_ms=10` is sim-text with these two fields changed, JSON values included."""
    script = Scripts().choose('sim-text?tokens=50&pace_ms=10&tool_calls=[{"name":"f"}]', None)
    assert (script.tokens, script.pace_ms, script.tool_calls[0].name, script.mode) == (50, 10.0, "f", "text")


@pytest.mark.parametrize("query", ["tokens=many", "nothing=1", "turns=[{]"])
def test_a_query_that_does_not_fit_is_refused(query: str) -> None:
    """A misspelt or ill-typed query is an error, never silently another behaviour."""
    with pytest.raises(ScriptInvalid, match="cannot be followed"):
        with_query(Script(), query)


def test_priority_is_header_then_installed_then_name_then_default() -> None:
    """The nearer to the request a script stands, the more it weighs."""
    scripts = Scripts(default=Script(text="default"))
    assert scripts.choose("sim-unheard-of", None).text == "default"
    assert scripts.choose("sim-echo", None) == BUILT_IN["sim-echo"]
    scripts.install("sim-echo", Script(text="installed"))
    assert scripts.choose("sim-echo", None).text == "installed"
    assert scripts.choose("sim-echo", '{"text": "header"}').text == "header"


def test_limited_scripts_are_used_up_in_order_and_then_the_standing_one_holds() -> None:
    """Two failures and then success can be installed in advance."""
    scripts = Scripts()
    scripts.install("gpt-x", Script(text="well"))
    scripts.install("gpt-x", Script(status=429), times=2)
    scripts.install("gpt-x", Script(status=500), times=1)
    answers = [scripts.choose("gpt-x", None) for _ in range(5)]
    assert [(one.status, one.text) for one in answers] == [
        (429, None), (429, None), (500, None), (None, "well"), (None, "well"),
    ]  # fmt: skip


def test_a_star_holds_for_every_model_without_one_of_its_own() -> None:
    """`*` stands behind a model's own script, and before the names' meaning."""
    scripts = Scripts()
    scripts.install("*", Script(text="all"))
    scripts.install("sim-text", Script(text="own"))
    assert [scripts.choose(name, None).text for name in ("sim-text", "sim-echo")] == ["own", "all"]
    scripts.clear("*")
    assert scripts.choose("sim-echo", None).mode == "echo"
    scripts.clear()
    assert scripts.choose("sim-other", None) == AGENT


def test_only_sim_names_and_installed_ones_are_known() -> None:
    """A model nobody installed and that does not begin with sim- does not exist."""
    scripts = Scripts()
    assert scripts.known("sim-anything?tokens=1")
    assert not scripts.known("gpt-5")
    scripts.install("gpt-5", Script())
    assert scripts.known("gpt-5")
    assert scripts.models() == ["gpt-5"]


def test_the_last_turn_stays() -> None:
    """A loop that goes on beyond the scripted turns gets the last one again."""
    script = Script(turns=(Script(text="a"), Script(text="b")))
    assert [script.turn(number).text for number in (0, 1, 2, 9)] == ["a", "b", "b", "b"]
    assert Script(text="alone").turn(3).text == "alone"


def test_a_script_for_one_place_counts_there_alone() -> None:
    """`first/model` is chosen for requests to that place; elsewhere, and once it is used up, the model's own."""
    scripts = Scripts()
    scripts.install("m", Script(text="both"))
    scripts.install("first/m", Script(text="first"), 1)
    assert scripts.choose("m", None, "second").text == "both"
    assert [scripts.choose("m", None, "first").text for _ in range(2)] == ["first", "both"]
