"""An exported decision is verified by its README's own commands, without us, and no change of it passes."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dosvotos.audit.exported_vote import README, SUMS, export_vote
from dosvotos.commands.homes import write_vote
from dosvotos.database.connection import reading
from dosvotos.errors import DecisionError, FileError, LineageError
from dosvotos.promotion.house_acts import RevokeReviewer
from dosvotos.promotion.live_acts import SwitchSignals
from tests.promotion.test_signed_votes import desk, team  # noqa: F401
from tests.proposal_fixtures import INSTRUMENT
from tests.team import WHY

N_MUTATIONS = 200
needs_openssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH")


def commands_of(folder: Path) -> list[str]:
    """What the README tells a stranger to type."""
    return re.findall(r"```sh\n(.*?)```", (folder / README).read_text(), re.DOTALL)


def verify(folder: Path, commands: list[str]) -> tuple[bool, str]:
    """Run the commands in an environment of nothing but the programs they name."""
    output = ""
    for command in commands:
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder, env={"PATH": os.defpath}, capture_output=True, check=False
        )
        output += (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode != 0:
            return False, output
    return True, output


@pytest.fixture
def exported(team, desk, tmp_path) -> Path:  # noqa: F811
    """A vote to production, whose voter was revoked since, in a folder of its own."""
    team.vote(desk.propose("one", 1), "ana")
    team.do(RevokeReviewer(WHY, "ana"), "ada")
    write_vote(desk.engine, 5, tmp_path / "elsewhere/vote")
    return tmp_path / "elsewhere/vote"


@needs_openssh
def test_three_commands_verify_a_vote_without_us(exported):
    commands = commands_of(exported)
    assert len(commands) == 3
    accepted, output = verify(exported, commands)
    assert accepted, output
    assert 'Good "vote@dosvotos" signature for ana' in output and 'Good "log@dosvotos" signature' in output
    assert "dossier.manifest.json: OK" in output and "bundle.manifest.json: OK" in output
    assert "row_5.json: OK" in output and "reason: OK" in output and "decision: OK" in output


@needs_openssh
def test_no_mutation_of_an_exported_vote_passes(exported):
    commands, rng = commands_of(exported), np.random.default_rng(19)
    names = sorted(path.name for path in exported.iterdir() if path.name != README)
    kept = {name: (exported / name).read_bytes() for name in names}
    accepted = []
    for number in range(N_MUTATIONS):
        name = names[number % len(names)]
        what = mutate(exported, name, names, kept, rng)
        if verify(exported, commands)[0]:
            accepted.append(f"{name}: {what}")
        for each, content in kept.items():
            (exported / each).write_bytes(content)
    assert accepted == []
    assert verify(exported, commands)[0]


def mutate(
    folder: Path, name: str, names: list[str], kept: dict[str, bytes], rng: np.random.Generator
) -> str:
    """Change one file; says how."""
    content = bytearray(kept[name])
    what = str(rng.choice(["bit", "cut", "longer", "gone", "swapped"], p=(0.7, 0.1, 0.1, 0.05, 0.05)))
    if what == "bit":
        at = int(rng.integers(len(content)))
        content[at] ^= 1 << int(rng.integers(5))  # bit 5 is a digit's case, which sha256sum does not mind
        what = f"bit of byte {at}"
    elif what == "cut":
        content = content[: int(rng.integers(len(content)))]
    elif what == "longer":
        content += b"\nstage: production\n"
    elif what == "swapped":
        other = names[(names.index(name) + 1) % len(names)]
        content = bytearray(kept[other])
    if what == "gone":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(bytes(content))
    return what


@needs_openssh
def test_a_forger_who_writes_the_sums_too_is_still_refused(exported):
    """Each file replaced and SHA256SUMS made to agree: signatures and signed hashes do not fit."""
    import hashlib

    commands = commands_of(exported)
    for name, old, new in (
        ("decision", b"stage: production", b"stage: shadow"),
        ("reason", b"twice", b"never"),
        ("dossier.manifest.json", b'"size":', b'"size": '),
        ("bundle.manifest.json", b'"size":', b'"size": '),
        ("row_5.json", b'"reviewer":"ana"', b'"reviewer":"eve"'),
        ("checkpoint", b"rows: 5", b"rows: 9"),
        ("allowed_signers", b"ana ", b"eve "),
    ):
        kept = {path.name: path.read_bytes() for path in exported.iterdir()}
        assert old in kept[name], name
        (exported / name).write_bytes(kept[name].replace(old, new))
        sums = "".join(
            f"{hashlib.sha256((exported / each).read_bytes()).hexdigest()}  {each}\n"
            for each in sorted(kept) if each not in (SUMS, README)
        )  # fmt: skip
        (exported / SUMS).write_text(sums)
        assert not verify(exported, commands)[0], name
        for each, content in kept.items():
            (exported / each).write_bytes(content)


@needs_openssh
def test_every_signed_decision_can_be_exported(desk, team, tmp_path):  # noqa: F811
    """People, halts and a decision that two people signed."""
    team.do(SwitchSignals("HALT", INSTRUMENT, WHY), "olga")
    desk.propose("one", 1, trained_by="ada")
    team.do(RevokeReviewer(WHY, "olga"), "ada", second="ana")
    for row in range(1, len(desk.votes()) + 1):
        folder = tmp_path / f"vote_{row}"
        write_vote(desk.engine, row, folder)
        accepted, output = verify(folder, commands_of(folder))
        assert accepted, (row, output)
    assert output.count('Good "vote@dosvotos" signature') == 2


@needs_openssh
def test_single_user_votes_are_exported_with_their_local_key(desk, tmp_path):  # noqa: F811
    from dosvotos.promotion.decision import Vote, decide
    from tests.team import now

    name = "Bob O'Neil $(rm -rf x)"
    decide(desk.engine, desk.propose("one", 1), Vote("APPROVE", name, WHY), now())
    write_vote(desk.engine, 1, tmp_path / "vote")
    accepted, output = verify(tmp_path / "vote", commands_of(tmp_path / "vote"))
    assert accepted, output


def test_what_cannot_be_proven_is_not_exported(desk, team, tmp_path):  # noqa: F811
    proposal_id = desk.propose("one", 1)
    team.vote(proposal_id, "ana", "REQUEST_MORE_TESTS")
    team.vote(proposal_id, "ana")
    with reading(desk.engine) as connection:
        for row, expected in ((99, "does not exist"), (5, "carries no signature")):
            with pytest.raises(DecisionError, match=expected):
                export_vote(connection, row)
    write_vote(desk.engine, 6, tmp_path / "vote")
    with pytest.raises(FileError, match="stands already"):
        write_vote(desk.engine, 6, tmp_path / "vote")
    (bundle,) = (desk.root / "data/06_models").glob("*/manifest.json")
    bundle.write_bytes(bundle.read_bytes() + b" ")
    with reading(desk.engine) as connection, pytest.raises(LineageError, match="is not what was voted on"):
        export_vote(connection, 6)
