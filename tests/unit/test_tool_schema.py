"""From a function's signature and docstring to what a model is told, and to checked arguments."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import AgentError, ToolArgumentsInvalid
from golive.tools.context import ToolContext
from golive.tools.loading import load_tools
from golive.tools.schema import Tool, nearest

PREAMBLE = """
import dataclasses, datetime, enum, typing
from typing import Annotated, Any, Literal, Optional
import typing_extensions
from pydantic import BaseModel, Field
from golive.tools.context import ToolContext
"""
HEAD = "Finds orders.\n\nNewest first.\n\n"


def tool(folder: Path, source: str, *, future: bool = False) -> Tool:
    """The one tool of `source`."""
    head = "from __future__ import annotations\n" if future else ""
    (folder / "tools.py").write_text(head + PREAMBLE + textwrap.dedent(source))
    (only,) = load_tools(folder, "tools_under_test").tools.values()
    return only


def schema(folder: Path, source: str, *, future: bool = False) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(tool(folder, source, future=future).schema)
    return parsed


def bind(made: Tool, arguments: object) -> dict[str, Any]:
    context = ToolContext("t", "r", "k", made.name, None, 0.0, SystemClock())
    return made.bind(json.dumps(arguments).encode(), lambda: context).kwargs


@pytest.mark.parametrize("future", [False, True])
@pytest.mark.parametrize(
    ("source", "properties"),
    [
        ("def f(x: str): ...", {"x": {"type": "string"}}),
        ("def f(x: int = 3): ...", {"x": {"type": "integer", "default": 3}}),
        (
            "def f(x: float | None = None): ...",
            {"x": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None}},
        ),
        ("def f(x: Optional[bool]): ...", {"x": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}}),
        ("def f(x: list[str]): ...", {"x": {"type": "array", "items": {"type": "string"}}}),
        ("def f(x: Literal['a', 'b']): ...", {"x": {"type": "string", "enum": ["a", "b"]}}),
        ("def f(x: datetime.datetime): ...", {"x": {"type": "string", "format": "date-time"}}),
        ("def f(x: dict[str, int]): ...", {"x": {"type": "object", "additionalProperties": {"type": "integer"}}}),
        ("def f(x: Any): ...", {"x": {}}),
        (
            "def f(x: Annotated[int, Field(ge=1, description='count')]): ...",
            {"x": {"type": "integer", "minimum": 1, "description": "count"}},
        ),
        ("def f(x: int = Field(5, le=9)): ...", {"x": {"type": "integer", "maximum": 9, "default": 5}}),
        ("def f(x: int, /, *, y: int): ...", {"x": {"type": "integer"}, "y": {"type": "integer"}}),
        # names that BaseModel uses itself, and a parameter called title
        (
            "def f(schema: int, model_config: int, copy: int, title: int, _x: int): ...",
            {name: {"type": "integer"} for name in ("schema", "model_config", "copy", "title", "_x")},
        ),
        ("def f(ctx: ToolContext, x: int): ...", {"x": {"type": "integer"}}),
        ("def f(x: int, anything: ToolContext): ...", {"x": {"type": "integer"}}),
        ("def f(x: int, *, c: ToolContext | None = None): ...", {"x": {"type": "integer"}}),
        ("def f(): ...", {}),
    ],
)
def test_a_signature_becomes_a_schema(tmp_path: Path, source: str, properties: dict[str, Any], *, future: bool) -> None:
    """Types, defaults and constraints are told, context and pydantic's titles not; postponed annotations work too."""
    made = schema(tmp_path, source, future=future)
    assert made["properties"] == properties
    assert made["type"] == "object"
    assert made["additionalProperties"] is False
    assert "title" not in made
    assert made.get("required", []) == [name for name, part in properties.items() if "default" not in part]


@pytest.mark.parametrize("future", [False, True])
def test_structured_types_are_told_and_built(tmp_path: Path, *, future: bool) -> None:
    """Models, dataclasses, enums and TypedDicts stand in $defs, and the function gets real instances."""
    made = tool(
        tmp_path,
        """
        class Colour(enum.Enum):
            red = "r"
        class Item(BaseModel):
            title: str
        @dataclasses.dataclass
        class Place:
            x: int
        class Old(typing.TypedDict, total=False):
            a: typing.Required[int]
            b: "list[Inner]"
        class Inner(typing.TypedDict):
            c: int
            d: typing.NotRequired[str]
        class New(typing_extensions.TypedDict):
            e: int
        def f(colour: Colour, item: Item, place: Place, old: Old, new: New, more: dict[str, list[Inner]] | None): ...
        """,
        future=future,
    )
    parts = json.loads(made.schema)["$defs"]
    assert parts["Colour"] == {"type": "string", "enum": ["r"]} or parts["Colour"] == {"const": "r", "type": "string"}
    assert parts["Item"] == {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    assert parts["Old"]["required"] == ["a"]
    assert parts["Inner"]["required"] == ["c"]
    values = bind(
        made,
        {
            "colour": "r", "item": {"title": "t"}, "place": {"x": 1}, "old": {"a": 1, "b": [{"c": 2}]}, "new": {"e": 1},
            "more": {"k": [{"c": 3, "d": "d"}]},
        },
    )  # fmt: skip
    assert (values["colour"].name, values["item"].title, values["place"].x) == ("red", "t", 1)
    assert (values["old"], values["more"]) == ({"a": 1, "b": [{"c": 2}]}, {"k": [{"c": 3, "d": "d"}]})
    with pytest.raises(ToolArgumentsInvalid, match=r"old\.b\.0\.c: is required"):
        bind(tool(tmp_path, "class O(typing.TypedDict):\n    b: list[P]\nclass P(typing.TypedDict):\n    c: int\n"
                            "def f(old: O): ...", future=True), {"old": {"b": [{}]}})  # fmt: skip


@pytest.mark.parametrize(
    "docstring",
    [
        HEAD + "Args:\n    who: whose,\n        exactly.\n    top (int): how many.\n\nReturns:\n    Rows.\n",
        HEAD + "Parameters\n----------\nwho : str\n    whose, exactly.\ntop : int\n    how many.\n",
        HEAD + ":param who: whose, exactly.\n:param int top: how many.\n:returns: Rows.\n",
    ],
    ids=["google", "numpy", "rest"],
)
def test_docstrings_of_three_styles_are_understood(tmp_path: Path, docstring: str) -> None:
    """Description and parameters' descriptions come out the same."""
    body = textwrap.indent(f'"""{docstring}"""', "    ")
    made = tool(tmp_path, f"def f(who: str, top: int = 5):\n{body}\n")
    properties = json.loads(made.schema)["properties"]
    assert made.description == "Finds orders.\n\nNewest first."
    assert properties["who"]["description"] == "whose, exactly."
    assert properties["top"]["description"] == "how many."


def test_an_annotations_description_wins_over_the_docstrings(tmp_path: Path) -> None:
    """What stands nearest to the parameter is told."""
    source = 'def f(x: Annotated[int, Field(description="near")]):\n    """F.\n\n    Args:\n        x: far\n    """\n'
    assert schema(tmp_path, source)["properties"]["x"]["description"] == "near"


def test_only_own_public_functions_are_tools(tmp_path: Path) -> None:
    """Imported functions, classes, lambdas, aliases and private names are not; wrapped functions of this file are."""
    (tmp_path / "tools.py").write_text(
        textwrap.dedent(
            """
            import functools
            from os.path import join
            def _wrap(f):
                @functools.wraps(f)
                def inner(*args, **kwargs): return f(*args, **kwargs)
                return inner
            @_wrap
            def wrapped(x: int): ...
            @functools.cache
            def cached(x: int): ...
            alias = wrapped
            short = lambda x: x
            class Thing: ...
            def lifespan(): yield
            """
        )
    )
    assert list(load_tools(tmp_path, "tools_under_test").tools) == ["cached", "wrapped"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def f(x): ...", "f, parameter x: it has no type."),
        ("def f(*x: int): ...", "f, parameter x: a model cannot fill an open list of arguments."),
        ("def f(**x: int): ...", "f, parameter x: a model cannot fill an open list of arguments."),
        ("class C: ...\ndef f(y: int, x: C): ...", "f, parameter x: its type cannot be told to a model"),
        (
            "import typing\ndef f(x: typing.Callable[[], int]): ...",
            "f, parameter x: its type cannot be told to a model",
        ),
        ("def f(x: 'Missing'): ...", "f, parameter x: its type 'Missing' does not resolve"),
        ("def f(a: ToolContext, b: ToolContext): ...", "f, parameter b: there are two contexts."),
        ("def f(): yield 1", "f: it is a generator."),
        ("async def f(): yield 1", "f: it is a generator."),
        ("def é(): ...", "é: its name is not one that providers accept."),
        (f"def {'f' * 65}(): ...", "its name is not one that providers accept."),
    ],
)
def test_what_cannot_be_told_to_a_model_is_refused(tmp_path: Path, source: str, says: str) -> None:
    """The error names file:line, function, parameter, and what to do."""
    with pytest.raises(AgentError) as caught:
        tool(tmp_path, source)
    line = (
        len((PREAMBLE + source).splitlines()) if "class" in source or "import" in source else PREAMBLE.count("\n") + 1
    )
    assert caught.value.message.startswith(f"{tmp_path / 'tools.py'}:{line}: ")
    assert says in caught.value.message
    assert caught.value.remedy


def test_defaults_are_the_functions_own(tmp_path: Path) -> None:
    """A mutable default is not shared between calls, and one that JSON cannot hold is left out of the schema."""
    made = tool(tmp_path, "def f(x: list[int] = [], y: Any = object()): ...")
    first, second = bind(made, {}), bind(made, {})
    assert first["x"] == []
    assert first["x"] is not second["x"]
    assert "default" not in json.loads(made.schema)["properties"]["y"]


def test_positional_only_parameters_and_context_are_bound_in_place(tmp_path: Path) -> None:
    """Whatever the kinds of parameters, the call can be made."""
    made = tool(tmp_path, "def f(x: int, ctx: ToolContext, /, y: int, *, z: int = 1): return (x, ctx.run, y, z)")
    context = ToolContext("t", "run_9", "k", "f", None, 0.0, SystemClock())
    bound = made.bind(b'{"y": 2, "x": 1}', lambda: context)
    assert made.function(*bound.args, **bound.kwargs) == (1, "run_9", 2, 1)


def test_many_faults_are_told_in_part(tmp_path: Path) -> None:
    """At most ten faulty arguments are named, and long values are cut."""
    made = tool(tmp_path, "def f(x: list[int]): ...")
    with pytest.raises(ToolArgumentsInvalid) as caught:
        bind(made, {"x": ["a" * 1_000] * 25})
    lines = caught.value.message.splitlines()
    assert len(lines) == 1 + 10 + 1
    assert lines[-1] == "- and 15 more"
    assert max(map(len, lines)) < 250


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (["search", "sell"], "Did you mean search?"),
        (["x", "y"], "There are: x, y."),
        ([], "There are none."),
    ],
)
def test_the_nearest_names_are_offered(known: list[str], says: str) -> None:
    """A near miss is corrected; otherwise all names are told."""
    assert nearest("serch", known) == says
