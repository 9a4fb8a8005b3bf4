"""The OpenAPI document, made from the routes and the structs they read and write.

Source: OpenAPI 3.1.0 (https://spec.openapis.org/oas/v3.1.0); schemas by msgspec's own schema functions.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from golive import __version__
from golive.gateway.anthropic_errors import AnthropicError
from golive.gateway.routes import BROWSER_PATHS, Answer, Param, Route, Shape

_REF = "#/components/schemas/{name}"


class Problem(Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457). Programs match on `code`; `remedy` says what to do; more members say where."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str = ""
    field: str | None = None


class OpenAIErrorDetail(Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Struct, frozen=True):
    """What went wrong, in OpenAI's shape."""

    error: OpenAIErrorDetail


_ERRORS: dict[Shape, type[Struct]] = {"problem": Problem, "openai": OpenAIError, "anthropic": AnthropicError}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document as plain data."""
    routes = [*routes]
    types: list[Any] = [*_ERRORS.values()]
    for route in routes:
        types += [route.body] if route.body is not None else []
        types += [answer.body for answer in route.answers if answer.body is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path.replace("...}", "}"), {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "golive",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The production server for AI agents. Every address but /health/live and /health/ready "
            "needs an API key: `Authorization: Bearer gl_…`, or `x-api-key: gl_…`.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "bearerFormat": "gl_…"},
                "x_api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{"key": []}, {"x_api_key": []}],
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    name = f"{route.method.lower()}{''.join(_word(part) for part in route.path.split('/')[1:])}"
    operation: dict[str, Any] = {"operationId": name, "summary": route.summary, "tags": [route.tag]}
    described = [route.description, "" if route.public else f"Needs the verb `{'` or `'.join(route.verbs)}`."]
    operation["x-golive-verbs"] = [*route.verbs]
    operation["description"] = " ".join(text for text in described if text) or "Needs no key."
    if route.params:
        operation["parameters"] = [_parameter(param) for param in route.params]
    if route.body is not None:
        content = {"application/json": {"schema": schemas[repr(route.body)]}}
        operation["requestBody"] = {"required": not _all_optional(route.body), "content": content}
    operation["responses"] = _responses(route, schemas)
    if route.public:
        operation["security"] = []
    return operation


def _all_optional(body: Any) -> bool:
    """Whether an absent body is as good as an empty object."""
    return all(not field.required for field in msgspec.structs.fields(body))


def _word(segment: str) -> str:
    return "".join(part.capitalize() for part in segment.strip("{}.").replace(".", "_").split("_"))


def _parameter(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": param.where,
        "required": param.where == "path",
        "schema": {"type": param.type},
        **({"description": param.description} if param.description else {}),
    }


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in route.answers:
        entry = responses.setdefault(str(answer.status), {"description": answer.description, "content": {}})
        if answer.description not in entry["description"]:
            entry["description"] += f" {answer.description}"
        entry["content"][answer.media] = {"schema": _schema(answer, schemas)}
    media = "application/problem+json" if route.face == "problem" else "application/json"
    schema = schemas[repr(_ERRORS[route.face])]
    told: dict[str, Any] = {media: {"schema": schema}}
    if route.path in BROWSER_PATHS:
        told["text/html"] = {"schema": {"type": "string"}}  # a browser is told on a page
    responses["default"] = {"description": "An error.", "content": told}
    return responses


def _schema(answer: Answer, schemas: dict[str, Any]) -> Any:
    if answer.media == "text/event-stream":
        return {}  # 3.1 has no schema for the events of a stream; docs/streaming.md tells them one by one
    return {"type": "string"} if answer.body is None else schemas[repr(answer.body)]
