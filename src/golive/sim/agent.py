"""The scripted support agent: picks tools by the words of the user, fills their arguments, answers from the results.

It understands nothing; it matches words and patterns, the same way every time. That is enough for a conversation that a
person can follow, and for tests of a whole tool loop.
"""

import re
from typing import Any

import msgspec

from golive.sim.request import ChatRequest, Offered, Turn
from golive.sim.script import ToolUse
from golive.sim.structured import instance

MAX_PARALLEL = 4
MAX_FACTS = 6
_WORD = re.compile(r"[a-z]+")
_ID = re.compile(r"\b[A-Z]{1,5}-?\d{2,}\b|#\d{3,}\b|\b\d{5,}\b")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")
_NUMBER = re.compile(r"(?<![\w-])-?\d+(?:\.\d+)?(?![\w-])")
_VERBS_OF_READING = "get find fetch look lookup up show list search read check query by for"
_TOO_COMMON = (
    "the a an of to and or is my me i it for in on with you your what where please can do does by from that this are "
    "be as one all"
)
_READING = frozenset(_VERBS_OF_READING.split())
_DULL = frozenset(_TOO_COMMON.split())
_GREETING = re.compile(r"\b(hi|hello|hey|good (morning|day|evening))\b", re.IGNORECASE)
_THANKS = re.compile(r"\b(thanks|thank you|cheers|bye)\b", re.IGNORECASE)


def pick_tools(request: ChatRequest, *, forced: bool = False) -> tuple[ToolUse, ...]:
    """The calls that fit the last user message; none if nothing fits and no call is `forced` (or required)."""
    if not request.tools or request.choice == "none":
        return ()
    said = request.said()
    ids = _ids(said) or _ids_before(request.turns)
    if isinstance(request.choice, Offered):
        best = request.choice
    else:
        words = _words(said)
        scored = [(_score(tool, words, said, ids), -position, tool) for position, tool in enumerate(request.tools)]
        score, _, best = max(scored, key=lambda entry: entry[:2])
        if score <= 0 and not forced and request.choice != "required":
            return ()
    distinct = [found for found in ids if _takes_id(best)] if _ids(said) else []
    if len(distinct) > 1 and request.parallel:
        return tuple(ToolUse(best.name, _arguments(best, said, [one])) for one in distinct[:MAX_PARALLEL])
    return (ToolUse(best.name, _arguments(best, said, ids)),)


def _score(tool: Offered, words: set[str], said: str, ids: list[str]) -> float:
    """How well a tool fits; 0 or less means not at all. A required argument that the text lacks rules it out."""
    name = [word for word in _WORD.findall(tool.name.lower().replace("_", " ")) if word not in _READING]
    hits = sum(_stem(word) in words for word in name)
    described = len(_words(tool.description) & words)
    if not hits and not described:
        return 0.0
    properties = tool.parameters.get("properties") or {}
    for parameter in tool.parameters.get("required") or ():
        if _from_text(parameter, properties.get(parameter) or {}, said, ids) is None:
            return -1.0
    return 2.0 * hits - (len(name) - hits) + 0.5 * described + (2.0 if ids and _takes_id(tool) else 0.0)


def _words(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(text.lower()) if word not in _DULL}


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word.removesuffix("e") if len(word) > 4 else word


def _ids(text: str) -> list[str]:
    return list(dict.fromkeys(found.lstrip("#") for found in _ID.findall(text)))


def _ids_before(turns: tuple[Turn, ...]) -> list[str]:
    """The last id anyone mentioned earlier ("refund it, please")."""
    for turn in reversed(turns):
        if turn.role in ("user", "assistant", "tool"):
            found = _ids(turn.text)
            if found:
                return found[-1:]
    return []


def _is_id(parameter: str) -> bool:
    name = parameter.lower()
    endings = ("_id", "_number", "_no", "_code", "_ref", "reference")
    return name in ("id", "order", "sku") or name.endswith(endings)


def _takes_id(tool: Offered) -> bool:
    return any(_is_id(name) for name in tool.parameters.get("properties") or ())


def _arguments(tool: Offered, said: str, ids: list[str]) -> dict[str, Any]:
    """Arguments by the schema: what the text gives, and the smallest valid value for what is required and not given."""
    properties = tool.parameters.get("properties") or {}
    required = tool.parameters.get("required") or ()
    arguments = {}
    for name, schema in properties.items():
        value = _from_text(name, schema, said, ids, optional=name not in required)
        if value is None and name in required:
            value = instance(_rooted(schema, tool.parameters), said)
        if value is not None:
            arguments[name] = value
    return arguments


def _rooted(schema: Any, root: dict[str, Any]) -> Any:
    return {**schema, "$defs": root.get("$defs", {})} if isinstance(schema, dict) else schema


def _from_text(name: str, schema: dict[str, Any], said: str, ids: list[str], *, optional: bool = False) -> Any:
    """The value a text gives for a parameter, or None."""
    schema = next((part for part in schema.get("anyOf") or () if part.get("type") != "null"), schema)
    options = schema.get("enum")
    if options:
        words = _words(said)
        return next((option for option in options if _words(str(option).replace("_", " ")) & words), None)
    kind = schema.get("type", "string")
    if kind in ("integer", "number"):
        found = _NUMBER.search(said)
        value = None if found is None else float(found.group())
        return value if value is None or kind == "number" else int(value)
    if kind == "boolean":
        return None if optional else True
    if kind != "string":
        return None
    return _string_from_text(name, schema, said, ids, optional=optional)


def _string_from_text(name: str, schema: dict[str, Any], said: str, ids: list[str], *, optional: bool) -> str | None:
    if schema.get("pattern"):
        found = re.search(schema["pattern"].strip("^$"), said)
        return found.group() if found else None
    if _is_id(name):
        return ids[0] if ids else None
    if "mail" in name.lower():
        found = _EMAIL.search(said)
        return found.group() if found else None
    if schema.get("format"):
        return None
    return None if optional else said.strip() or None


# ---- answering ------------------------------------------------------------------------------------------------------


def answer(request: ChatRequest) -> str:
    """What the agent says when it calls no tool: about the results if there are any, else about itself."""
    results = []
    for turn in reversed(request.turns):
        if turn.role == "user":
            break
        if turn.role == "tool":
            results.append(turn.text)
    if results:
        return " ".join(_about(result) for result in reversed(results)) + " Is there anything else I can do for you?"
    return _without_tools(request)


def _without_tools(request: ChatRequest) -> str:
    said = request.said().strip()
    if _THANKS.search(said):
        return "You are welcome. Have a good day!"
    can = ", ".join(tool.name.replace("_", " ") for tool in request.tools[:5])
    offer = f" I can help with: {can}." if can else ""
    if _GREETING.search(said) or not said:
        return f"Hello, and welcome!{offer} What can I do for you?"
    quoted = said if len(said) <= 80 else said[:77] + "..."
    need = "I need a little more detail, such as an order number." if can else "Noted."
    return f'You wrote: "{quoted}". {need}{offer}'


def _about(result: str) -> str:
    """One or two sentences that quote a tool's result."""
    try:
        value = msgspec.json.decode(result)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = result
    if isinstance(value, str):
        text = value.strip()[:400]
        return f"I am sorry, that did not work: {text}" if _looks_failed(text) else f"Here is what I found: {text}"
    if isinstance(value, dict):
        trouble = value.get("error")
        if trouble:
            reason = trouble.get("message", trouble) if isinstance(trouble, dict) else trouble
            return f"I am sorry, that did not work: {reason}."
        facts = _facts(value)
        return f"I looked that up: {', '.join(facts)}." if facts else "I looked that up: there is nothing to report."
    if isinstance(value, list):
        if not value:
            return "I found nothing that matches."
        shown = [", ".join(_facts(one)) if isinstance(one, dict) else str(one) for one in value[:3]]
        return f"I found {len(value)}: {'; '.join(shown)}."
    return f"The answer is {_plain(value)}."


def _looks_failed(text: str) -> bool:
    return text.lower().startswith(("error", "failed", "tool failed"))


def _facts(value: dict[str, Any], prefix: str = "") -> list[str]:
    facts: list[str] = []
    for key, fact in value.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(fact, dict):
            facts += _facts(fact, f"{name} ")
        elif isinstance(fact, list):
            inner = [", ".join(_facts(one)) if isinstance(one, dict) else _plain(one) for one in fact[:4]]
            facts.append(f"{name} {' and '.join(inner) or 'none'}")
        elif fact is not None:
            facts.append(f"{name} {_plain(fact)}")
    return facts[:MAX_FACTS]


def _plain(value: Any) -> str:
    if value is None:
        return "nothing"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
