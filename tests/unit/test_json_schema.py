"""What is taken for a JSON Schema, held against the meta-schemas themselves."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.config.json_schema import first_fault, parse

GOOD: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Order",
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1, "exclusiveMaximum": 1e9},
        "state": {"enum": ["open", None], "default": "open"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line~1item"}, "minItems": 1.0},
        "note": {"type": ["string", "null"], "maxLength": 80, "pattern": r"^\p{L}"},
        "default": {"anyOf": [True, {"not": {}}]},
        "self": {"$ref": "#"},
    },
    "required": ["id"],
    "additionalProperties": False,
    "$defs": {"line/item": {"type": "object", "x-shown": 3}},
}


def test_a_schema_is_taken() -> None:
    """Every kind of keyword as it is meant, references into the file, and names no draft knows."""
    assert first_fault(GOOD) is None
    assert jsonschema_rs.meta.is_valid(GOOD)


@pytest.mark.parametrize(
    ("schema", "pointer", "message"),
    [
        ([], "#", "a schema is an object or a boolean, not []."),
        ({"type": "text"}, "#/type", "`type` must be one or several of array, "),
        ({"type": []}, "#/type", "`type` must be one"),
        ({"properties": ["a"]}, "#/properties", "`properties` must be an object of schemas, and is [\"a\"]."),
        ({"properties": {"a/b": "string"}}, "#/properties/a~1b", 'a schema is an object or a boolean, not "string".'),
        ({"properties": {"a": {"required": True}}}, "#/properties/a/required", "must be a list of different names"),
        ({"required": ["a", "a"]}, "#/required", "must be a list of different names"),
        ({"items": {"enum": "a"}}, "#/items/enum", "`enum` must be a list"),
        ({"items": []}, "#/items", "`items` must be a schema"),
        ({"anyOf": []}, "#/anyOf", "at least one schema"),
        ({"allOf": [{}, {"minLength": -1}]}, "#/allOf/1/minLength", "a whole number, 0 or more, and is -1."),
        ({"maxItems": 1.5}, "#/maxItems", "a whole number"),
        ({"minimum": "1"}, "#/minimum", "a number"),
        ({"multipleOf": 0}, "#/multipleOf", "a number above 0"),
        ({"uniqueItems": 1}, "#/uniqueItems", "true or false"),
        ({"title": 1}, "#/title", "text"),
        ({"dependentRequired": {"a": "b"}}, "#/dependentRequired", "lists of different names"),
        ({"$ref": "#/$defs/gone"}, "#/$ref", "a part of this file that is there, and is \"#/$defs/gone\"."),
        ({"description": "x" * 9, "type": "y" * 99}, "#/type", 'and is "' + "y" * 58 + "…."),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(schema: object, pointer: str, message: str) -> None:
    """Where and what, whatever stands around it."""
    fault = first_fault(schema)
    assert fault is not None
    assert fault.pointer == pointer
    assert message in fault.message


@pytest.mark.parametrize(
    "schema",
    [
        {"items": [{"type": "string"}], "additionalItems": False},
        {"minimum": 0, "exclusiveMinimum": True},
        {"dependencies": {"a": ["b"], "c": {"type": "object"}}},
        {"definitions": {"a": {"$id": "https://example.com/a", "$ref": "#/properties/b", "properties": {"b": {}}}}},
    ],
)
def test_what_older_drafts_allow_is_taken(schema: object) -> None:
    """Lists of items, boolean bounds, dependencies, and references inside a schema with an address of its own."""
    assert first_fault(schema) is None


def test_depth_is_no_matter() -> None:
    """A schema as deep as the parser lets in is looked at to its end."""
    text = '{"not": ' * 900 + '{"type": 1}' + "}" * 900
    fault = first_fault(parse(text))
    assert fault is not None
    assert fault.pointer == "#" + "/not" * 900 + "/type"


@pytest.mark.parametrize("text", ["{", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": "\\ud800"}'])
def test_what_json_cannot_pass_on_is_refused(text: str) -> None:
    """Numbers without an end and half characters would not reach the provider as they stand."""
    with pytest.raises(ValueError, match=r"."):
        parse(text)


KEYWORDS = [
    "type", "enum", "items", "properties", "required", "anyOf", "not", "minLength", "minimum", "multipleOf",
    "uniqueItems", "title", "$defs", "default", "dependentRequired", "dependentSchemas", "prefixItems", "examples",
    "additionalProperties", "patternProperties", "if", "contains", "readOnly", "contentEncoding", "unevaluatedItems",
    "additionalItems", "x-own",
]  # fmt: skip
VALUES: Any = st.recursive(
    st.sampled_from([None, True, 0, -1, 2.5, 3.0, "string", "strin", ["a"], ["a", "a"], ["null", "string"], []]),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=2), st.lists(inner, min_size=1, max_size=2)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), VALUES, max_size=3))
def test_the_meta_schema_agrees(schema: dict[str, Any]) -> None:
    """Without forms of older drafts, exactly what draft 2020-12's own meta-schema takes is taken."""
    taken = first_fault(schema) is None
    valid = jsonschema_rs.meta.is_valid(schema)
    assert taken or not valid, schema
    assert valid or not taken or '"items": [' in str(schema).replace("'", '"'), schema
