"""Tokens, generated words, prices and schema instances of the simulator."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.core.chance import SeededChance
from golive.sim import tokens
from golive.sim.bill import Bill, Ending, price
from golive.sim.structured import instance


@given(st.text())
def test_tokens_join_into_the_text_again(text: str) -> None:
    """Splitting loses nothing, so what streams is what was scripted, in any script of the world."""
    pieces = tokens.split(text)
    assert "".join(pieces) == text
    assert len(pieces) == tokens.count(text)
    assert all(pieces)


@given(st.integers(0, 2**32), st.integers(0, 400))
def test_generated_words_are_as_many_as_asked_and_neighbours_differ(seed: int, size: int) -> None:
    """N tokens are N tokens by the simulator's own count, and no two neighbours are the same."""
    words = tokens.generate(SeededChance(seed), size)
    assert len(words) == size
    assert tokens.count("".join(words)) == size
    assert all(left != right for left, right in pairwise(words))
    assert words == tokens.generate(SeededChance(seed), size)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_price_is_rounded_up_and_never_falls_with_more_tokens(fresh: int, cached: int, out: int) -> None:
    """1.00, 0.25 and 4.00 USD a million, in whole micro-dollars, rounded up."""
    cost = price(fresh + cached, cached, out)
    assert cost - 1 < fresh + cached * 0.25 + out * 4 <= cost
    assert price(fresh + cached, cached, out + 1) > cost


def test_the_bill_sums_up_and_does_not_charge_what_failed() -> None:
    """Totals are the sum of the lines; a failed call has a line of 0."""
    bill = Bill()
    endings: tuple[tuple[Ending, int], ...] = (("completed", 10), ("cut", 3), ("aborted by client", 1), ("failed", 0))
    for state, out in endings:
        bill.add(
            call="c", model="m", state=state, stream=True, input_tokens=8, cached_tokens=4, output_tokens=out, at=1.0
        )
    assert [line.cost_microusd for line in bill] == [45, 17, 9, 0]
    assert bill.cost_microusd == 71
    assert (bill.totals.calls, bill.totals.input_tokens, bill.totals.output_tokens) == (4, 24, 14)
    bill.clear()
    assert (len(bill), bill.cost_microusd) == (0, 0)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "ok"),
        ({"type": "string", "minLength": 5}, "ok xx"),
        ({"type": "string", "format": "date"}, "2026-01-15"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 5}, 10),
        ({"type": "number", "maximum": -2.5}, -2.5),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "ok"),
        ({"allOf": [{"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}]}, {"a": None}),
        (
            {
                "type": "object",
                "properties": {"node": {"$ref": "#/$defs/Node"}, "unused": {"type": "string"}},
                "required": ["node"],
                "$defs": {"Node": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
            },
            {"node": {"n": 0}},
        ),
    ],
)
def test_an_instance_satisfies_its_schema(schema: dict[str, Any], value: Any) -> None:
    """The smallest value of each kind of schema, references and unions included."""
    assert instance(schema) == value


def test_a_schema_that_contains_itself_ends() -> None:
    """Recursion is bounded, so that no schema can hang the simulator."""
    endless = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    found, depth = instance(endless), 0
    while found is not None:
        found, depth = found["next"], depth + 1
    assert 1 < depth < 30
