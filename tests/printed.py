"""The documents' blocks as they are printed, and a shell that runs their commands."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT
from tests.project import Project

PAGES = sorted(
    page
    for glob in ("*.md", "docs/**/*.md", "benchmarks/*.md", ".github/**/*.md")
    for page in ROOT.glob(glob)
)
SHELLS = ("bash", "console", "cron")
_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_SCHEDULE = re.compile(r"^(?:[\d*/,-]+\s+){5}")
_SETTING = re.compile(r"[A-Z_]+=")
_HEEDS_CTRL_C = ("env", "--default-signal=INT")
"""A shell lets what it starts in the background ignore it."""
_NEEDS_A_SHELL = re.compile(r"[|;&<>$`]|^cd ")
_CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\d"), "DAY"),
    (re.compile(r"\d\d:\d\d(?::\d\d)?"), "TIME"),
    (re.compile(r"(?<=_)\d{8}(?=_)"), "DAY"),
    (re.compile(r"\b(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{12}\b|(?<=_)[0-9a-f]{12}\b"), "HASH"),
    (re.compile(r"\bin \d+ s\b"), "in N s"),
)
"""What differs from run to run."""


class Block(NamedTuple):
    """A block of a page."""

    page: str
    language: str
    text: str
    output: str
    """What the page prints right after it, or below its own ``$ command``."""

    @property
    def commands(self) -> list[str]:
        """Its command lines, joined where they go on; without comments, prompts and cron's schedules."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [_SCHEDULE.sub("", line) for line in lines if line.strip() and not line.startswith("#")]


def blocks_of(page: Path) -> list[Block]:
    """Give a page's blocks in order."""
    text, name = page.read_text(), page.relative_to(ROOT).as_posix()
    found = list(_FENCE.finditer(text))
    blocks = []
    for this, after in zip_longest(found, found[1:]):
        follows = after is not None and not after[1] and not text[this.end() : after.start()].strip()
        output = after[2] if follows and after is not None and this[1] in SHELLS else ""
        if this[1] == "console":
            output = "\n".join(line for line in this[2].splitlines() if not line.startswith("$ "))
        blocks.append(Block(name, this[1], this[2], output))
    return blocks


def files_of(page: Path) -> dict[str, str]:
    """Give the files that a page's blocks name in their first line, ``# PATH``."""
    blocks = (block.text for block in blocks_of(page) if block.language in ("yaml", "python"))
    heads = (re.match(r"# ((?:conf|src|data)?[\w/.-]*\.(?:yml|py))\b", text) for text in blocks)
    texts = (block.text for block in blocks_of(page) if block.language in ("yaml", "python"))
    return {
        head[1]: text.removeprefix(f"{head[0]}\n") for head, text in zip(heads, texts, strict=True) if head
    }


class Ran(NamedTuple):
    """A command line that was run to its end."""

    line: str
    returncode: int
    output: str


@dataclass
class Shell:
    """A person's terminal in a project's folder: what one line exports the next one sees.

    `replaced` are what a page prints for any reader, as a folder, and what stands for it here. With
    `cold` every line is bash's, as typed; without it `kedro` and `dosvotos` are forked from a process with
    their imports done.
    """

    root: Path
    settings: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    cold: bool = False

    def run(self, lines: Iterable[str], codes: Iterable[int] = (0,)) -> list[Ran]:
        """Run lines; one that ends with another exit code is an AssertionError with all it has printed."""
        done = []
        for line in lines:
            ran = self._run(self._here(line))
            assert ran.returncode in set(codes), f"{line}\nexit code {ran.returncode}\n{ran.output}"
            assert "Traceback (most recent call last)" not in ran.output, ran.output
            done.append(ran)
        return done

    def until(self, line: str, marker: str, seconds: float = 120) -> str:
        """Run a line that stays until it has printed a marker, then end it as Ctrl-C does."""
        with tempfile.NamedTemporaryFile() as log:
            process = subprocess.Popen(
                [*_HEEDS_CTRL_C, "bash", "-c", self._here(line)], cwd=self.root, env=self._environment(),
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            printed, deadline = Path(log.name), time.monotonic() + seconds
            try:
                while marker not in printed.read_text(errors="replace") and time.monotonic() < deadline:
                    if process.poll() is not None:
                        break
                    time.sleep(0.2)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGINT)
                process.wait(60)
            output = printed.read_text(errors="replace")
        assert marker in output, f"{line}\n{output}"
        return output

    def _here(self, line: str) -> str:
        for printed, here in self.replaced.items():
            line = line.replace(printed, here)
        return line

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        return {**os.environ, "PATH": path, "DO_NOT_TRACK": "true", **self.settings}

    def _run(self, line: str) -> Ran:
        words = shlex.split(line, comments=True)
        if words[0] == "export":
            self.settings |= dict(word.split("=", 1) for word in words[1:])
            return Ran(line, 0, "")
        own = {}
        while _SETTING.match(words[0]):
            name, value = words.pop(0).split("=", 1)
            own[name] = value
        program = words[0].removeprefix(".venv/bin/")
        if self.cold or program not in ("kedro", "dosvotos") or _needs_a_shell(line):
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", line], cwd=self.root, env=self._environment(),
                text=True, capture_output=True, check=False,
            )  # fmt: skip
        else:
            home = self.settings.get("HOME", os.environ["HOME"])
            words = [home + word[1:] if word.startswith("~/") else word for word in words[1:]]
            done = Project(self.root).command(program, *words, **{**self._environment(), **own})
        return Ran(line, done.returncode, done.stdout + done.stderr)


def _needs_a_shell(line: str) -> bool:
    return bool(_NEEDS_A_SHELL.search(re.sub(r'"[^"$`]*"', "", line).partition(" #")[0]))


def printed_but_not_there(printed: str, output: str) -> list[str]:
    """Give the parts of a printed output that do not stand in a real one, in the order printed.

    Parts are lines, or what stands between ``...``; days, times, hashes and durations may differ.
    """
    told, missing, position = _plain(output), [], 0
    for part in _parts(printed):
        found = told.find(part, position)
        if found < 0:
            missing.append(part)
        else:
            position = found + len(part)
    return missing


def _parts(printed: str) -> Iterator[str]:
    for line in printed.splitlines():
        yield from filter(None, (_plain(part) for part in line.split("...")))


def _plain(text: str) -> str:
    for changing, name in _CHANGING:
        text = changing.sub(name, text)
    return " ".join(text.split())
