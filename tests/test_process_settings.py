import subprocess
import sys

from tests.conftest import ROOT

ASKED = """
import gc, os, sys
import dosvotos.process_settings
print('numpy' in sys.modules, gc.isenabled(), gc.get_threshold()[0], os.environ['OPENBLAS_NUM_THREADS'])
"""


def asked(**environment: str) -> list[str]:
    command = [sys.executable, "-c", ASKED]
    found = subprocess.run(
        command,
        cwd=ROOT,
        env={"PYTHONPATH": "src", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.split()


def test_they_come_before_numpy_and_what_the_environment_says_counts():
    assert asked() == ["False", "True", "100000", "1"]
    assert asked(OPENBLAS_NUM_THREADS="2")[-1] == "2"


def test_mlflow_s_process_imports_no_record_of_ours_nor_what_makes_one():
    program = "import sys, dosvotos.mlflow_process; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = found.stdout.split()
    assert "dosvotos.mlflow_tracking" in names
    slow = (
        "pandas",
        "numba",
        "dosvotos.contracts",
        "dosvotos.backtest",
        "dosvotos.training",
        "dosvotos.market",
    )
    assert not [name for name in names if name.startswith(slow)]


def test_the_command_line_imports_them_before_what_makes_many_objects():
    program = "import gc, sys, dosvotos.commands.main; print(gc.get_threshold()[0], *sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    threshold, *names = found.stdout.split()
    assert threshold == "100000"
    settings, *large = map(names.index, ("dosvotos.process_settings", "sqlalchemy", "pydantic"))
    assert settings < min(large)
