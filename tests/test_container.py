"""deploy/Containerfile, whose image is not built here: all that it names is there and can be typed."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dosvotos.commands.main import cli
from tests.conftest import ROOT
from tests.test_docs import _parse

FILE = ROOT / "deploy/Containerfile"


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def of(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


def test_it_begins_from_a_named_version_and_ends_as_nobody_s_root():
    words = [word for word, _ in instructions()]
    assert words[0] == "FROM" and words.count("FROM") == 1
    image, _, tag = of("FROM")[0].rpartition(":")
    assert image.startswith("docker.io/library/") and tag.startswith("3.11-slim")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert "3.11" in wanted
    (user,) = of("USER")
    assert f"useradd --create-home --uid 10001 {user}" in of("RUN")
    assert words.index("USER") > max(i for i, word in enumerate(words) if word == "RUN")
    assert all("sudo" not in rest and word != "ADD" for word, rest in instructions())


def test_what_it_copies_is_in_the_repository_and_holds_what_the_loop_reads():
    copied = [name for rest in of("COPY") for name in rest.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {
        "pyproject.toml",
        "constraints.txt",
        project["readme"],
        *project["license-files"],
        "src",
        "conf",
    }
    assert needed <= set(copied)


def test_pip_installs_pinned_versions_of_what_the_loop_needs_and_no_training():
    (install,) = (rest for rest in of("RUN") if rest.startswith("pip install"))
    words = shlex.split(install)
    assert "--no-cache-dir" in words and words[words.index("-c") + 1] == "constraints.txt"
    extras = set(re.findall(r"\[(.*)\]", words[-1])[0].split(","))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras <= set(project["optional-dependencies"]) and not extras & {
        "training",
        "mlflow",
        "app",
        "run",
    }
    pinned = {
        canonicalize_name(line.partition("==")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    asked = [
        *project["dependencies"],
        *(one for extra in extras for one in project["optional-dependencies"][extra]),
    ]
    assert {canonicalize_name(Requirement(one).name) for one in asked} <= pinned


def test_its_command_and_the_ones_its_comment_prints_can_be_typed():
    program, *words = json.loads(of("ENTRYPOINT")[0])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert program in scripts
    _parse(cli, [*words, *json.loads(of("CMD")[0])])
    comment = " ".join(line.lstrip("# ") for line in FILE.read_text().splitlines() if line.startswith("#"))
    (given,) = re.findall(r"dosvotos-live (--env [^.;]*?)(?: One loop|$)", comment)
    _parse(cli, [*words, *given.split()])
    assert f"-f {FILE.relative_to(ROOT)}" in comment


def test_what_it_writes_is_a_volume_or_a_temporary_folder():
    volumes = [Path(one) for one in json.loads(of("VOLUME")[0])]
    (workdir,) = of("WORKDIR")
    assert Path(workdir) / "data" in volumes and Path("/home/dosvotos/.config") in volumes
    settings = dict(pair.split("=", 1) for pair in of("ENV")[0].split())
    cache = Path(settings["NUMBA_CACHE_DIR"])
    assert cache in volumes  # kept, so that a new container need not compile
    (made,) = (rest for rest in of("RUN") if rest.startswith("mkdir"))
    folders, _, owned = made.removeprefix("mkdir ").partition(" && chown dosvotos ")
    assert folders == owned and {Path(workdir) / one for one in folders.split()} == {
        Path(workdir) / "data",
        cache,
    }


def test_a_slip_in_its_command_would_be_found():
    try:
        _parse(cli, ["live", "--evn", "demo"])
    except click.NoSuchOption:
        return
    raise AssertionError("--evn was taken")
