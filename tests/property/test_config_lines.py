"""Whatever stands in a TOML file, each key is found on its line."""

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from golive.config.positions import key_lines

BARE = st.text(alphabet="abXY_-09", min_size=1, max_size=4)
QUOTED = st.text(alphabet="a.#=\"]\\ é'", min_size=1, max_size=4).map(lambda key: json.dumps(key, ensure_ascii=False))
KEYS = st.one_of(BARE, QUOTED, BARE.map(lambda key: f"'{key}'"))
VALUES = st.sampled_from(
    [
        "1",
        "true",
        '"# [x] = 1"',
        "'{ \" '",
        "2026-11-21 10:00:00",
        "[]",
        "[ # [\n 1,\n '''\n]'''\n]",
        '"""\n[not.a.table]\nkey = 1\n\\""" " \n"""',
        "'''\n\"\"\"\nx = 1''''",
        '{ a = 1, b = "}" }',
        '"""""""',
        '"a\\"b = 1"',
        "inf",
    ]
)
GAPS = st.sampled_from(["", "\n", "# key = 1 [x]\n", "  \n\t# '''\n"])
ENDS = st.sampled_from(["", "  ", " # comment = '"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str, ...], int]]:
    """A valid TOML text, and the line on which each key was written."""
    text = ""
    expected: dict[tuple[str, ...], int] = {}
    tables = draw(st.lists(KEYS, max_size=3, unique_by=_name))
    for table in [None, *tables]:
        text += draw(GAPS)
        prefix: tuple[str, ...] = ()
        if table is not None:
            prefix = ("t", _name(table))
            expected.setdefault(("t",), text.count("\n") + 1)
            expected[prefix] = text.count("\n") + 1
            text += f"[ t . {table} ]{draw(ENDS)}\n"
        for key in draw(st.lists(KEYS, max_size=3, unique_by=_name)):
            if table is None and _name(key) == "t":
                continue
            text += draw(GAPS)
            expected[(*prefix, _name(key))] = text.count("\n") + 1
            text += f"{draw(st.sampled_from(['', '  ']))}{key} = {draw(VALUES)}{draw(ENDS)}\n"
    return text, expected


def _name(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 1")))


@given(documents())
def test_every_key_is_found_on_its_line(document: tuple[str, dict[tuple[str, ...], int]]) -> None:
    """Comments, strings over several lines and brackets in strings mislead nobody."""
    text, expected = document
    tomllib.loads(text)
    assert key_lines(text) == expected


@given(st.text(alphabet="[]{}=\"'#\n.ab\\ ", max_size=40))
def test_no_valid_text_is_misread(text: str) -> None:
    """However oddly it is written: if it is TOML, exactly its top-level keys are found."""
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert {(key,) for key in data} == {path for path in key_lines(text) if len(path) == 1}
