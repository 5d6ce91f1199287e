"""Encoding of messages as frames, used by both protocols (`protocol.py`, `viewer_protocol.py`).

A message is a msgspec struct. On the wire it is a list of frames:

    frame 0     header: a checksum (4 bytes, only in protocols that use checksums), then the struct as a msgpack array
                that begins with the name of its class
    frames 1..  raw bytes, for classes whose docstring mentions raw frames; passed on without a copy

Nothing is ever unpickled. The types of the fields bound numbers, names and lists. Decoding fails for a header that is
too long, or has an unknown class, a missing or surplus field, or a value out of bounds.
"""

import zlib
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

CHECKSUM_BYTES = 4
WORD_SUM_MIN_BYTES = 1 << 16
"""Minimum size of raw frames for which the checksum uses the sum of their 64-bit words, which is ten times as fast."""


class Message(msgspec.Struct, tag=True, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Base class of all messages."""


M = TypeVar("M", bound=Message)


class MessageCodec(Generic[M]):
    """Encodes and decodes the messages of one protocol. Immutable; each protocol has one instance.

    `messages` is the union of the protocol's message classes. Messages whose header is longer than `max_header_bytes`
    are not decoded. With `checksummed`, messages contain a checksum of the header and all raw frames, so that
    transmission errors are detected.
    """

    def __init__(self, messages: Any, max_header_bytes: int, checksummed: bool):
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: Any = msgspec.msgpack.Decoder(messages)
        self._max_header_bytes, self._checksum_bytes = max_header_bytes, CHECKSUM_BYTES if checksummed else 0

    def encode(self, message: Message, raw: Sequence[Any] = ()) -> list[Any]:
        """Returns the frames of a message: the encoded header, then the frames in `raw`."""
        header = self._encoder.encode(message)
        return [checksum(header, raw) + header if self._checksum_bytes else header, *raw]

    def decode(self, frames: Sequence[Any]) -> tuple[M, list[Any]]:
        """Returns the message and its raw frames. Raises ValueError if `frames` are not a message of this protocol."""
        if not frames or len(frames[0]) > self._max_header_bytes:
            raise ValueError("the header is missing or too long")
        header, raw = frames[0], list(frames[1:])
        if self._checksum_bytes:
            expected, header = header[: self._checksum_bytes], header[self._checksum_bytes :]
            if checksum(header, raw) != expected:
                raise ValueError("the checksum does not match")
        try:
            return self._decoder.decode(header), raw
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ValueError(str(error)) from None


def checksum(header: Any, raw: Sequence[Any]) -> bytes:
    """Computes a CRC-32 over the header and each raw frame with its length; returns 4 bytes, little endian.

    Long raw frames contribute the sum of their 64-bit words (see `WORD_SUM_MIN_BYTES`).
    """
    crc = zlib.crc32(header)
    for frame in raw:
        crc = zlib.crc32(len(frame).to_bytes(8, "little"), crc)
        if len(frame) >= WORD_SUM_MIN_BYTES:
            words = np.frombuffer(frame, np.uint64, len(frame) // 8)
            crc = zlib.crc32(int(words.sum(dtype=np.uint64)).to_bytes(8, "little"), crc)
            frame = memoryview(frame)[len(frame) // 8 * 8 :]
        crc = zlib.crc32(frame, crc)
    return crc.to_bytes(CHECKSUM_BYTES, "little")


def version_mismatch(peer: str, peer_version: int, own: str, own_version: int) -> str:
    """Returns the error message for a peer of another protocol version, with both versions and the solution."""
    return (
        f"{peer}: uses version {peer_version} of the protocol, {own} version {own_version}: "
        "install the same version of Umwelt on both"
    )
