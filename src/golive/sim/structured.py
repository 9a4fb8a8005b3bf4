"""The smallest values that satisfy a JSON Schema: structured output, and arguments nobody scripted.

Covers what the vendor's structured output accepts, and the common rest (allOf, formats, bounds); no patterns.
"""

from typing import Any

MAX_DEPTH = 24
_FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "email": "sam@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}


def instance(schema: Any, text: str = "ok") -> Any:
    """A value of the schema. Strings without enum or format are `text`; optional properties are left out."""
    return _instance(schema, schema, text, 0)


def _instance(schema: Any, root: Any, text: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    if "$ref" in schema:
        return _instance(_resolve(schema["$ref"], root), root, text, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _instance(_simplest(schema[key]), root, text, depth + 1)
    if schema.get("allOf"):
        merged = dict(schema)
        for part in merged.pop("allOf"):
            merged = _merge(merged, _resolve(part["$ref"], root) if "$ref" in part else part)
        return _instance(merged, root, text, depth + 1)
    return _typed(schema, root, text, depth)


def _typed(schema: dict[str, Any], root: Any, text: str, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties") or {}
        wanted = schema.get("required") or ()
        return {name: _instance(properties.get(name, {}), root, text, depth + 1) for name in wanted}
    if kind == "array":
        item = schema.get("items") or {}
        return [_instance(item, root, text, depth + 1) for _ in range(schema.get("minItems") or 0)]
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    return None if kind == "null" else _string(schema, text)


def _string(schema: dict[str, Any], text: str) -> str:
    value = _FORMATS.get(schema.get("format", ""), text)
    shortest = schema.get("minLength") or 0
    if len(value) < shortest:
        value = (value + " " + "x" * shortest)[:shortest]
    longest = schema.get("maxLength")
    return value if longest is None else value[:longest]


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    step = schema.get("multipleOf") or 1
    value = schema.get("minimum", 0)
    above = schema.get("exclusiveMinimum")
    if above is not None:
        value = max(value, above + (step if whole else 0.5))
    for key, margin in (("maximum", 0), ("exclusiveMaximum", step if whole else 0.5)):
        if schema.get(key) is not None:
            value = min(value, schema[key] - margin)
    if schema.get("multipleOf"):
        value = -(-value // step) * step
    return int(value) if whole else value


def _simplest(options: list[Any]) -> Any:
    """A branch other than null if there is one: an answer that says something."""
    return next((option for option in options if isinstance(option, dict) and option.get("type") != "null"), options[0])


def _resolve(reference: str, root: Any) -> Any:
    found = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return found


def _merge(left: dict[str, Any], right: Any) -> dict[str, Any]:
    if not isinstance(right, dict):
        return left
    merged = {**left, **right}
    merged["properties"] = {**(left.get("properties") or {}), **(right.get("properties") or {})}
    merged["required"] = list(dict.fromkeys([*(left.get("required") or ()), *(right.get("required") or ())]))
    if not merged["properties"]:
        del merged["properties"]
    return merged
