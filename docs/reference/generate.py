"""Writes the pages of this folder from the typed models: ``make docs``.

With ``--check`` it writes nothing and ends with exit code 1 where a page is not what would be written.
"""

import enum
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import sqlalchemy as sa
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dosvotos.commands.main import cli
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.tables import metadata
from dosvotos.live.reasons import Reason
from dosvotos.promotion import reasons
from dosvotos.refusals import refusal_texts
from streamlit_app.api import create_api

HERE = Path(__file__).parent
CONF = HERE.parents[1] / "conf/base"
_MADE = "_Written by `make docs` from {source}; do not edit._"
_LIMITS = {
    "ge": "at least",
    "gt": "above",
    "le": "at most",
    "lt": "below",
    "min_length": "at least",
    "pattern": "as",
}


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _page(title: str, source: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {title}", "", _MADE.format(source=source), "", *lines]).rstrip() + "\n"


# ---- parameters


def _stated() -> dict[str, Any]:
    """What conf/base says, as written."""
    tree: dict[str, Any] = {}
    for path in sorted((CONF / "parameters").glob("*.yml")):
        tree |= yaml.load(path.read_text(), yaml.BaseLoader)  # as text: resolvers stay what they are
    return tree


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """Give the models that a field's type holds."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from _models(part)


def _kind(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    parts = [
        _kind(part)
        for part in get_args(kind)
        if part not in (..., type(None)) and not isinstance(part, FieldInfo)
    ]
    if get_origin(kind) is tuple:
        return f"list of {parts[0]}"
    if get_origin(kind) is dict:
        return f"by name: {parts[-1]}"
    if parts and "Union" in str(get_origin(kind)):
        return " or ".join(parts)
    if parts:
        return parts[0]
    return {
        "NoneType": "null",
        "str": "text",
        "float": "number",
        "int": "whole number",
        "bool": "true or false",
    }.get(getattr(kind, "__name__", str(kind)), getattr(kind, "__name__", str(kind)))


def _rules(field: FieldInfo) -> str:
    found = []
    for rule in field.metadata:
        for name, words in _LIMITS.items():
            if (limit := getattr(rule, name, None)) is not None:
                found.append(
                    f"{words} {f'`{limit}`' if name == 'pattern' else limit}"
                    + " item(s)" * (name == "min_length")
                )
    return ", ".join(found)


def _parameter_rows(
    model: type[BaseModel], stated: Any, path: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        at, inner = f"{path}{name}", list(_models(field.annotation))
        value = stated.get(name) if isinstance(stated, Mapping) else None
        by_name_or_list = get_origin(field.annotation) in (dict, tuple)
        default = (
            value if value is not None and not isinstance(value, dict | list) else _default(field, value)
        )
        shown = "" if inner and not by_name_or_list else f"`{default}`" if default not in ("", None) else ""
        kind = ", ".join(filter(None, (_kind(field.annotation), _rules(field))))
        yield f"`{at}`", "section" if inner and not by_name_or_list else kind, shown, field.description or ""
        for one in inner:
            deeper = (
                f"{at}.<name>."
                if get_origin(field.annotation) is dict
                else f"{at}."
                if not by_name_or_list
                else f"{at}[]."
            )
            yield from _parameter_rows(one, {} if by_name_or_list else value, deeper)


def _default(field: FieldInfo, value: Any) -> Any:
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return f"[{', '.join(map(str, value))}]"
    if value is not None or field.is_required() or isinstance(field.default, BaseModel):
        return ""
    return "null" if field.default is None else field.default


def parameters() -> str:
    """Every parameter: type, rule, the default of conf/base, meaning."""
    lines = [
        "Sections and their fields as `conf/base/parameters/*.yml` and an experiment's `parameters.yml`",
        "write them; a default is base's. `[]` is an item of a list, `<name>` a key of your own.",
        "",
        *_table(("parameter", "is", "default", "means"), _parameter_rows(Parameters, _stated())),
    ]
    return _page("Parameters", "`src/dosvotos/contracts/` and `conf/base/parameters/`", lines)


# ---- commands


def _commands(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (found := command.get_command(context, name)) is not None:
                yield from _commands(found, f"{words} {name}")
    else:
        yield words, command


def commands() -> str:
    """Every command with its arguments and options."""
    lines = ["`kedro run --help` lists a run's options. Exit codes: 0, 1 error, 2 usage, 3 stale data.", ""]
    for words, command in _commands(cli, "dosvotos"):
        context = click.Context(command, info_name=words)
        usage = " ".join([words, *command.collect_usage_pieces(context)])
        lines += [f"## {words}", "", f"    {usage}", "", command.help or "", ""]
        shown = [record for parameter in command.params if (record := parameter.get_help_record(context))]
        lines += (
            [*_table(("option", "does"), ((f"`{name}`", text) for name, text in shown)), ""] if shown else []
        )
    return _page("Commands", "`src/dosvotos/commands/`", lines)


# ---- catalog and tables


def _datasets() -> Iterator[tuple[str, str, str, str]]:
    for path in sorted((CONF / "catalog").glob("*.yml")):
        for name, entry in yaml.safe_load(path.read_text()).items():
            if not name.startswith("_") and isinstance(entry, dict):
                place = entry.get("filepath") or entry.get("table") or ""
                named = re.search(r"\$\{_(\w+)", str(entry.get("metadata", "")))
                layer = named[1] if named else ""
                yield (
                    f"`{name}`",
                    str(entry["type"]).rpartition(".")[2],
                    layer,
                    f"`{place}`" if place else "memory",
                )


def _columns(table: sa.Table) -> Iterator[tuple[str, str, str]]:
    for column in table.columns:
        marks = ["key"] * column.primary_key + ["may be null"] * bool(column.nullable)
        yield f"`{column.name}`", str(column.type), ", ".join(marks)


def catalog() -> str:
    """The datasets of the catalog and the tables of the database."""
    lines = [
        "## Datasets",
        "",
        *_table(("dataset", "type", "layer", "stored as"), _datasets()),
        "",
        "## Tables",
        "",
    ]
    for name in sorted(metadata.tables):
        lines += [f"### {name}", "", *_table(("column", "type", ""), _columns(metadata.tables[name])), ""]
    return _page("Catalog and tables", "`conf/base/catalog/` and `src/dosvotos/database/`", lines)


# ---- REST


def _type_of(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return f"[{(name := schema['$ref'].rpartition('/')[2])}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type_of(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type_of(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "any"))


def rest() -> str:
    """Every path of the API with its parameters, and every body's fields."""
    found = create_api().openapi()
    lines = ["How to sign, page and repeat: [a client's hour](../api.md). `/api/docs` shows this live.", ""]
    for path, methods in sorted(found["paths"].items()):
        for method, entry in methods.items():
            lines += [
                f"## {method.upper()} /api{path.removeprefix('/api')}",
                "",
                entry.get("summary", ""),
                "",
            ]
            asked = [
                (f"`{one['name']}`", one["in"], _type_of(one["schema"]))
                for one in entry.get("parameters", ())
            ]
            lines += [*_table(("parameter", "in", "is"), asked), ""] if asked else []
            bodies = {"body": entry.get("requestBody", {}), **entry["responses"]}
            told = [(name, _type_of(kind["schema"])) for name, one in bodies.items()
                    for kind in one.get("content", {}).values() if kind.get("schema")]  # fmt: skip
            lines += [*_table(("body or status", "is"), told), ""] if told else []
    lines += ["## Bodies", ""]
    for name, schema in sorted(found["components"]["schemas"].items()):
        needed = schema.get("required", ())
        fields = [(f"`{field}`" + " (needed)" * (field in needed), _type_of(one), one.get("description", ""))
                  for field, one in schema.get("properties", {}).items()]  # fmt: skip
        lines += [f"### {name}", "", *_table(("field", "is", "means"), fields), ""]
    return _page("REST", "`streamlit_app/api.py`", lines)


# ---- codes


def _documented(codes: type[enum.Enum]) -> dict[str, str]:
    """Give an enumeration's values with the sentence written below each."""
    source = (HERE.parents[1] / "src" / codes.__module__.replace(".", "/")).with_suffix(".py").read_text()
    found = re.findall(r'^    \w+ = "(\w+)"\n(?:    """(.*?)""")?', source, re.MULTILINE | re.DOTALL)
    return {value: text for value, text in found if value in {one.value for one in codes}}


def reason_codes() -> str:
    """Every code that a row, a proposal or a refusal carries, with its sentence."""
    texts = yaml.safe_load(Path(reasons.__file__).with_suffix(".yml").read_text())["reason"]
    lines = [
        "## Of a bar",
        "",
        "What to do about each: [operations](../operations.md#when-a-bar-has-no-signal).",
        "",
    ]
    lines += [
        *_table(("code", "means"), ((f"`{code}`", text) for code, text in _documented(Reason).items())),
        "",
    ]
    lines += ["## Of the first vote", "", *_table(("code", "says"), _english(texts)), ""]
    lines += ["## Of a refusal", "", "In the API's problems, and in the app.", "",
              *_table(("code", "says"), _english(refusal_texts()))]  # fmt: skip
    return _page("Codes", "`live/reasons.py`, `promotion/reasons.yml` and `refusals.yml`", lines)


def _english(texts: Mapping[str, Mapping[Any, str]]) -> Iterator[tuple[str, str]]:
    return ((f"`{code}`", text["en"]) for code, text in sorted(texts.items()))


PAGES = {
    "parameters": parameters,
    "commands": commands,
    "catalog": catalog,
    "rest": rest,
    "codes": reason_codes,
}


def main() -> None:
    """Write the pages, or compare them with what would be written."""
    stale = []
    for name, write in PAGES.items():
        file, text = HERE / f"{name}.md", write()
        if "--check" in sys.argv:
            stale += [file.name] if not file.exists() or file.read_text() != text else []
        else:
            file.write_text(text)
    if stale:
        sys.exit(f"docs/reference: {', '.join(stale)} not current; run 'make docs'")


if __name__ == "__main__":
    main()
