"""What a broken rule of a parameter tree says: the parameter's full name, the rule and the value found."""

from difflib import get_close_matches
from typing import Any, Final, get_args

from dosvotos.contracts.section import Section

_IN_YAML_S_WORDS: Final = {
    "tuple_type": "must be a list, as [a, b]",
    "model_type": "must be a section with keys of its own",
    "dict_type": "must be a section with keys of its own",
}
"""pydantic speaks of tuples and dictionaries; who writes YAML has lists and sections."""


def describe_problem(problem: Any, root: type[Section]) -> str:
    """Say one of pydantic's problems with `root` as who writes YAML would; one line."""
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _fields_at(root, problem["loc"][:-1])
        near = get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {sorted(known)}"
        return f"{where}: unknown parameter; {hint}"
    if problem["type"] == "missing":
        return f"{where}: required, but absent"
    rule = _IN_YAML_S_WORDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    found = "" if isinstance(problem["input"], dict) else f", was {problem['input']!r}"
    if problem["type"] == "string_type":
        found += " without quotes"
    return f"{where}: {rule}{found}" if where else rule


def _fields_at(root: type[Section], path: tuple[str | int, ...]) -> list[str]:
    model: Any = root
    for part in path:
        fields = getattr(model, "model_fields", {})
        model = fields[part].annotation if part in fields else _section_in(model)
        if type(None) in get_args(model):
            model = _section_in(model)
    return list(getattr(model, "model_fields", {}))


def _section_in(model: Any) -> Any:
    """Find the section in a union, or that a mapping or a list is of."""
    return next((a for a in get_args(model) if isinstance(a, type) and issubclass(a, Section)), None)
