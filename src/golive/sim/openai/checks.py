"""What OpenAI's dialects check alike, and their errors' words."""

import re
from typing import Any

import msgspec

from golive.sim import tokens
from golive.sim.request import Offered, Rejected

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_JSON_HINT = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
)
_IMAGE_SCHEMES = ("https://", "http://", "data:image/")


def read_object(body: bytes) -> dict[str, Any]:
    """A body's JSON object, which names a model.

    Raises:
        Rejected: it is none, or does not.
    """
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(400, _JSON_HINT) from error
    if not isinstance(raw, dict):
        raise Rejected(400, _JSON_HINT)
    if raw.get("model") in (None, ""):
        raise Rejected(400, "you must provide a model parameter")
    typed(raw["model"], str, "model", "a string")
    return raw


def typed(value: Any, kind: type, param: str, wanted: str) -> Any:
    """The value, if it is of the kind.

    Raises:
        Rejected: it is not; `wanted` says what it should be.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal", list: "an array",
                 dict: "an object", type(None): "null"}  # fmt: skip
        found = names.get(type(value), "something else")
        message = f"Invalid type for '{param}': expected {wanted}, but got {found} instead."
        raise Rejected(400, message, param=param, code="invalid_type")
    return value


def invalid_value(param: str, value: Any, supported: str) -> Rejected:
    """The error for a value that is none of the supported ones."""
    message = f"Invalid value: '{str(value)[:60]}'. Supported values are: {supported}."
    return Rejected(400, message, param=param, code="invalid_value")


def missing(param: str) -> Rejected:
    """The error for a parameter that must be there."""
    return Rejected(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def sampling(raw: dict[str, Any]) -> None:
    """Checks the numbers that steer chance."""
    for name, high in (("temperature", 2), ("top_p", 1)):
        value = raw.get(name)
        if value is None:
            continue
        typed(value, (int, float), name, "a decimal")  # type: ignore[arg-type]
        if not 0 <= value <= high:
            wanted = f"Expected a value between 0 and {high}, but got {value} instead."
            message = f"Invalid '{name}': decimal out of range. {wanted}"
            raise Rejected(400, message, param=name, code="decimal_out_of_range")


def check_image(url: Any, at: str) -> None:
    """An image is an address, or the data itself.

    Raises:
        Rejected: it is neither.
    """
    if not typed(url, str, at, "a string").startswith(_IMAGE_SCHEMES):
        message = f"Invalid '{at}': expected a URL of scheme https, or a data URL of an image."
        raise Rejected(400, message, param=at, code="invalid_image_url")


def read_tool(function: Any, at: str) -> tuple[Offered, int]:
    """A tool's name, description and parameters, and what they cost.

    Raises:
        Rejected: as the vendor refuses it.
    """
    name = function.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise Rejected(
            400,
            f"Invalid '{at}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            param=f"{at}.name", code="invalid_value",
        )  # fmt: skip
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        raise Rejected(
            400, f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'.",
            param=f"{at}.parameters", code="invalid_function_parameters",
        )  # fmt: skip
    cost = tokens.count(msgspec.json.encode(function).decode())
    return Offered(name, str(function.get("description") or ""), parameters), cost


def token_limit(raw: dict[str, Any], name: str, least: int) -> int | None:
    """A limit of the answer's length, or None."""
    value = raw.get(name)
    if value is not None and typed(value, int, name, "an integer") < least:
        message = (
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {value} instead."
        )
        raise Rejected(400, message, param=name, code="integer_below_min_value")
    return value
