"""What a client is told of a body that does not fit: where it is wrong, and what stands there."""

from typing import Literal

import pytest
from msgspec import Struct

from golive.core.errors import InvalidRequest
from golive.gateway.bodies import Reader


class Inner(Struct, forbid_unknown_fields=True):
    name: str


class Body(Struct):
    metadata: dict[str, str] = {}
    deadline_s: float = 0.0
    groups: list[dict[str, dict[str, int]]] = []
    inner: dict[str, Inner] = {}
    mode: Literal["a", "b"] = "a"


_read = Reader(Body).decode


@pytest.mark.parametrize(
    ("body", "field", "found"),
    [
        ('{"metadata":{"a":"ok","customer":1}}', "metadata.customer", "1"),
        ('{"metadata":{"customer":null,"a":"ok","b":2}}', "metadata.customer", "null"),
        ('{"metadata":{"a.b[0]":[1]}}', "metadata.a.b[0]", "[1]"),
        ('{"groups":[{},{"x":{"one":1},"y":{"two":2,"three":"3","four":4}}]}', "groups[1].y.three", '"3"'),
        ('{"groups":[{"x":7}]}', "groups[0].x", "7"),
        ('{"inner":{"p":{"name":"n"},"q":{"name":5}}}', "inner.q.name", "5"),
        ('{"metadata":{"%s":1}}' % ("k" * 500), "metadata." + "k" * 80, "1"),
        ('{"metadata":7}', "metadata", "7"),
        ('{"mode":"c"}', "mode", '"c"'),
    ],
)  # fmt: skip
def test_the_entry_of_a_mapping_is_named(body: str, field: str, found: str) -> None:
    """By its key, however deep it stands; what stands there is shown, and nothing around it."""
    with pytest.raises(InvalidRequest) as refused:
        _read(body.encode())
    assert (refused.value.fields["field"], refused.value.fields["found"]) == (field, found)
    assert refused.value.message.startswith(f"{field} is {found}")


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ('{"inner":{"p":{"name":"n"},"q":{}}}', "inner.q.name", "inner.q.name is missing."),
        ('{"inner":{"q":{"name":"n","x":1}}}', "inner.q.x", "inner.q.x is not a known field."),
    ],
)
def test_a_field_of_an_entry_is_named(body: str, field: str, message: str) -> None:
    """One that is missing, or not known."""
    with pytest.raises(InvalidRequest) as refused:
        _read(body.encode())
    assert (refused.value.fields["field"], refused.value.message) == (field, message)


def test_one_entry_of_very_many_is_found() -> None:
    """By halving: a body of many entries is read again a few times, not once for each."""
    entries = ",".join(f'"k{number}":"v"' for number in range(20_000))
    with pytest.raises(InvalidRequest) as refused:
        _read(b'{"metadata":{%s,"bad":1,"k":2}}' % entries.encode())
    assert refused.value.fields["field"] == "metadata.bad"


@pytest.mark.parametrize(
    ("body", "what", "line", "column"),
    [
        ('{"deadline_s": NaN}', "NaN", 1, 16),
        ('{"metadata": {"a": "NaN \\" Infinity"},\n  "deadline_s": -Infinity}', "-Infinity", 2, 17),
        ('{\n\n"other": [1, Infinity]}', "Infinity", 3, 14),
    ],
)
def test_what_is_no_number_is_told_with_its_place(body: str, what: str, line: int, column: int) -> None:
    """Python's own writer makes such bodies; JSON knows no NaN and no Infinity. In a text they are words."""
    with pytest.raises(InvalidRequest) as refused:
        _read(body.encode())
    assert refused.value.message == (
        f"The body is not valid JSON: {what} is no number there (line {line}, column {column})."
    )
    assert refused.value.fields["position"] == body.rindex(what)
    assert "found" not in refused.value.fields
