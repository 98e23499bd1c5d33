"""A forked script is what a started one is: its arguments, folder, environment, ends and signals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import Forked

pytestmark = pytest.mark.slow

SCRIPT = """
import atexit, json, os, signal, sys, threading
def state():
    handlers = [str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    in_main = threading.current_thread() is threading.main_thread()
    return [sys.argv, os.getcwd(), sorted(os.environ.items()), sys.path, handlers, in_main,
            __name__, __file__, sys.modules["__main__"].__dict__ is globals()]
print(json.dumps(state()))
print("a warning", file=sys.stderr)
atexit.register(print, "last words")
END = sys.argv[1]
if END != "is killed":
    threading.Thread(target=lambda: (sys.stdin.read(), print("from a thread"))).start()
if END == "exits":
    sys.exit(3)
if END == "exits by a text":
    sys.exit("why")
if END == "fails":
    1 / 0
if END == "is interrupted":
    os.kill(os.getpid(), signal.SIGINT)
if END == "is killed":
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    "end", ["returns", "exits", "exits by a text", "fails", "is interrupted", "is killed"]
)
def test_a_forked_script_is_and_ends_as_a_started_one(tmp_path: Path, end: str):
    script = tmp_path / "bin" / "script"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    words, env = (str(script), end, "ñ"), {**os.environ, "OWN": "1"}
    started = subprocess.Popen(
        [sys.executable, *words], cwd=tmp_path, env=env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    forked = Forked(words, tmp_path, env)
    (stdout, stderr), (forked_stdout, forked_stderr) = started.communicate(), forked.communicate(60)
    assert (forked_stdout, forked.returncode) == (stdout, started.returncode)
    for line in (0, -1):  # a traceback has more lines between them
        assert forked_stderr.splitlines()[line] == stderr.splitlines()[line]


def test_a_forked_script_is_waited_for_and_killed(tmp_path: Path):
    script = tmp_path / "script"
    script.write_text("import time; print('at work', flush=True); time.sleep(600)")
    forked = Forked((str(script),), tmp_path, os.environ)
    assert forked.stdout.readline() == "at work\n" and forked.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        forked.wait(0.01)
    forked.send_signal(signal.SIGTERM)
    assert forked.wait(60) == -signal.SIGTERM
    forked.kill()


def test_what_our_programs_load_elsewhere_is_not_loaded_for_them(tmp_path: Path):
    script = tmp_path / "script"
    names = {"torch", "mlflow", "dosvotos.cli", "dosvotos.settings"}
    script.write_text(f"import sys; print(*{names} & {{*sys.modules}})")
    assert Forked((str(script),), tmp_path, os.environ).communicate(60)[0] == "\n"
