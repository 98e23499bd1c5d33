"""No process of ours unpickles: nothing in the source could, whatever name it goes by."""

import ast
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

SOURCES = [
    path for folder in ("src", "streamlit_app", "benchmarks") for path in (ROOT / folder).rglob("*.py")
]
PICKLING = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
LOADERS = {"PPO", "FastPPO", "BaseAlgorithm", "ActorCriticPolicy", "MlpPolicy", "torch", "engine", "ENGINES"}
CALLS = {"read_pickle", "load_from_zip_file", "load_from_pkl", "Unpickler", "PickleDataset"}


def unpickling(tree: ast.AST) -> Iterator[str]:
    """Name what could unpickle in a module, with its line."""
    for node in ast.walk(tree):
        names = set()
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names} & PICKLING
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").partition(".")[0]} & PICKLING
            names |= {alias.name for alias in node.names} & CALLS
        elif isinstance(node, ast.Call):
            names = set(_called(node))
        yield from (f"line {node.lineno}: {name}" for name in sorted(names))


def _called(call: ast.Call) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in CALLS:
        yield name
    if any(word.arg == "allow_pickle" for word in call.keywords):
        yield "allow_pickle"
    words = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if name == "load" and isinstance(function, ast.Attribute):
        owner = ast.unparse(function.value).rpartition(".")[2].partition("[")[0]
        if owner in LOADERS and words.get("weights_only") != "True":
            yield f"{owner}.load"
    if name in ("import_module", "__import__") and call.args:
        yield from PICKLING & {ast.unparse(call.args[0]).strip("'\"")}


def test_one_module_alone_can_unpickle():
    assert len(SOURCES) > 150
    found = {str(path.relative_to(ROOT)): [*unpickling(ast.parse(path.read_text()))] for path in SOURCES}
    assert {path for path, lines in found.items() if lines} == {"src/dosvotos/own_process.py"}


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle", "import pickle as p", "from pickle import loads", "import joblib",
        "from stable_baselines3.common.save_util import load_from_zip_file", "PPO.load(path)",
        "stable_baselines3.PPO.load(path)", "ENGINES[name].load(path)", "torch.load(path)",
        "torch.load(path, weights_only=False)", "pd.read_pickle(path)", "np.load(path, allow_pickle=True)",
        "importlib.import_module('pickle')",
    ],
)  # fmt: skip
def test_each_way_to_unpickle_would_be_found(planted):
    assert [*unpickling(ast.parse(planted))]


def test_loading_weights_alone_is_allowed():
    assert [*unpickling(ast.parse("torch.load(path, weights_only=True); json.load(file)"))] == []
