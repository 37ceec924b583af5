"""How special tokens stand around texts, read off the engine once.

The engine frames encodings of its own making only. For ids that come from elsewhere the frame is
found by letting it frame a probe and seeing what stands around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tokenizers

__all__ = ["Frame", "read_frame"]

_PROBES = ("a", "1", ".", "中")  # one of them is a token, or an unknown one, in any vocabulary


class _Piece(NamedTuple):
    sequence: int | None  # which text stands here; None: the special token ``token_id``
    token_id: int
    type_id: int


class Frame(NamedTuple):
    """Special tokens and the places of one text, or two, in order."""

    pieces: tuple[_Piece, ...]

    def ids(self, *texts: Sequence[int]) -> list[int]:
        """Put special tokens around ids."""
        framed: list[int] = []
        for piece in self.pieces:
            framed += [piece.token_id] if piece.sequence is None else texts[piece.sequence]
        return framed

    def type_ids(self, *texts: Sequence[int]) -> list[int]:
        """Give the type of each token that ``ids`` gives."""
        types: list[int] = []
        for piece in self.pieces:
            types += [piece.type_id] * (1 if piece.sequence is None else len(texts[piece.sequence]))
        return types

    def special_mask(self, *texts: Sequence[int]) -> list[int]:
        """Give 1 for each special token that ``ids`` gives, 0 for the others."""
        mask: list[int] = []
        for piece in self.pieces:
            mask += [1] if piece.sequence is None else [0] * len(texts[piece.sequence])
        return mask


def read_frame(engine: tokenizers.Tokenizer, *, pair: bool) -> Frame:
    """See what the engine puts around one text, or a pair.

    Args:
        engine: without truncation and padding.
        pair: whether two texts are framed.

    """
    plain = next(
        (text for text in _PROBES if engine.encode(text, add_special_tokens=False).ids), ""
    )
    encoding = engine.encode(plain, plain) if pair else engine.encode(plain)
    pieces: list[_Piece] = []
    columns = zip(encoding.sequence_ids, encoding.ids, encoding.type_ids, strict=True)
    for sequence, token_id, type_id in columns:
        if sequence is None:
            pieces.append(_Piece(None, token_id, type_id))
        elif not pieces or pieces[-1].sequence != sequence:
            pieces.append(_Piece(sequence, 0, type_id))
    return Frame(tuple(pieces))
