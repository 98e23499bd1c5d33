"""Signatures against stock OpenSSH, both ways, and every way to change one."""

import base64
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dosvotos.errors import SignatureError
from dosvotos.hashing import raw_digest
from dosvotos.signing.keys import PublicKey, parse_public_key, ssh_signature
from dosvotos.signing.signers import KeygenSigner, new_signer, open_signer, read_public_key
from dosvotos.signing.sshsig import (
    LOG_NAMESPACE,
    VOTE_NAMESPACE,
    SshSignature,
    parse_signature,
    signed_bytes,
    verify_signature,
)
from dosvotos.signing.wire import mpint, string

MESSAGE = b"dosvotos decision v1\ninstrument: USD/COP\n"
KINDS = (("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048"))
APPLICATION = b"ssh:"

needs_openssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs ssh-keygen (Debian: openssh-client)"
)


def keygen(*arguments: Any, content: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(command, input=content, capture_output=True, check=False)


def made_key(folder: Path, kind: str, bits: str, passphrase: str = "") -> Path:
    file = folder / f"key_{kind}_{bits}"
    done = keygen("-q", "-t", kind, "-b", bits, "-N", passphrase, "-C", "ana@desk", "-f", file)
    assert done.returncode == 0, done.stderr
    return file


def stock_accepts(folder: Path, armored: str, key: PublicKey, namespace: str = VOTE_NAMESPACE) -> bool:
    """Let OpenSSH judge a signature of MESSAGE."""
    (folder / "allowed").write_text(f"ana {key.line}\n")
    (folder / "signature").write_text(armored)
    paths = ("-f", folder / "allowed", "-s", folder / "signature")
    return keygen("-Y", "verify", "-I", "ana", "-n", namespace, *paths, content=MESSAGE).returncode == 0


@needs_openssh
@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_openssh_accepts_what_we_sign_and_we_what_openssh_signs(tmp_path, kind, bits):
    file = made_key(tmp_path, kind, bits)
    signer = open_signer(file)
    assert signer.public_key == read_public_key(tmp_path / f"{file.name}.pub")
    own = signer.sign(MESSAGE, VOTE_NAMESPACE)
    assert stock_accepts(tmp_path, own, signer.public_key)
    stock = keygen("-Y", "sign", "-n", VOTE_NAMESPACE, "-f", file, content=MESSAGE).stdout.decode()
    assert verify_signature(stock, MESSAGE, VOTE_NAMESPACE) == signer.public_key
    assert parse_signature(stock).armored == stock
    if kind != "ecdsa":  # whose signatures hold a random number
        assert own == stock


@needs_openssh
def test_through_openssh_a_key_that_only_it_can_use_signs(tmp_path):
    file = made_key(tmp_path, "ed25519", "256")
    signer = KeygenSigner(file, read_public_key(file))
    assert (
        verify_signature(signer.sign(MESSAGE, VOTE_NAMESPACE), MESSAGE, VOTE_NAMESPACE) == signer.public_key
    )
    file.unlink()
    with pytest.raises(SignatureError, match=r"ssh-keygen did not sign: .*; 'ssh-add -l'"):
        signer.sign(MESSAGE, VOTE_NAMESPACE)


def test_without_openssh_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "id_ed25519_sk.pub"
    file.write_text(security_key("ed25519").key.line)
    signer = open_signer(file)
    assert isinstance(signer, KeygenSigner)
    with pytest.raises(
        SignatureError, match=r"sk-ssh-ed25519@openssh.com signs .* apt-get install openssh-client"
    ):
        signer.sign(MESSAGE, VOTE_NAMESPACE)


@needs_openssh
def test_a_key_with_a_passphrase_asks_for_it(tmp_path):
    file = made_key(tmp_path, "ed25519", "256", passphrase="correct horse")
    signer = open_signer(file, lambda: "correct horse")
    assert verify_signature(signer.sign(MESSAGE, LOG_NAMESPACE), MESSAGE, LOG_NAMESPACE) == signer.public_key
    with pytest.raises(SignatureError, match="wrong passphrase"):
        open_signer(file, lambda: "battery staple")
    with pytest.raises(SignatureError, match="nobody can be asked"):
        open_signer(file)


class SecurityKey:
    """What a FIDO key does: signs its application, flags, a counter and the message's hash."""

    def __init__(self, kind: str) -> None:
        self.secret: Any = (
            ed25519.Ed25519PrivateKey.generate()
            if kind == "ed25519"
            else ec.generate_private_key(ec.SECP256R1())
        )
        public = self.secret.public_key()
        if kind == "ed25519":
            name = "sk-ssh-ed25519@openssh.com"
            fields = [public.public_bytes(Encoding.Raw, PublicFormat.Raw)]
        else:
            name = "sk-ecdsa-sha2-nistp256@openssh.com"
            fields = [b"nistp256", public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)]
        self.key = PublicKey(name, b"".join(map(string, (name.encode(), *fields, APPLICATION))))

    def sign(self, flags: int = 1, counter: int = 7) -> SshSignature:
        tail = bytes([flags]) + counter.to_bytes(4, "big")
        digest = raw_digest(signed_bytes(MESSAGE, VOTE_NAMESPACE), "sha256")
        content = raw_digest(APPLICATION, "sha256") + tail + digest
        if isinstance(self.secret, ed25519.Ed25519PrivateKey):
            signed = self.secret.sign(content)
        else:
            numbers = decode_dss_signature(self.secret.sign(content, ec.ECDSA(hashes.SHA256())))
            signed = b"".join(map(mpint, numbers))
        return SshSignature(self.key, VOTE_NAMESPACE, "sha512", ssh_signature(self.key.kind, signed) + tail)


def security_key(kind: str) -> SecurityKey:
    return SecurityKey(kind)


@needs_openssh
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_security_key_s_signature_counts_if_it_was_touched(tmp_path, kind):
    """OpenSSH's ``-Y verify`` does not ask for the touch; we do."""
    made = security_key(kind)
    signature = made.sign().armored
    assert verify_signature(signature, MESSAGE, VOTE_NAMESPACE) == made.key == parse_public_key(made.key.line)
    assert stock_accepts(tmp_path, signature, made.key)
    untouched = made.sign(flags=0).armored
    with pytest.raises(SignatureError, match="nobody touched"):
        verify_signature(untouched, MESSAGE, VOTE_NAMESPACE)
    replayed = made.sign()
    later = replayed.signature[:-4] + (8).to_bytes(4, "big")
    with pytest.raises(SignatureError, match="not made by"):
        verify_signature(replayed._replace(signature=later).armored, MESSAGE, VOTE_NAMESPACE)


def accepted(armored: str, message: bytes = MESSAGE) -> bool:
    try:
        return verify_signature(armored, message, VOTE_NAMESPACE) is not None
    except SignatureError:
        return False


def test_no_altered_bit_of_a_signature_or_of_its_text_is_accepted():
    signer = new_signer()
    armored = signer.sign(MESSAGE, VOTE_NAMESPACE)
    begin, *body, end, _ = armored.split("\n")
    blob = base64.b64decode("".join(body))
    assert accepted(armored)
    for bit in range(8 * len(blob)):
        changed = bytearray(blob)
        changed[bit // 8] ^= 1 << bit % 8
        lines = base64.b64encode(bytes(changed)).decode()
        wrapped = [lines[n : n + 70] for n in range(0, len(lines), 70)]
        assert not accepted("\n".join((begin, *wrapped, end, ""))), f"bit {bit}"
    for bit in range(8 * len(MESSAGE)):
        changed = bytearray(MESSAGE)
        changed[bit // 8] ^= 1 << bit % 8
        assert not accepted(armored, bytes(changed))


def test_a_signature_has_one_way_to_be_written():
    armored = new_signer().sign(MESSAGE, VOTE_NAMESPACE)
    begin, *body, end, _ = armored.split("\n")
    joined = "".join(body)
    for other in (
        "\n".join((begin, joined, end)),
        "\n".join((begin, " ".join(body), end)),
        "\n".join((begin, *body, "", end)),
        "\n".join((begin, *body)),
        joined,
        "",
        armored + armored,
    ):
        assert not accepted(other)
    for same in (armored, armored.strip(), armored.replace("\n", "\r\n")):
        assert accepted(same)


def test_a_signature_for_another_namespace_counts_nothing():
    armored = new_signer().sign(MESSAGE, LOG_NAMESPACE)
    with pytest.raises(SignatureError, match="made for 'log@dosvotos', 'vote@dosvotos' is needed"):
        verify_signature(armored, MESSAGE, VOTE_NAMESPACE)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "found 'nothing'"),
        ("ssh-dss AAAAB3NzaC1kc3M= ana", "found 'ssh-dss'"),
        ("ssh-ed25519 !!! ana", "no base64"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA ana", "no ssh-ed25519 public key"),
        ('namespaces="x" ssh-ed25519 AAAA', "found 'namespaces"),
    ],
)
def test_what_is_no_key_is_refused(line, expected):
    with pytest.raises(SignatureError, match=expected):
        parse_public_key(line)


@needs_openssh
def test_a_short_rsa_key_is_refused(tmp_path):
    file = made_key(tmp_path, "rsa", "1024")
    with pytest.raises(SignatureError, match="RSA of at least 2048 bits expected, had 1024"):
        read_public_key(tmp_path / f"{file.name}.pub")
