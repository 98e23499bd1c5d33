"""What is kept of compiled code is renewed with the sources, other files' too."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dosvotos
from dosvotos.compiled import SOURCES

PACKAGE = Path(dosvotos.__file__).parent


def compiled_in(path: Path) -> set[str]:
    """Files whose names a module's compiled functions or its constants use, its own included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dosvotos.")
        for alias in node.names
    }
    if imported.get("njit") != "dosvotos.compiled":
        return set()
    used = {
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        or (isinstance(node, ast.FunctionDef) and node.decorator_list)
        for name in ast.walk(node)
        if isinstance(name, ast.Name)
    }
    modules = {imported[name] for name in used & set(imported)} - {"dosvotos.compiled"}
    others = {f"{module.removeprefix('dosvotos.').replace('.', '/')}.py" for module in modules}
    return others | {path.relative_to(PACKAGE).as_posix()}


def test_every_source_of_compiled_code_is_named_and_numba_is_asked_nowhere_else():
    files = sorted(PACKAGE.rglob("*.py"))
    assert set().union(*map(compiled_in, files)) == set(SOURCES)
    asking = {path.name for path in files if "numba import" in path.read_text(encoding="utf-8")}
    assert asking <= {"compiled.py"}


def test_commands_load_what_is_large_when_they_need_it():
    program = (
        "import sys, dosvotos.commands.main; print(*{'numba', 'numpy', 'pandas'} & {*sys.modules});"
        "import dosvotos.commands.live; print(*{'numba', 'torch', 'mlflow'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n\n"


INNER = """
from dosvotos.compiled import njit
@njit()
def inner():
    return {answer}
"""
OUTER = """
from dosvotos.compiled import njit
from dosvotos.numerics import inner
@njit()
def outer():
    return inner()
"""
PROGRAM = """
from dosvotos.market.features import outer
print(outer(), sum(outer.dispatcher.stats.cache_hits.values()))
"""


def answered(root: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "kept")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_change_in_another_file_reaches_what_was_compiled_before(tmp_path):
    for name in ("__init__.py", *SOURCES):
        (tmp_path / "dosvotos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "dosvotos" / name).touch()
    shutil.copy(PACKAGE / "compiled.py", tmp_path / "dosvotos")
    inner = tmp_path / "dosvotos/numerics.py"
    (tmp_path / "dosvotos/market/features.py").write_text(OUTER, encoding="utf-8")
    inner.write_text(INNER.format(answer=1), encoding="utf-8")
    assert [answered(tmp_path), answered(tmp_path)] == [["1", "0"], ["1", "1"]]
    inner.write_text(INNER.format(answer=2), encoding="utf-8")
    assert answered(tmp_path) == ["2", "0"]
