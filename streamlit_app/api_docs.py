"""The REST API's documentation as one page that needs nothing from elsewhere."""

import html
import json
from typing import Any

Schema = dict[str, Any]


def docs_page(schema: Schema, path: str) -> str:
    """Write a page of every route: what it does, takes and gives, with examples, and a first request.

    Parameters
    ----------
    schema : dict
        OpenAPI's, of the routes below `path`.
    path : str
        Where the API is mounted.
    """
    sections = "".join(
        _operation(schema, method, path + route, operation)
        for route, methods in schema["paths"].items()
        for method, operation in methods.items()
    )
    title = html.escape(f"{schema['info']['title']} {schema['info']['version']}")
    intro = html.escape(schema["info"]["description"])
    return _PAGE.format(title=title, intro=intro, sections=sections, schema_url=f"{path}/openapi.json")


def _operation(schema: Schema, method: str, path: str, operation: Schema) -> str:
    taken = _example(schema, operation.get("requestBody", {}))
    answers = (one for status, one in operation["responses"].items() if status.startswith("2"))
    given = _example(schema, next(answers, {}))
    parameters = "".join(_parameter(one) for one in operation.get("parameters", ()))
    return (
        f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2>"
        f"<p>{html.escape(operation['description'])}</p>"
        f"{f'<table>{parameters}</table>' if parameters else ''}"
        f"{_block('Body', taken)}{_block('Answer', given)}</section>"
    )


def _parameter(parameter: Schema) -> str:
    told = html.escape(parameter.get("description", parameter["schema"].get("title", "")))
    return f"<tr><td><code>{html.escape(parameter['name'])}</code></td><td>{told}</td></tr>"


def _block(name: str, example: object) -> str:
    if example is None:
        return ""
    return f"<p>{name}</p><pre>{html.escape(json.dumps(example, indent=2))}</pre>"


def _example(schema: Schema, body: Schema) -> object:
    """Find the example of a body's model; of a list, a list with one."""
    content = body.get("content", {}).get("application/json", {}).get("schema", {})
    if "items" in content:
        found = _example_of(schema, content["items"])
        return None if found is None else [found]
    return _example_of(schema, content)


def _example_of(schema: Schema, content: Schema) -> object:
    name = content.get("$ref", "").rpartition("/")[2]
    return schema["components"]["schemas"].get(name, {}).get("example")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 60rem; margin: 3rem auto }}
section {{ border-top: 1px solid #d9dfe5; margin-top: 2rem }}
h2 {{ font-size: 1.1rem }}
td {{ padding: .2rem 1rem .2rem 0; vertical-align: top }}
pre {{ background: #f4f6f8; padding: 1rem; overflow-x: auto }}
</style></head><body>
<h1>{title}</h1>
<p>{intro}</p>
<p>Fields and types: <a href="{schema_url}">{schema_url}</a> (OpenAPI).</p>
{sections}
</body></html>
"""
