"""/openapi.json, and /docs: the same document as one readable page, without scripts and without any other request."""

from collections.abc import Iterable
from html import escape
from typing import Any

import msgspec

from golive.gateway.exchange import Exchange
from golive.gateway.openapi import document
from golive.gateway.routes import Answer, Route
from golive.gateway.secure_headers import page_headers

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:2rem 1rem}
h1{margin:0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
details{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0}
summary{cursor:pointer;padding:.5rem .8rem}details>div{padding:0 .8rem .8rem}
code,pre{font:14px/1.45 ui-monospace,monospace}
pre{background:var(--soft);padding:.7rem;overflow:auto;border-radius:.4rem}
.m{display:inline-block;min-width:4.2rem;font-weight:600}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-top:1px solid var(--line);vertical-align:top}
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>golive {version}: HTTP interface</title><style>{style}</style></head>
<body><h1>golive {version}</h1><p>{about} The same as a machine reads it: <a href="/openapi.json">/openapi.json</a>.</p>
{body}
<h2 id="schemas">Schemas</h2>{schemas}</body></html>
"""
_HEADERS = page_headers(styles=(_STYLE,))


class DocsFaces:
    """Handlers of /openapi.json and /docs; both are rendered once, when first asked for."""

    def __init__(self) -> None:
        self._routes: tuple[Route, ...] = ()
        self._document: dict[str, Any] | None = None
        self._page: bytes | None = None

    def describe(self, routes: Iterable[Route]) -> None:
        """Says which routes there are, once all are known."""
        self._routes = tuple(routes)

    def _openapi(self) -> dict[str, Any]:
        if self._document is None:
            self._document = document(self._routes)
        return self._document

    async def openapi(self, exchange: Exchange) -> None:
        """GET /openapi.json"""
        await exchange.json(self._openapi())

    async def docs(self, exchange: Exchange) -> None:
        """GET /docs"""
        if self._page is None:
            self._page = page(self._openapi()).encode()
        await exchange.answer(200, self._page, b"text/html; charset=utf-8", _HEADERS)

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "GET", "/openapi.json", "docs.read", self.openapi, "This interface as an OpenAPI 3.1 document",
                tag="Documentation", basic=True, answers=(Answer(200, "The document.", dict[str, Any]),),
            ),
            Route(
                "GET", "/docs", "docs.read", self.docs, "This interface as a page", tag="Documentation", basic=True,
                answers=(Answer(200, "The page.", media="text/html"),),
            ),
        ]  # fmt: skip


def page(openapi: dict[str, Any]) -> str:
    """The document as HTML."""
    sections: dict[str, list[str]] = {tag["name"]: [] for tag in openapi["tags"]}
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            sections[operation["tags"][0]].append(_operation(method, path, operation))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in sections.items())
    schemas = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> {_text(schema.get("description", ""))}'
        f"</summary><div>{_schema(schema)}</div></details>"
        for name, schema in openapi["components"]["schemas"].items()
    )
    info = openapi["info"]
    return _PAGE.format(
        version=escape(info["version"]), style=_STYLE, about=_text(info["description"]), body=body, schemas=schemas
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<p>{_text(operation['description'])}</p>"]
    if parameters := operation.get("parameters"):
        rows = "".join(
            f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td>"
            f"<td>{_text(p.get('description', ''))}</td></tr>"
            for p in parameters
        )
        parts.append(f"<table><tr><th>Parameter</th><th>In</th><th></th></tr>{rows}</table>")
    if request := operation.get("requestBody"):
        parts.append(f"<p>Body: {_type(request['content']['application/json']['schema'])}</p>")
    rows = "".join(
        f"<tr><td>{escape(status)}</td><td>{_text(answer['description'])}</td><td>{_media(answer['content'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    parts.append(f"<table><tr><th>Answer</th><th></th><th></th></tr>{rows}</table>")
    name = f'<span class="m">{method.upper()}</span> <code>{escape(path)}</code>'
    return f"<details><summary>{name} {_text(operation['summary'])}</summary><div>{''.join(parts)}</div></details>"


def _media(content: dict[str, Any]) -> str:
    return ", ".join(f"{_type(entry['schema'])} <small>{escape(media)}</small>" for media, entry in content.items())


def _schema(schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(schema)).decode())}</pre>"
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_type(inner)}</td>"
        f"<td>{_default(name, inner, required)}</td></tr>"
        for name, inner in schema["properties"].items()
    )
    return f"<table><tr><th>Field</th><th>Type</th><th>Default</th></tr>{rows}</table>"


def _default(name: str, schema: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    return f"<code>{escape(msgspec.json.encode(schema['default']).decode())}</code>" if "default" in schema else ""


def _type(schema: dict[str, Any]) -> str:
    """A schema in one phrase, with links to the named ones."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}"><code>{name}</code></a>'
    if "anyOf" in schema:
        return " or ".join(_type(inner) for inner in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array" and isinstance(schema.get("items"), dict):
        return f"list of {_type(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(str(kind))


def _text(text: str) -> str:
    """Plain text with `code` marked."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
