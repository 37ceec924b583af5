"""SentencePiece pieces become the engine's model: Unigram as it is, BPE with merges worked out.

A SentencePiece BPE model has no list of merges: any two pieces that join to a third may be merged,
the best-scored third first. The engine wants the list.

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: SpmConverter, generate_merges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE, Unigram

from hubloader.errors import CorruptFile, FormatError, UnknownTokenizer
from hubloader.tokenizers.merging import check_merges, check_tokens, splits_of
from hubloader.tokenizers.sentencepiece_model import (
    Algorithm,
    PieceKind,
    SentencePieceModel,
    parse_sentencepiece_model,
    read_model_bytes,
)
from hubloader.tokenizers.vocabulary_format import VocabularyFormat, sniff_vocabulary

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hubloader.types import FileSet

__all__ = [
    "Scored",
    "make_engine",
    "merges_of",
    "model_from",
    "read_sentencepiece_model",
]

Scored = tuple[str, float]
"""A piece and its score, as the engine takes them."""

_ADDED = (PieceKind.CONTROL, PieceKind.USER_DEFINED)


def read_sentencepiece_model(files: FileSet, name: str) -> SentencePieceModel:
    """Read a model file of the repository.

    Raises:
        CorruptFile: it is damaged; says where.
        UnsafeFile: something in it is beyond its bound.
        UnknownTokenizer: it is another format's file; says which.

    """
    return model_from(read_model_bytes(files, name), files, name)


def model_from(raw: bytes, files: FileSet, name: str) -> SentencePieceModel:
    """Read a model file of the repository whose bytes are at hand; raises as the above."""
    found = sniff_vocabulary(raw)
    if found not in {VocabularyFormat.SENTENCEPIECE, VocabularyFormat.UNKNOWN}:
        raise UnknownTokenizer(
            f"{files.describe(name)} is {found.value}, not a SentencePiece model",
            hint=found.hint,
            filename=name,
        )
    try:
        return parse_sentencepiece_model(raw)
    except FormatError as error:
        raise type(error)(
            f"{files.describe(name)} is not a SentencePiece model that can be used: "
            f"{error.message}",
            hint="fetch the file again, or look for a tokenizer.json of the same tokenizer",
            filename=name,
        ) from None


def make_engine(
    model: SentencePieceModel,
    vocabulary: Sequence[Scored],
    *,
    unknown_id: int,
    byte_fallback: bool = False,
    special: Collection[str] = (),
    aliases: Mapping[str, str] | None = None,
) -> Tokenizer:
    """Make an engine without its normalizer and the other parts.

    Args:
        model: what the file says.
        vocabulary: pieces and scores by id, as the family has them.
        unknown_id: the id of the unknown piece in ``vocabulary``.
        byte_fallback: whether what no piece covers becomes bytes.
        special: user-defined pieces that are special tokens all the same.
        aliases: pieces that stand in for another one when merges are worked out.

    Raises:
        CorruptFile: the vocabulary lacks the unknown piece, and may need it.
        UnknownTokenizer: the model was trained with an algorithm that no engine runs.
        UnsafeFile: its merges are too many.

    """
    if model.algorithm is Algorithm.UNIGRAM:
        engine = Tokenizer(
            Unigram(list(vocabulary), unk_id=unknown_id, byte_fallback=byte_fallback)
        )
    elif model.algorithm is Algorithm.BPE:
        _check_unknown(model, {text for text, _ in vocabulary}, byte_fallback=byte_fallback)
        ids = {piece.text: index for index, piece in enumerate(model.pieces)}
        for text, stands_for in (aliases or {}).items():
            if stands_for in ids:
                ids.setdefault(text, ids[stands_for])
        engine = Tokenizer(
            BPE(
                {text: index for index, (text, _) in enumerate(vocabulary)},
                merges_of(ids, dict(vocabulary)),
                unk_token=model.unknown_piece,
                fuse_unk=True,
                byte_fallback=byte_fallback,
                dropout=None,
            )
        )
    else:
        raise UnknownTokenizer(
            f"the SentencePiece model was trained with the algorithm {model.algorithm.name}; "
            "only UNIGRAM and BPE are run here"
        )
    engine.add_tokens(
        [
            AddedToken(
                piece.text,
                normalized=False,
                special=piece.kind is PieceKind.CONTROL or piece.text in special,
            )
            for piece in model.pieces
            if piece.kind in _ADDED
        ]
    )
    return engine


def _check_unknown(
    model: SentencePieceModel, texts: Collection[str], *, byte_fallback: bool
) -> None:
    """See that there is something for what no piece covers: the engine gives up at a text."""
    covered = byte_fallback and all(
        f"<0x{byte:02X}>" in texts or (byte < 0x80 and chr(byte) in texts) for byte in range(256)
    )
    if not covered and model.unknown_piece not in texts:
        raise CorruptFile(
            f"its unknown piece {model.unknown_piece!r} is not in the vocabulary",
            hint="fetch the file again, or look for a tokenizer.json of the same tokenizer",
        )


def merges_of(ids: Mapping[str, int], scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """Work out the merges of a BPE vocabulary, best first.

    Args:
        ids: the pieces that can be merged.
        scores: the pieces that merges make, in order of their ids, and how good they are.

    Raises:
        UnsafeFile: it would be too much work, or there are too many.

    """
    check_tokens(scores)
    own = {text: text for text in ids}
    found: list[tuple[float, int, int, str, str]] = []
    for text, score in scores.items():
        pairs = splits_of(text, own)
        if len(pairs) > 1:
            pairs.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        found += [(score, len(left), len(right), left, right) for left, right in pairs]
        check_merges(len(found))
    found.sort(key=lambda merge: merge[:3], reverse=True)
    return [(left, right) for _, _, _, left, right in found]
