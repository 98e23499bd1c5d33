"""An authenticator in software: makes a passkey and assertions, right ones and any wrong one."""

import base64
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from dosvotos.hashing import raw_digest
from dosvotos.signing.passkeys import Assertion, Passkey, to_base64url

PRESENT, VERIFIED, ATTESTED = 1, 4, 64


def _ecdsa() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Authenticator:
    """One passkey; each signature counts up unless `counts` is off."""

    rp_id: str = "localhost"
    origin: str = "http://localhost:8501"
    key: Any = field(default_factory=_ecdsa)
    credential: bytes = field(default_factory=lambda: os.urandom(16))
    counter: int = 0
    counts: bool = True

    @property
    def public_key(self) -> Passkey:
        return Passkey(self.rp_id, self.credential, self.cose)

    @property
    def cose(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        if isinstance(self.key, rsa.RSAPrivateKey):
            modulus = numbers.n.to_bytes(self.key.key_size // 8, "big")
            return cbor2.dumps({1: 3, 3: -257, -1: modulus, -2: numbers.e.to_bytes(3, "big")})
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})

    def sign(self, message: bytes, namespace: str = "", **changes: Any) -> str:
        """Sign a message, as a `Signer` does; `changes` are what is signed instead of what is right."""
        return self.assertion(message, **changes).written

    def assertion(self, message: bytes, **changes: Any) -> Assertion:
        self.counter += self.counts
        client = self._client("webauthn.get", raw_digest(message, "sha256"), changes)
        data = self._data(PRESENT | VERIFIED, changes)
        signed = data + raw_digest(client, "sha256")
        if isinstance(self.key, rsa.RSAPrivateKey):
            signature = self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return Assertion(self.credential, data, client, signature)

    def register(self, challenge: bytes, **changes: Any) -> dict[str, Any]:
        """Make the passkey, as ``navigator.credentials.create`` gives it without attestation."""
        client = self._client("webauthn.create", challenge, changes)
        data = self._data(PRESENT | VERIFIED | ATTESTED, changes)
        data += b"\1" * 16 + len(self.credential).to_bytes(2, "big") + self.credential + self.cose
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        named = to_base64url(self.credential)
        response = {"clientDataJSON": to_base64url(client), "attestationObject": to_base64url(attestation)}
        return {"id": named, "rawId": named, "type": "public-key", "response": response}

    def _client(self, kind: str, challenge: bytes, changes: dict[str, Any]) -> bytes:
        stated = changes.get("challenge", challenge)
        client = {
            "type": changes.get("type", kind),
            "challenge": base64.urlsafe_b64encode(stated).decode().rstrip("="),
            "origin": changes.get("origin", self.origin),
            "crossOrigin": changes.get("cross_origin", False),
            **changes.get("client", {}),
        }
        return json.dumps(client, separators=(",", ":")).encode()

    def _data(self, flags: int, changes: dict[str, Any]) -> bytes:
        counter = changes.get("counter", self.counter)
        rp_id = changes.get("rp_id", self.rp_id)
        flags = changes.get("flags", flags)
        return raw_digest(rp_id.encode(), "sha256") + bytes([flags]) + counter.to_bytes(4, "big")
