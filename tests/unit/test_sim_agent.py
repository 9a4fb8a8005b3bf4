"""The scripted support agent: which tool it picks, with which arguments, and what it says of the results."""

from typing import Any

import msgspec
import pytest

from golive.sim import agent
from golive.sim.openai.chat_request import read_chat
from golive.sim.request import ChatRequest


def tool(name: str, description: str = "", required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TEXT = {"type": "string"}
SHOP = [
    tool("get_order", "Look up an order: status, carrier, items.", ("order_id",), order_id=TEXT),
    tool("refund_order", "Refund an order.", ("order_id", "reason"), order_id=TEXT, reason=TEXT),
    tool("search_products", "Search the catalogue for products.", ("query",), query=TEXT, limit={"type": "integer"}),
    tool("opening_hours", "When the shop is open.", ("day",), day={"enum": ["saturday", "sunday"], "type": "string"}),
]


def request(*messages: Any, **fields: Any) -> ChatRequest:
    turns = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
    return read_chat(msgspec.json.encode({"model": "sim-agent", "messages": turns, "tools": SHOP, **fields}))


def result(content: Any) -> list[dict[str, Any]]:
    call = {"id": "c1", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
    return [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": text}]


@pytest.mark.parametrize(
    ("said", "calls"),
    [
        ("Where is my order A-1042?", [("get_order", {"order_id": "A-1042"})]),
        (
            "Compare orders A-1042 and A-1043, please.",
            [("get_order", {"order_id": "A-1042"}), ("get_order", {"order_id": "A-1043"})],
        ),
        (
            "Please refund order A-1042, the kettle is broken.",
            [("refund_order", {"order_id": "A-1042", "reason": "Please refund order A-1042, the kettle is broken."})],
        ),
        (
            "Do you have 3 products made of copper?",
            [("search_products", {"query": "Do you have 3 products made of copper?", "limit": 3})],
        ),
        ("When is the shop open on Sunday?", [("opening_hours", {"day": "sunday"})]),
        ("Hello!", []),
        ("Where is my order?", []),
        ("Tell me a joke about whales.", []),
    ],
)
def test_words_and_ids_choose_the_tool_and_fill_its_arguments(
    said: str, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    """A tool is called when the user's words name it and the text holds what it requires; otherwise none is."""
    assert [(use.name, use.arguments) for use in agent.pick_tools(request(said))] == calls


def test_an_id_from_earlier_in_the_conversation_is_understood() -> None:
    """ "Refund it" refers to the order spoken of before."""
    spoken = request(
        "Where is my order A-1042?",
        *result({"id": "A-1042"}),
        {"role": "assistant", "content": "It is on its way."},
        "Then refund the order.",
    )
    (use,) = agent.pick_tools(spoken)
    assert (use.name, use.arguments) == ("refund_order", {"order_id": "A-1042", "reason": "Then refund the order."})


def test_parallel_calls_only_where_they_are_allowed() -> None:
    """parallel_tool_calls false means one call."""
    asked = request("Orders A-1042 and A-1043?", parallel_tool_calls=False)
    assert [use.arguments for use in agent.pick_tools(asked)] == [{"order_id": "A-1042"}]


def test_tool_choice_is_obeyed() -> None:
    """none: never; required: always; a name: that one, with the smallest valid arguments the text lacks."""
    assert agent.pick_tools(request("Order A-1042?", tool_choice="none")) == ()
    assert len(agent.pick_tools(request("Hello!", tool_choice="required"))) == 1
    forced = request("Hello!", tool_choice={"type": "function", "function": {"name": "opening_hours"}})
    assert [(use.name, use.arguments) for use in agent.pick_tools(forced)] == [("opening_hours", {"day": "saturday"})]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"order_id": "A-1042", "status": "shipped", "carrier": {"name": "Post"}, "gift": False},
            "I looked that up: order id A-1042, status shipped, carrier name Post, gift no.",
        ),
        ([{"name": "kettle", "price": 20}], "I found 1: name kettle, price 20."),
        ([], "I found nothing that matches."),
        ({"error": "no such order"}, "I am sorry, that did not work: no such order."),
        ("Error: out of reach", "I am sorry, that did not work: Error: out of reach"),
        ("It left on Monday.", "Here is what I found: It left on Monday."),
        (42, "The answer is 42."),
        (None, "The answer is nothing."),
        ({}, "I looked that up: there is nothing to report."),
    ],
)
def test_the_answer_quotes_the_result(content: Any, said: str) -> None:
    """Facts of a tool's result stand in the answer, errors as an apology."""
    answer = agent.answer(request("Where is order A-1042?", *result(content)))
    assert answer == said + " Is there anything else I can do for you?"


def test_without_a_tool_it_says_what_it_can_do() -> None:
    """A greeting is greeted, and the tools on offer are named."""
    said = agent.answer(request("Hello!"))
    assert said.startswith("Hello, and welcome! I can help with: get order, refund order,")
    assert agent.answer(request("Thanks!")) == "You are welcome. Have a good day!"
    assert '"Where is my order?". I need a little more detail' in agent.answer(request("Where is my order?"))
