"""SentencePiece's model file, read without its library or protobuf.

The file is one protocol buffer message. Of its fields these are wanted; all others are skipped:

=========================  ==========================================================
field                      what it is
=========================  ==========================================================
1 pieces                   1 text, 2 score, 3 kind (see ``PieceKind``); many
2 trainer_spec             3 algorithm, 35 byte fallback, 40 id of <unk>, 45 its text
3 normalizer_spec          2 precompiled character map, 3 whether a space goes before
=========================  ==========================================================

Everything that a reader trusts later is bounded here: the numbers below are some ten times what
the largest published model has.

Source: google/sentencepiece ``src/sentencepiece_model.proto``; the wire format is that of
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from hubloader.errors import CorruptFile, UnsafeFile
from hubloader.tokenizers.charsmap import check_charsmap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.types import FileSet

__all__ = [
    "Algorithm",
    "Piece",
    "PieceKind",
    "SentencePieceModel",
    "parse_sentencepiece_model",
    "read_model_bytes",
]

MAX_MODEL_BYTES = 64 << 20
_MAX_PIECES = 1 << 20
_MAX_PIECE_BYTES = 1024

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ID_MASK = (1 << 32) - 1


class PieceKind(IntEnum):
    """What a piece is for."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Algorithm(IntEnum):
    """How a text is cut into pieces."""

    UNIGRAM = 1
    BPE = 2
    WORD = 3
    CHAR = 4


class Piece(NamedTuple):
    """One entry of the vocabulary; its place is its id."""

    text: str
    score: float
    kind: PieceKind


@dataclass(frozen=True)
class SentencePieceModel:
    """What a model file says.

    Attributes:
        pieces: the vocabulary; no text stands twice.
        algorithm: how it was trained.
        byte_fallback: whether what no piece covers becomes bytes.
        unknown_id: the id of the unknown piece.
        unknown_piece: its text.
        charsmap: the precompiled character map; empty for none.
        add_dummy_prefix: whether a space is put before a text.

    """

    pieces: tuple[Piece, ...]
    algorithm: Algorithm = Algorithm.UNIGRAM
    byte_fallback: bool = False
    unknown_id: int = 0
    unknown_piece: str = "<unk>"
    charsmap: bytes = b""
    add_dummy_prefix: bool = True


_FIRST_BYTES = 0x0A  # the key of field 1 as bytes: a piece in the file, and the text in a piece
_SCORE = b"\x15"  # the key of field 2 as four bytes
_MIN_PIECE = 8  # bytes of a piece with one letter and a score
_MAX_FLOAT = 3.5e38  # beyond what four bytes hold: what is not below it is no number
_FLOAT = struct.Struct("<f")
_USUAL_KINDS = {b"": PieceKind.NORMAL} | {bytes((0x18, kind)): kind for kind in PieceKind}


class _Field(NamedTuple):
    number: int
    wire: int
    value: int | memoryview


def read_model_bytes(files: FileSet, name: str) -> bytes:
    """Read a vocabulary file whole.

    Raises:
        UnsafeFile: it is larger than any such file has reason to be.

    """
    path = files.path(name)
    size = os.stat(path).st_size
    if size > MAX_MODEL_BYTES:
        raise UnsafeFile(
            f"{files.describe(name)} has {size} bytes, more than the {MAX_MODEL_BYTES} allowed",
            filename=name,
        )
    with open(path, "rb") as stream:
        return stream.read(MAX_MODEL_BYTES + 1)


def parse_sentencepiece_model(raw: bytes) -> SentencePieceModel:
    """Read and check the bytes of a model file.

    Raises:
        CorruptFile: they are no such file, or a damaged one; says where.
        UnsafeFile: something in it is beyond its bound.

    """
    pieces, position = _usual_pieces(raw)
    trainer, normalizer = _Trainer(), _Normalizer()
    for field in _fields(memoryview(raw)[position:]):
        if field.number == 1:
            pieces.append(_piece(_bytes(field), len(pieces)))
            if len(pieces) > _MAX_PIECES:
                raise UnsafeFile(f"it has more than {_MAX_PIECES} pieces")
        elif field.number == 2:
            trainer.merge(_bytes(field))
        elif field.number == 3:
            normalizer.merge(_bytes(field))
    model = SentencePieceModel(
        pieces=tuple(pieces),
        algorithm=_algorithm(trainer.model_type),
        byte_fallback=trainer.byte_fallback,
        unknown_id=trainer.unknown_id,
        unknown_piece=trainer.unknown_piece,
        charsmap=normalizer.charsmap,
        add_dummy_prefix=normalizer.add_dummy_prefix,
    )
    _check(model)
    return model


def _check(model: SentencePieceModel) -> None:
    if not model.pieces:
        raise CorruptFile("it has no pieces")
    seen: set[str] = set()
    for index, piece in enumerate(model.pieces):
        if piece.text in seen:
            raise CorruptFile(f"piece {index} ({piece.text!r}) stands in it twice")
        seen.add(piece.text)
    if not 0 <= model.unknown_id < len(model.pieces):
        raise CorruptFile(
            f"the unknown piece is number {model.unknown_id} of {len(model.pieces)} pieces"
        )
    if model.charsmap:
        check_charsmap(model.charsmap)


class _Trainer:
    """The parts of trainer_spec; a second one in the file adds to the first, as protobuf has it."""

    def __init__(self) -> None:
        self.model_type = int(Algorithm.UNIGRAM)
        self.byte_fallback = False
        self.unknown_id = 0
        self.unknown_piece = "<unk>"

    def merge(self, raw: memoryview) -> None:
        for field in _fields(raw):
            if field.number == 3:
                self.model_type = _int(field)
            elif field.number == 35:
                self.byte_fallback = bool(_int(field))
            elif field.number == 40:
                self.unknown_id = _signed(_int(field))
            elif field.number == 45:
                self.unknown_piece = _text(_bytes(field), "the name of the unknown piece")


class _Normalizer:
    """The parts of normalizer_spec."""

    def __init__(self) -> None:
        self.charsmap = b""
        self.add_dummy_prefix = True

    def merge(self, raw: memoryview) -> None:
        for field in _fields(raw):
            if field.number == 2:
                self.charsmap = bytes(_bytes(field))
            elif field.number == 3:
                self.add_dummy_prefix = bool(_int(field))


def _usual_pieces(raw: bytes) -> tuple[list[Piece], int]:
    """Read the pieces at the beginning, as long as each is written in the usual way.

    That is: text, score, and the kind unless it is the normal one, all lengths in one byte. It is a
    fifth of the time of reading every field by itself, which is what is done from the first piece
    on that is written otherwise. Gives the pieces and the position after them.
    """
    pieces: list[Piece] = []
    position, last = 0, len(raw) - 2
    while position < last and raw[position] == _FIRST_BYTES and len(pieces) < _MAX_PIECES:
        start, end = position + 2, position + 2 + raw[position + 1]
        if raw[position + 1] < _MIN_PIECE or raw[position + 1] > 0x7F or end > len(raw):
            break
        after = start + 2 + raw[start + 1]  # where the score begins, if the text begins here
        kind = _USUAL_KINDS.get(raw[after + 5 : end]) if after + 5 <= end else None
        if raw[start] != _FIRST_BYTES or raw[after : after + 1] != _SCORE or kind is None:
            break
        score: float = _FLOAT.unpack_from(raw, after + 1)[0]
        try:
            text = str(raw[start + 2 : after], "utf-8")
        except UnicodeDecodeError:
            break
        if not text or not -_MAX_FLOAT <= score <= _MAX_FLOAT:
            break
        pieces.append(Piece(text, score, kind))
        position = end
    return pieces, position


def _piece(raw: memoryview, index: int) -> Piece:
    text, score, kind = "", 0.0, int(PieceKind.NORMAL)
    for field in _fields(raw):
        if field.number == 1:
            text = _text(_bytes(field), f"piece {index}")
        elif field.number == 2:
            score = _float(field)
        elif field.number == 3:
            kind = _int(field)
    if not text:
        raise CorruptFile(f"piece {index} is empty")
    if not math.isfinite(score):
        raise CorruptFile(f"piece {index} ({text!r}) has the score {score}")
    try:
        return Piece(text, score, PieceKind(kind))
    except ValueError:
        raise CorruptFile(f"piece {index} ({text!r}) is of the unknown kind {kind}") from None


def _algorithm(number: int) -> Algorithm:
    try:
        return Algorithm(number)
    except ValueError:
        raise CorruptFile(f"its algorithm has the unknown number {number}") from None


def _fields(raw: memoryview) -> Iterator[_Field]:
    """Give the fields of one message in order."""
    position, end = 0, len(raw)
    while position < end:
        key, position = _varint(raw, position)
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if not 0 < number < 1 << 29:
            raise CorruptFile(f"a field has the impossible number {number}")
        if wire == _VARINT:
            value, position = _varint(raw, position)
        elif wire in {_BYTES, _FIXED32, _FIXED64}:
            if wire == _BYTES:
                size, position = _varint(raw, position)
            else:
                size = 4 if wire == _FIXED32 else 8
            if size > end - position:
                raise CorruptFile(f"field {number} goes {size - (end - position)} bytes too far")
            value = raw[position : position + size]
            position += size
        else:
            raise CorruptFile(f"field {number} is of the unknown wire type {wire}")
        yield _Field(number, wire, value)


def _varint(raw: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(raw):
            raise CorruptFile("it ends inside a number")
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), position
    raise CorruptFile("a number in it is longer than ten bytes")


def _int(field: _Field) -> int:
    if field.wire != _VARINT or not isinstance(field.value, int):
        raise CorruptFile(f"field {field.number} is not a whole number")
    return field.value


def _signed(value: int) -> int:
    """Read a varint as protobuf's int32, which is what its low 32 bits say."""
    low = value & _ID_MASK
    return low - (1 << 32) if low >> 31 else low


def _float(field: _Field) -> float:
    if field.wire != _FIXED32 or isinstance(field.value, int):
        raise CorruptFile(f"field {field.number} is not a number of four bytes")
    return float(struct.unpack("<f", field.value)[0])


def _bytes(field: _Field) -> memoryview:
    if field.wire != _BYTES or isinstance(field.value, int):
        raise CorruptFile(f"field {field.number} is not a run of bytes")
    return field.value


def _text(raw: memoryview, what: str) -> str:
    if len(raw) > _MAX_PIECE_BYTES:
        raise UnsafeFile(f"{what} has {len(raw)} bytes, more than {_MAX_PIECE_BYTES}")
    try:
        return bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise CorruptFile(f"{what} is not UTF-8") from None
