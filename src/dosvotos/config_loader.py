"""Kedro's configuration loader for YAML that can be read in one way only."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import yaml
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from dosvotos.contracts.experiment import flatten
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.errors import FileError, ParameterError
from dosvotos.files import read_regular_file
from dosvotos.project import mlflow_url

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TWO_READINGS: Final = (
    (re.compile(r"[-+]?0[0-9_]+"), "an octal number to some readers of YAML, a decimal one to others"),
    (re.compile(r"[-+]?[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?"), "a number to base 60, or text"),
    (re.compile(r"[-+]?\.?[0-9][0-9._]*_[0-9._]*([eE][-+]?[0-9]+)?"), "a number, or text"),
    (re.compile(r"yes|no|on|off", re.IGNORECASE), "true or false, or text"),
)
"""Values without quotes that YAML 1.1 and 1.2 read differently."""

_PLAIN_TAGS: Final = tuple(
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge")
)
_MAX_BYTES: Final = 1 << 24
_MAX_NAME: Final = 64

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
        if env and (Path(env).name != env or env == ".." or len(env) > _MAX_NAME):
            raise ParameterError(
                f"experiment {env[:_MAX_NAME]!r}: must be a folder of conf/; name it without a path"
            )
        parts = {settings["base_env"], env or settings["default_run_env"]}
        files = {path for part in parts for path in _files_below(folder / part)}
        for path in sorted(files.union(_files_below(folder, deep=False))):
            check_yaml(path)
        super().__init__(conf_source, env, *args, **settings)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Read a part; ParameterError where a list stands in a section's place, or a section in a list's."""
        try:
            return dict(super().__getitem__(key))
        except TypeError as error:
            own = OmegaConf.to_container(OmegaConf.create(self.runtime_params or {}))
            for part in (own, self._parts(self.env or self.default_run_env, key)):
                if found := _of_another_kind(self._parts(self.base_env, key), part):
                    raise ParameterError(found) from error
            raise

    def _parts(self, folder: str, key: str) -> dict[str, Any]:
        place = str(Path(self.conf_source) / folder)
        return dict(self.load_and_merge_dir_config(place, self.config_patterns[key], key, set()))

    def stated_parameters(self) -> dict[str, Any]:
        """Give what the experiment's own folder and --params say, by ``section.name``: base is left out."""
        env, patterns = self.env or self.default_run_env, self.config_patterns["parameters"]
        folder, own = Path(self.conf_source) / env, {}
        if env != self.base_env:
            own = self.load_and_merge_dir_config(str(folder), patterns, "parameters", set())
        return flatten(own or OmegaConf.to_container(OmegaConf.create(self.runtime_params or {})))


def _files_below(folder: Path, deep: bool = True) -> Iterator[Path]:
    """Find YAML files; a folder that may not be listed is refused, since to Kedro it would be empty."""
    for place, folders, names in os.walk(folder, onerror=_refuse_unlisted):
        if not deep:
            folders.clear()
        yield from (Path(place, name) for name in names if fnmatch(name, "*.y*ml"))


def _refuse_unlisted(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):  # of which Kedro knows more to say
        raise ParameterError(f"{error.filename}: {error.strerror}; correct its permissions") from error


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
        text = read_regular_file(path.resolve(), _MAX_BYTES).decode("utf-8")
        problems = list(_problems_of(yaml.compose(text, _LOADER)))
    except FileError as error:
        raise ParameterError(str(error)) from error
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path}: no UTF-8 from byte {error.start} on; save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ParameterError(
            f"{path}{line}: no YAML: {getattr(error, 'problem', error)}; correct it"
        ) from error
    if problems:
        raise ParameterError("\n".join(f"{path}, {problem}" for problem in problems))


def _problems_of(root: yaml.Node | None) -> Iterator[str]:
    if root is not None and not isinstance(root, yaml.MappingNode):
        line = root.start_mark.line + 1
        yield f"line {line}: must hold 'name: value', holds none; write the name before it"
    yield from _problems(root, "")


def _problems(node: yaml.Node | None, name: str) -> Iterator[str]:
    if node is not None and not node.tag.startswith(_PLAIN_TAGS):
        where = f"line {node.start_mark.line + 1}: {name.removesuffix('.')}"
        yield f"{where}: the tag {node.tag} is not read; leave it out"
    elif isinstance(node, yaml.MappingNode):
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


def _of_another_kind(base: Any, own: Any, name: str = "") -> str:
    """Say where `own` has a list and base a section, or the other way round; empty where it does not."""
    kinds: dict[type, str] = {dict: "a section", list: "a list"}
    if type(base) in kinds and type(own) in kinds and type(base) is not type(own):
        return f"{name}: must be {kinds[type(base)]}, as in conf/base, was {kinds[type(own)]}; write it so"
    if isinstance(base, dict) and isinstance(own, dict):
        places = ((f"{name}.{key}".lstrip("."), key) for key in own if key in base)
        return next(filter(None, (_of_another_kind(base[key], own[key], place) for place, key in places)), "")
    return ""


def _repeated(node: yaml.MappingNode, name: str) -> Iterator[str]:
    first: dict[str, int] = {}
    for key, _ in node.value:
        word, line = str(key.value), key.start_mark.line + 1
        if word in first:
            yield f"line {line}: {name}{word} stands in line {first[word]} already; keep one"
        first.setdefault(word, line)
