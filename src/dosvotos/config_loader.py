"""Kedro's configuration loader for YAML that can be read in one way only."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from dosvotos.contracts.experiment import flatten
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.errors import ParameterError
from dosvotos.project import mlflow_url

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TWO_READINGS: Final = (
    (re.compile(r"[-+]?0[0-9_]+"), "an octal number to some readers of YAML, a decimal one to others"),
    (re.compile(r"[-+]?[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?"), "a number to base 60, or text"),
    (re.compile(r"[-+]?\.?[0-9][0-9._]*_[0-9._]*([eE][-+]?[0-9]+)?"), "a number, or text"),
    (re.compile(r"yes|no|on|off", re.IGNORECASE), "true or false, or text"),
)
"""Values without quotes that YAML 1.1 and 1.2 read differently."""

LOADER_ARGS: Final[dict[str, Any]] = {
    "base_env": "base",
    "default_run_env": "demo",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**"]},
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "custom_resolvers": {
        "now": lambda: datetime.now(UTC).isoformat(timespec="seconds"),
        "mlflow_tracking_uri": mlflow_url,
    },
}
"""How configuration is found and merged, in a Kedro session and without one."""


class StrictConfigLoader(OmegaConfigLoader):
    """Refuses a repeated key and a value with two readings, by file and line, before it reads any."""

    def __init__(self, conf_source: str, env: str | None = None, *args: Any, **settings: Any) -> None:
        folder = Path(conf_source)
        parts = {settings["base_env"], env or settings["default_run_env"]}
        files = {path for part in parts for path in (folder / part).rglob("*.y*ml")}
        for path in sorted(files.union(folder.glob("*.y*ml"))):
            check_yaml(path)
        super().__init__(conf_source, env, *args, **settings)

    def stated_parameters(self) -> dict[str, Any]:
        """Give what the experiment's own folder and --params say, by ``section.name``: base is left out."""
        env, patterns = self.env or self.default_run_env, self.config_patterns["parameters"]
        folder, own = Path(self.conf_source) / env, {}
        if env != self.base_env:
            own = self.load_and_merge_dir_config(str(folder), patterns, "parameters", set())
        return flatten(own or OmegaConf.to_container(OmegaConf.create(self.runtime_params or {})))


def load_parameters(env: str, conf: Path = Path("conf")) -> Parameters:
    """Read an experiment's resolved parameters without a Kedro session.

    Raises
    ------
    ParameterError
        If a parameter breaks a rule, or the experiment's name is not its folder's.
    """
    parameters = read_parameters(StrictConfigLoader(str(conf), env=env, **LOADER_ARGS)["parameters"])
    if (name := parameters.experiment.name) != env:
        raise ParameterError(
            f"experiment.name: must be its folder's name, {env!r}, was {name!r}; correct "
            f"conf/{env}/globals.yml"
        )
    return parameters


def check_yaml(path: Path) -> None:
    """Refuse a file that is no YAML, repeats a key, or holds a value that can be read in two ways.

    Raises
    ------
    ParameterError
        Naming the file and every line at fault.
    """
    try:
        problems = list(_problems(yaml.compose(path.read_bytes(), _LOADER), ""))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ParameterError(
            f"{path}{line}: no YAML: {getattr(error, 'problem', error)}; correct it"
        ) from error
    if problems:
        raise ParameterError("\n".join(f"{path}, {problem}" for problem in problems))


def _problems(node: yaml.Node | None, name: str) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        yield from _repeated(node, name)
        for key, value in node.value:
            yield from _problems(key, f"{name}key")
            yield from _problems(value, f"{name}{key.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _problems(item, f"{name}{index}.")
    elif isinstance(node, yaml.ScalarNode) and not node.style:
        for pattern, readings in _TWO_READINGS:
            if pattern.fullmatch(node.value):
                where = f"line {node.start_mark.line + 1}: {name.removesuffix('.')}"
                yield f"{where}: {node.value} is {readings}; quote it or write it plainly"


def _repeated(node: yaml.MappingNode, name: str) -> Iterator[str]:
    first: dict[str, int] = {}
    for key, _ in node.value:
        word, line = str(key.value), key.start_mark.line + 1
        if word in first:
            yield f"line {line}: {name}{word} stands in line {first[word]} already"
        first.setdefault(word, line)
