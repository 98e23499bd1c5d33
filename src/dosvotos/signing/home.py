"""The home: where trust stands, outside database and project, one folder a ledger."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from filelock import FileLock

from dosvotos.errors import BrokenHomeError, FileError, HomeError, SignatureError
from dosvotos.files import open_regular_file, read_regular_file, write_file
from dosvotos.project import find_root
from dosvotos.signing.checkpoint import FIRST_LINE, FOOTER_LINE, STATES, Checkpoint, parse_note, split_notes
from dosvotos.signing.keys import PublicKey, parse_public_key
from dosvotos.signing.signers import KeySigner, load_signer, new_signer

HOME_VARIABLE: Final = "DOSVOTOS_HOME"
ADMIN, LOCAL, SERVER = "admin.pub", "local_key", "server_key"
CHECKPOINTS, ALLOWED = "checkpoints", "allowed_signers"
FILES: Final = (ADMIN, LOCAL, f"{LOCAL}.pub", SERVER, f"{SERVER}.pub", CHECKPOINTS, ALLOWED)
_MAX_BYTES: Final = 1 << 30
_TAIL: Final = 16 * 1024
"""Bytes that hold the last checkpoint: one of an Ed25519 key has 600 and some more a head row."""
_OTHERS: Final = 0o077


@dataclass(frozen=True)
class Home:
    """The folder of one ledger: pinned keys, the server's key, checkpoints, allowed_signers."""

    folder: Path
    seen: bytes | None = None
    """Its checkpoints as they were at some moment; None for those it has whenever one asks."""

    @property
    def exists(self) -> bool:
        """Whether a first signed decision has made it."""
        return (self.folder / SERVER).is_file()

    def make(self) -> None:
        """Make the folder and the server's key, unless they are there.

        Raises
        ------
        HomeError
            If it cannot be made, lies in the project, or is open to others.
        """
        root = find_root()
        if root is not None and self.folder.resolve().is_relative_to(root.resolve()):
            raise HomeError.of("home_in_project", folder=self.folder, project=root, variable=HOME_VARIABLE)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check_access()
            with self.locked():
                if not self.exists:
                    self._write_key(SERVER, new_signer())
        except OSError as error:
            raise HomeError.of(
                "home_not_made", folder=self.folder, problem=error, variable=HOME_VARIABLE
            ) from error

    def require(self) -> None:
        """Refuse to go on without the home of a log that has signed rows.

        Raises
        ------
        HomeError
            If it is missing or open to others.
        """
        if not self.exists:
            raise HomeError.of("home_missing", folder=self.folder, variable=HOME_VARIABLE)
        self.check_access()

    def check_access(self) -> None:
        """Refuse a home that others could read or write."""
        found = self.folder.stat()
        if stat.S_IMODE(found.st_mode) & _OTHERS or found.st_uid != os.geteuid():
            raise HomeError.of(
                "home_open", folder=self.folder, mode=f"{stat.S_IMODE(found.st_mode):o}", user=found.st_uid
            )

    def server(self) -> KeySigner:
        """The server's key, which signs checkpoints and is nobody's for votes."""
        return load_signer(self._read(SERVER), str(self.folder / SERVER))

    @property
    def server_key(self) -> PublicKey:
        """The public half of the server's key."""
        return self._public(f"{SERVER}.pub")

    def make_local(self) -> KeySigner:
        """The key of single-user mode, made on first use."""
        with self.locked():
            if not (self.folder / LOCAL).is_file():
                if (self.folder / f"{LOCAL}.pub").is_file():
                    raise HomeError.of("home_local_key", file=self.folder / LOCAL)
                self._write_key(LOCAL, new_signer())
        return load_signer(self._read(LOCAL), str(self.folder / LOCAL))

    @property
    def local_key(self) -> PublicKey | None:
        """The public half of single-user mode's key, if it ever was used."""
        return self._public(f"{LOCAL}.pub") if (self.folder / f"{LOCAL}.pub").is_file() else None

    def drop_local(self) -> None:
        """Remove single-user mode's private key, which people have taken the place of."""
        (self.folder / LOCAL).unlink(missing_ok=True)

    @property
    def admin_key(self) -> PublicKey | None:
        """The first admin's pinned key, if there is one."""
        return self._public(ADMIN) if (self.folder / ADMIN).is_file() else None

    def pin_admin(self, key: PublicKey, name: str) -> None:
        """Pin the first admin's key."""
        self._write(ADMIN, f"{key.line} {name}\n".encode())

    def write_allowed_signers(self, content: str) -> None:
        """Write who may sign, as ``ssh-keygen -Y verify -f`` reads it."""
        if not (self.folder / ALLOWED).is_file() or self._read(ALLOWED).decode() != content:
            self._write(ALLOWED, content.encode())

    @property
    def allowed_signers(self) -> str:
        """Who could sign when the last checkpoint was written; empty before the first."""
        return self._read(ALLOWED).decode() if (self.folder / ALLOWED).is_file() else ""

    def as_it_is(self) -> "Home":
        """Keep the checkpoints that it has now, whatever is appended afterwards."""
        return replace(self, seen=self._checkpoints() or b"")

    def last_checkpoint(self) -> Checkpoint | None:
        """The newest whole checkpoint, with the server's signature verified.

        Raises
        ------
        HomeError
            If it is none of the server's, or more stands after it than a writer leaves who was killed.
        """
        file = self.folder / CHECKPOINTS
        tail = self._tail()
        if tail is None:
            return None
        notes, torn = split_notes(tail.decode("utf-8", "replace"))
        begins = FIRST_LINE.startswith(torn[: len(FIRST_LINE)])
        if not begins or (not notes and len(torn) >= _TAIL):
            raise BrokenHomeError.of("home_ends", file=file)
        if not notes:
            return None
        try:
            found = parse_note(notes[-1])
            found.verify(self.server_key)
        except SignatureError as error:
            raise BrokenHomeError.of("home_altered", file=file, problem=error) from error
        return found

    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints, oldest first, their signatures not verified."""
        content = (self._checkpoints() or b"").decode("utf-8", "replace")
        notes, torn = split_notes(content)
        if "".join(notes) + torn != content:
            raise BrokenHomeError.of("home_begins", file=self.folder / CHECKPOINTS)
        try:
            return [parse_note(note) for note in notes]
        except SignatureError as error:
            raise BrokenHomeError.of("home_altered", file=self.folder / CHECKPOINTS, problem=error) from error

    def verify_checkpoints(self) -> None:
        """Refuse checkpoints of which one is not signed by the server's key; raises HomeError."""
        key = self.server_key
        try:
            for checkpoint in self.checkpoints():
                checkpoint.verify(key)
        except SignatureError as error:
            raise BrokenHomeError.of("home_altered", file=self.folder / CHECKPOINTS, problem=error) from error

    def checkpointed_rows(self) -> list[tuple[str, str, str]]:
        """Ledger, number of rows and last hash of every whole checkpoint, oldest first, as they are written.

        They are read in one pass.

        Raises
        ------
        HomeError
            If one of them does not begin with them.
        """
        content = self._checkpoints() or b""
        notes = content[: _whole_bytes(content)].decode("utf-8", "replace")
        found: list[tuple[str, str, str]] = STATES.findall(notes)
        if len(found) != notes.count(FIRST_LINE):
            raise BrokenHomeError.of("home_no_checkpoint", file=self.folder / CHECKPOINTS)
        return found

    def append_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Append a checkpoint for good; what a killed writer has left of one is cut off first.

        The caller holds the lock.
        """
        file = self.folder / CHECKPOINTS
        size = _whole_bytes(self._checkpoints() or b"")
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.truncate(size)
            opened.seek(size)
            opened.write(checkpoint.note.encode())
            opened.flush()
            os.fsync(opened.fileno())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home against other processes that write it."""
        with FileLock(self.folder / ".lock", timeout=30):
            yield

    def export(self) -> bytes:
        """All files as one document; it holds the server's private key."""
        self.require()
        files = {name: self._read(name).decode() for name in FILES if (self.folder / name).is_file()}
        return json.dumps(
            {"dosvotos home": 1, "genesis": self.folder.name, "files": files}, indent=1
        ).encode()

    def _checkpoints(self) -> bytes | None:
        """All checkpoints; None before the first."""
        if self.seen is not None:
            return self.seen
        return self._read(CHECKPOINTS) if os.path.lexists(self.folder / CHECKPOINTS) else None

    def _tail(self) -> bytes | None:
        """The end of the checkpoints; raises HomeError if they are no regular file."""
        if self.seen is not None or not os.path.lexists(self.folder / CHECKPOINTS):
            return self.seen and self.seen[-_TAIL:]
        try:
            with open_regular_file(self.folder / CHECKPOINTS) as opened:
                opened.seek(max(0, os.fstat(opened.fileno()).st_size - _TAIL))
                return opened.read(_TAIL)
        except FileError as error:
            raise BrokenHomeError.of("home_altered", file="home", problem=error) from error

    def _public(self, name: str) -> PublicKey:
        try:
            return parse_public_key(self._read(name).decode())
        except SignatureError as error:
            raise BrokenHomeError.of("home_altered", file=self.folder / name, problem=error) from error

    def _write_key(self, name: str, signer: KeySigner) -> None:
        self._write(f"{name}.pub", f"{signer.public_key.line} {name}@{self.folder.name}\n".encode())
        self._write(name, signer.private_bytes)

    def _read(self, name: str) -> bytes:
        try:
            return read_regular_file(self.folder / name, _MAX_BYTES)
        except FileError as error:
            raise BrokenHomeError.of("home_altered", file="home", problem=error) from error

    def _write(self, name: str, content: bytes) -> None:
        """Put a file in place in one step, its owner's alone."""
        write_file(self.folder / name, content, mode=0o600)


def homes_folder() -> Path:
    """The folder of all homes: DOSVOTOS_HOME, by default ``~/.config/dosvotos``."""
    if named := os.environ.get(HOME_VARIABLE, "").strip():
        return Path(named).expanduser().absolute()
    try:
        return Path.home() / ".config/dosvotos"
    except RuntimeError as error:
        raise HomeError.of("home_nowhere", variable=HOME_VARIABLE) from error


def home_of(genesis_id: str) -> Home:
    """The home of a ledger, made or not."""
    if Path(genesis_id).name != genesis_id or genesis_id.startswith("."):
        raise BrokenHomeError.of("genesis_id", found=repr(genesis_id))
    return Home(homes_folder() / genesis_id)


def import_home(content: bytes) -> Home:
    """Put an exported home in place.

    Raises
    ------
    HomeError
        If it is no exported home, or one stands there already.
    """
    try:
        found = json.loads(content)
        genesis, files = str(found["genesis"]), found["files"]
        known = found["dosvotos home"] == 1 and isinstance(files, dict) and {*files} <= {*FILES}
    except (ValueError, KeyError, TypeError) as error:
        raise HomeError(
            "home: a file that 'dosvotos home export' wrote expected; export it again, or name that file"
        ) from error
    if not known or SERVER not in files or not all(isinstance(text, str) for text in files.values()):
        raise HomeError(
            "home: a file that 'dosvotos home export' wrote expected; export it again, or name that file"
        )
    home = home_of(genesis)
    if home.folder.exists():
        raise HomeError(f"{home.folder}: stands already; it is not overwritten. Move it away first")
    _place(home, files)
    return home


def _place(home: Home, files: Mapping[str, str]) -> None:
    try:
        home.folder.mkdir(mode=0o700, parents=True)
        for name in sorted(files, key=lambda one: one == SERVER):  # with the server's key it is complete
            home._write(name, files[name].encode())
    except OSError as error:
        raise HomeError(
            f"{home.folder}: cannot be made: {error.strerror}; correct its permissions, or set "
            f"{HOME_VARIABLE}"
        ) from error


def _whole_bytes(content: bytes) -> int:
    """Count the bytes of the whole checkpoints."""
    end = FOOTER_LINE.encode()
    return content.rfind(end) + len(end) if end in content else 0
