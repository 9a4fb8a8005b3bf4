"""Which languages a client reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.core.words import is_language
from golive.gateway.language import MOST, accepted


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("de", ("de",)),
        ("en;q=0.5, de", ("de", "en")),
        ("de-AT,de;q=0.9 , *;q=0.1", ("de-AT", "de")),
        ("fr;q=0, de;q=nan, en;q=2, it;q=-1, es;q=x", ()),
        ("de;level=1", ("de",)),
        ("", ()),
        ("a, ../../etc, de_DE, " + "x" * 9, ()),
    ],
)
def test_tags_come_by_falling_weight(header: str, tags: tuple[str, ...]) -> None:
    """Weight 0, `*` and what is no tag are left out; equal weights keep their order."""
    assert accepted(header) == tags


@given(st.text(st.sampled_from("deEN-;q=0.1, *\x00é"), max_size=200))
def test_any_header_is_read(header: str) -> None:
    """Whatever a client sends gives few tags, each of the form of one."""
    found = accepted(header)
    assert len(found) <= MOST
    assert all(is_language(tag) for tag in found)
