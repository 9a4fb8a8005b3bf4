"""What a TLS server agrees to, asked by hand: ClientHellos that no library of this machine would send any more.

A library that refuses to offer TLS 1.0 or RC4 itself proves nothing about the server. So these few bytes are written
here (RFC 5246, 7.4.1.2), and of the answer its first record is read: a ServerHello, or a refusal.
"""

import asyncio
import contextlib
import struct
from collections.abc import Sequence

from msgspec import Struct

WAIT_S = 5.0
VERSIONS = {"SSL 3.0": 0x0300, "TLS 1.0": 0x0301, "TLS 1.1": 0x0302, "TLS 1.2": 0x0303}

MODERN = (0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9)
"""ECDHE with AES-GCM or ChaCha20-Poly1305."""
WEAK: dict[str, tuple[int, ...]] = {
    "no encryption": (0x0001, 0x0002, 0x003B, 0xC001, 0xC006, 0xC010),
    "no authentication": (0x0018, 0x0034, 0x003A, 0x006C, 0x00A6, 0x00A7, 0xC018, 0xC019),
    "export": (0x0003, 0x0006, 0x0008, 0x000B, 0x000E, 0x0014),
    "RC4": (0x0004, 0x0005, 0xC002, 0xC007, 0xC011),
    "DES": (0x0009, 0x000A, 0x0015, 0x0016, 0xC008, 0xC012),
    "RSA key exchange": (0x002F, 0x0035, 0x003C, 0x003D, 0x009C, 0x009D, 0x0041, 0x0084),
    "finite-field DH": (0x0033, 0x0039, 0x0067, 0x006B, 0x009E, 0x009F, 0xCCAA),
    "CBC": (0xC009, 0xC00A, 0xC013, 0xC014, 0xC023, 0xC024, 0xC027, 0xC028),
}
"""Cipher suites that no server should agree to, by what is wrong with them."""

_ALERT, _HANDSHAKE = 21, 22
_SERVER_HELLO = 2
_GROUPS = (29, 23, 24, 25)
_SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)


class Agreed(Struct, frozen=True):
    """What the server chose; both 0 where it refused. `told` is its alert's number, or -1 where it just closed."""

    version: int = 0
    cipher: int = 0
    told: int = -1

    def __bool__(self) -> bool:
        return self.version != 0


def client_hello(version: int, ciphers: Sequence[int], random: bytes) -> bytes:
    """A ClientHello of at most `version` (0x0303: TLS 1.2) that offers these cipher suites.

    Args:
        random: 32 bytes.
    """
    extensions = b""
    if version > VERSIONS["SSL 3.0"]:
        extensions = _extension(10, _list(_GROUPS)) + _extension(11, b"\x01\x00")
        extensions += _extension(0xFF01, b"\x00")
        if version >= VERSIONS["TLS 1.2"]:
            extensions += _extension(13, _list(_SIGNATURES))
        extensions = struct.pack("!H", len(extensions)) + extensions
    body = struct.pack("!H", version) + random + b"\x00" + _list(ciphers) + b"\x01\x00" + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return struct.pack("!BHH", _HANDSHAKE, min(version, VERSIONS["TLS 1.0"]), len(handshake)) + handshake


def _list(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"!H{len(numbers)}H", 2 * len(numbers), *numbers)


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack("!HH", kind, len(data)) + data


def agreed(answer: bytes) -> Agreed:
    """What the first record of a server's answer says."""
    if len(answer) >= 7 and answer[0] == _ALERT:
        return Agreed(told=answer[6])
    if len(answer) < 46 or answer[0] != _HANDSHAKE or answer[5] != _SERVER_HELLO:
        return Agreed()
    version = int.from_bytes(answer[9:11], "big")
    at = 44 + answer[43]
    return Agreed(version, int.from_bytes(answer[at : at + 2], "big"))


async def ask(host: str, port: int, version: int, ciphers: Sequence[int]) -> Agreed:
    """What the server makes of such a client.

    Raises:
        OSError: nothing listens there.
    """
    reader, writer = await asyncio.open_connection(host, port)
    answer = b""
    try:
        writer.write(client_hello(version, ciphers, bytes(range(32))))
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while len(answer) < 5 or len(answer) < 5 + int.from_bytes(answer[3:5], "big"):
                    data = await reader.read(4_096)
                    if not data:
                        break
                    answer += data
    finally:
        writer.close()
    return agreed(answer)
