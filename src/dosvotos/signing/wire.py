"""The fields of SSH's binary formats (RFC 4251, section 5)."""

import struct
from dataclasses import dataclass

from dosvotos.errors import SignatureError


@dataclass
class WireReader:
    """Reads fields off bytes, one after the other; what does not fit raises SignatureError."""

    content: bytes
    offset: int = 0

    def take(self, length: int) -> bytes:
        """Take the next `length` bytes as they are."""
        end = self.offset + length
        if end > len(self.content):
            raise SignatureError.of("signature_cut", count=length, offset=self.offset)
        taken = self.content[self.offset : end]
        self.offset = end
        return taken

    def uint32(self) -> int:
        """Take a whole number of four bytes."""
        return int(struct.unpack(">I", self.take(4))[0])

    def string(self) -> bytes:
        """Take a field that states its length."""
        return self.take(self.uint32())

    def mpint(self) -> int:
        """Take a whole number of any length, which must not be negative."""
        field = self.string()
        number = int.from_bytes(field, "big", signed=True)
        if number < 0 or mpint(number)[4:] != field:
            raise SignatureError.of("signature_number")
        return number

    def end(self) -> None:
        """Refuse bytes that follow the last field."""
        if self.offset != len(self.content):
            raise SignatureError.of("signature_long", count=len(self.content) - self.offset)


def string(field: bytes) -> bytes:
    """Write a field with its length."""
    return struct.pack(">I", len(field)) + field


def mpint(number: int) -> bytes:
    """Write a whole number that is not negative."""
    return string(number.to_bytes((number.bit_length() + 8) // 8, "big") if number else b"")
