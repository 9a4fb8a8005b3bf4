"""Whether a value follows a JSON Schema: what a library of another make says too, and in bounded time."""

import socket
from contextlib import suppress
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.config.following import Follows, Undecided, Unusable
from golive.models.call import response_format
from golive.runtime.output import read_answer

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "state": {"enum": ["open", "done", None]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "uniqueItems": True, "maxItems": 3},
        "note": {"type": "string", "pattern": r"^\p{L}+$"},
    },
    "required": ["id", "state"],
    "patternProperties": {"^x-": {"type": "string"}},
    "additionalProperties": False,
    "$defs": {"line": {"type": "object", "properties": {"n": {"const": 1}}, "required": ["n"]}},
}
NOT = "The answer does not follow output_schema: "
TREE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {"allOf": [{"properties": {"c": {"$ref": "#/$defs/node"}}}] * 2}},
}
"""Each level of a value is held against it twice as often as the one above."""


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"id": 1, "state": None, "lines": [{"n": 1.0}], "note": "Größe", "x-a": "b"}, None),
        ([], ("", "/type", ())),
        ({"id": 0, "state": "open"}, ("/id", "/properties/id/minimum", ())),
        ({"id": 1}, ("", "/required", ("state",))),
        ({"id": 1, "state": "lost"}, ("/state", "/properties/state/enum", ())),
        (
            {"id": 1, "state": "open", "lines": [{"n": True}]},
            ("/lines/0/n", "/properties/lines/items/properties/n/const", ()),
        ),
        ({"id": 1, "state": "open", "lines": [{"n": 1}, {"n": 1.0}]}, ("/lines", "/properties/lines/uniqueItems", ())),
        ({"id": 1, "state": "open", "note": "7"}, ("/note", "/properties/note/pattern", ())),
        ({"id": 1, "state": "open", "x-a": 7}, ("/x-a", "/patternProperties/^x-/type", ())),
        ({"id": 1, "state": "open", "more": 7}, ("", "/additionalProperties", ())),
    ],
)  # fmt: skip
def test_where_a_value_does_not_follow_is_told(value: Any, told: Any) -> None:
    assert Follows(ORDER).mismatch(value) == told
    assert jsonschema_rs.is_valid(ORDER, value) is (told is None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5, "", "a", "x-a", "ä1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "x-a", "id"]), inner, max_size=3),
    max_leaves=8,
)
SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"]),
            "uniqueItems": st.booleans(),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "minimum": st.integers(-1, 1),
            "pattern": st.sampled_from(["^a", "a$", "[0-9]", "x-"]),
            "required": st.lists(st.sampled_from(["a", "id"]), unique=True),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from(["a", "id"]), inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^x", "a"]), inner, max_size=2),
            "additionalProperties": inner | st.booleans(),
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    ),
    max_leaves=5,
)


@given(SCHEMAS, VALUES)
def test_another_library_says_the_same(schema: dict[str, Any], value: Any) -> None:
    """Of any schema and any value, whatever keywords are our own."""
    assert (Follows(schema).mismatch(value) is None) is jsonschema_rs.is_valid(schema, value)


def test_older_drafts_are_taken_at_their_word() -> None:
    """One that is named, and else the newest that takes the schema as a whole."""
    for schema in (
        {"items": [{"type": "string"}], "additionalItems": False},
        {"$schema": "http://json-schema.org/draft-04/schema#", "items": [{"type": "string"}], "additionalItems": False},
    ):
        assert Follows(schema).mismatch(["a"]) is None
        assert Follows(schema).mismatch(["a", "b"]) is not None
    assert Follows({"minimum": 1, "exclusiveMinimum": True}).mismatch(1) is not None


def deep(levels: int, end: Any = 1) -> Any:
    value: Any = end
    for _ in range(levels):
        value = {"c": value}
    return value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TREE, deep(40)), ({"$ref": "#"}, 1), ({"allOf": [{"$ref": "#"}]}, 1),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"c": {"$ref": "#/$defs/n"}}}}}, deep(400)),
        ({"enum": list(range(1_000))}, -1), ({"multipleOf": 0.1}, 10**400),
        ({"items": {"enum": list(range(1_000))}}, [-1] * 1_000),
    ],
    ids=["doubling", "itself", "itself in allOf", "deep", "a long enum", "no float", "a long enum for each"],
)  # fmt: skip
def test_the_work_is_bounded(schema: dict[str, Any], value: Any) -> None:
    """Whatever schema and answer do to each other: the answer is told not to follow, or that nobody knows."""
    with suppress(Undecided):
        assert Follows(schema).mismatch(value) is not None


def test_a_doubling_schema_takes_the_steps_and_no_more() -> None:
    follows = Follows(TREE)
    with pytest.raises(Undecided):
        follows.mismatch(deep(40))
    assert follows.mismatch(deep(5)) is None, "steps are counted for each value"


def test_a_pattern_is_matched_in_linear_time() -> None:
    """One that takes others for ever, and one that no linear time can match, which is refused beforehand."""
    hostile = "a" * 100_000 + "!"
    for schema, value in (
        ({"pattern": "^(a+)+$"}, hostile),
        ({"patternProperties": {"^(a+)+$": True}, "additionalProperties": False}, {hostile: 1}),
    ):
        assert Follows(schema).mismatch(value) is not None
    with pytest.raises(Unusable, match="cannot be matched in linear time"):
        Follows({"properties": {"a": {"pattern": "(?=a)b"}}})
    with pytest.raises(Unusable, match="cannot be matched in linear time"):
        Follows({"patternProperties": {"^(a+)+$": True}, "unevaluatedProperties": False})


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def reach(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", reach)
    follows = Follows({"properties": {"a": {"$ref": "https://example.com/schema.json"}}})
    with pytest.raises(Undecided):
        follows.mismatch({"a": 1})


@pytest.mark.parametrize(
    ("text", "value", "told"),
    [
        ('{"id": 1, "state": "open"}', {"id": 1, "state": "open"}, ""),
        ('{"id": "secret", "state": "open"}', None, f"{NOT}/id breaks #/properties/id/type."),
        ("{}", None, f"{NOT}the whole breaks #/required, which asks for id, state."),
        ("Sorry!", None, "The answer is no JSON: JSON is malformed: invalid character (byte 0)."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_without_the_answer(text: str, value: Any, told: str) -> None:
    wanted = response_format(ORDER, "default")
    assert wanted is not None
    assert read_answer(text, wanted) == (value, told)


def test_without_a_schema_any_json_does() -> None:
    assert read_answer("[1]", msgspec.Raw(b'{"type":"json_object"}')) == ([1], "")
    assert read_answer("[1]", msgspec.Raw(b"{}")) == ([1], "")
