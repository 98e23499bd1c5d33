"""Those who sign: a key in a file of ours, or OpenSSH for agents and security keys."""

import base64
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from dosvotos.errors import FileError, KeyFileError, SignatureError
from dosvotos.files import read_regular_file
from dosvotos.refusals import Phrase
from dosvotos.signing.keys import PublicKey, checked_key, parse_public_key, ssh_signature
from dosvotos.signing.sshsig import SshSignature, signed_bytes, verify_signature
from dosvotos.signing.wire import WireReader, mpint

MAX_KEY_BYTES: Final = 64 * 1024
_PRIVATE: Final = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_KEYGEN_SECONDS: Final = 120
"""A security key waits for its touch."""
_PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Signer(Protocol):
    """Somebody's key, ready to sign."""

    @property
    def public_key(self) -> PublicKey:
        """The key's public half."""
        ...

    def sign(self, message: bytes, namespace: str) -> str:
        """Give the armored signature of a message."""
        ...


@dataclass(frozen=True)
class KeySigner:
    """A private key in memory."""

    private_key: _PrivateKey

    @property
    def public_key(self) -> PublicKey:
        """The key's public half."""
        written = self.private_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        return parse_public_key(written.decode())

    @property
    def private_bytes(self) -> bytes:
        """The key as OpenSSH's private key file, without a passphrase."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())

    def sign(self, message: bytes, namespace: str) -> str:
        """Give the armored signature of a message."""
        key = self.public_key
        return SshSignature(key, namespace, "sha512", self._signed(signed_bytes(message, namespace))).armored

    def _signed(self, content: bytes) -> bytes:
        key, kind = self.private_key, self.public_key.kind
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return ssh_signature(kind, key.sign(content))
        if isinstance(key, rsa.RSAPrivateKey):
            return ssh_signature("rsa-sha2-512", key.sign(content, padding.PKCS1v15(), hashes.SHA512()))
        algorithm = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]
        numbers = decode_dss_signature(key.sign(content, ec.ECDSA(algorithm)))
        return ssh_signature(kind, b"".join(map(mpint, numbers)))


@dataclass(frozen=True)
class KeygenSigner:
    """A key that only OpenSSH can use: in an agent, or on a security key."""

    file: Path
    """The public key's file, or the private one's of a security key."""
    public_key: PublicKey

    def sign(self, message: bytes, namespace: str) -> str:
        """Let ``ssh-keygen -Y sign`` sign; it asks for passphrase, PIN or touch itself.

        Raises
        ------
        SignatureError
            If OpenSSH is not installed, or did not sign.
        """
        program = shutil.which("ssh-keygen")
        if program is None:
            raise SignatureError(
                f"{self.file}: {self.public_key.kind} signs through OpenSSH, and ssh-keygen is not on PATH; "
                "install it (Debian: apt-get install openssh-client), or use an ed25519 key in a file"
            )
        command = [program, "-Y", "sign", "-n", namespace, "-f", str(self.file)]
        try:
            done = subprocess.run(
                command, input=message, capture_output=True, timeout=_KEYGEN_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise SignatureError(
                f"{self.file}: ssh-keygen had not signed after {_KEYGEN_SECONDS} s; nothing was decided. Run "
                "it again"
            ) from error
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise SignatureError(
                f"{self.file}: ssh-keygen did not sign: {lines[-1] if lines else 'without a word'}; "
                "'ssh-add -l' lists what the agent holds"
            )
        armored = done.stdout.decode("ascii", "replace")
        if verify_signature(armored, message, namespace) != self.public_key:
            raise SignatureError(
                f"{self.file}: ssh-keygen signed with another key; name the right file with --sign-key"
            )
        return armored


def new_signer() -> KeySigner:
    """Make a new ed25519 key."""
    return KeySigner(ed25519.Ed25519PrivateKey.generate())


def load_signer(content: bytes, name: str, passphrase: Callable[[], str] | None = None) -> KeySigner:
    """Read a private key as OpenSSH writes it.

    Parameters
    ----------
    content : bytes
    name : str
        Of the file, for messages.
    passphrase : callable, optional
        Asks for the passphrase of an encrypted key.

    Raises
    ------
    SignatureError
        If it is no such key, or its passphrase is missing or wrong.
    """
    secret = None
    if is_encrypted(content):
        if passphrase is None:
            raise SignatureError.of("key_passphrase", file=name)
        secret = passphrase().encode()
    try:
        key = load_ssh_private_key(content, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = Phrase.of("wrong_passphrase") if secret is not None else error
        raise SignatureError.of("key_unreadable", file=name, problem=why) from error
    if not isinstance(key, _PrivateKey):
        raise KeyFileError.of("key_private_kind", file=name, kind=type(key).__name__)
    signer = KeySigner(key)
    checked_key(signer.public_key)
    return signer


def is_encrypted(content: bytes) -> bool:
    """Tell whether a private key's file has a passphrase."""
    body = b"".join(content.strip().removeprefix(_PRIVATE).split(b"-----")[0].split())
    try:
        reader = WireReader(base64.b64decode(body))
        reader.take(len(b"openssh-key-v1\0"))
        return reader.string() != b"none"
    except (ValueError, SignatureError):
        return False


def open_signer(file: Path, passphrase: Callable[[], str] | None = None) -> Signer:
    """Open a person's key by its private or its public file.

    A public file alone means a key in the agent; so does the private file of a security key.

    Raises
    ------
    SignatureError
        If there is no such key.
    """
    content = _read_key(file)
    if content.lstrip().startswith(_PRIVATE):
        public = file.with_name(f"{file.name}.pub")
        if public.is_file() and (key := read_public_key(public)).is_on_security_key:
            return KeygenSigner(file, key)
        return load_signer(content, str(file), passphrase)
    key = read_public_key(file)
    private = file.with_suffix("")
    if file.suffix == ".pub" and private.is_file() and not key.is_on_security_key:
        signer = open_signer(private, passphrase)
        if signer.public_key != key:
            raise SignatureError(
                f"{private}: is not the private half of {file}; put the two that belong together side by side"
            )
        return signer
    return KeygenSigner(file, key)


def read_public_key(file: Path) -> PublicKey:
    """Read a ``.pub`` file, or the public half that stands beside a private one."""
    content = _read_key(file)
    if content.lstrip().startswith(_PRIVATE):
        beside = file.with_name(f"{file.name}.pub")
        return read_public_key(beside) if beside.is_file() else load_signer(content, str(file)).public_key
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    if len(lines) != 1:
        raise KeyFileError(f"{file}: one public key expected, found {len(lines)} lines")
    return parse_public_key(lines[0])


def _read_key(file: Path) -> bytes:
    try:
        return read_regular_file(file.resolve(), MAX_KEY_BYTES)
    except FileError as error:
        raise SignatureError(f"key: {error}; make one with: ssh-keygen -t ed25519") from error
