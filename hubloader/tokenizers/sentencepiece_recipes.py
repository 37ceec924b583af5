"""How the engine of each SentencePiece class is made of its model file.

The classes differ in what stands before and after the pieces in the vocabulary, in what is done to
a text before it is cut, and in what is put around it. Each is a ``Recipe``.

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: SpmConverter and the classes under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, normalizers

from hubloader.errors import CorruptFile
from hubloader.tokenizers.sentencepiece_languages import MBART50_LANGUAGES, MBART_LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubloader.tokenizers.sentencepiece_engine import Scored
    from hubloader.tokenizers.sentencepiece_model import SentencePieceModel

__all__ = ["MADE_UP", "RECIPES", "T5_RECIPE", "Recipe", "count_of", "pegasus_offset"]

MADE_UP = tuple(f"<madeupword{number}>" for number in range(7))
"""Tokens of XGLM that mean nothing."""

_SPACE = "▁"


def _pieces(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Scored]:
    del options
    return [(piece.text, piece.score) for piece in model.pieces]


def _pieces_without_number_commas(
    model: SentencePieceModel, options: Mapping[str, Any]
) -> list[Scored]:
    """Make pieces such as "4," all but unusable: the models never saw them."""
    del options
    return [
        (text, score - 100 if len(text) > 1 and text[-1] == "," and text[-2].isdigit() else score)
        for text, score, _ in model.pieces
    ]


def _fairseq(*after: str) -> Callable[[SentencePieceModel, Mapping[str, Any]], list[Scored]]:
    """Give the vocabulary that fairseq's models have around the pieces."""

    def vocabulary(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Scored]:
        before: list[Scored] = [(text, 0.0) for text in ("<s>", "<pad>", "</s>", "<unk>")]
        return before + _pieces(model, options)[3:] + [(text, 0.0) for text in after]

    return vocabulary


def _seamless(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Scored]:
    before: list[Scored] = [(text, 0.0) for text in ("<pad>", "<unk>", "<s>", "</s>")]
    return before + _pieces(model, options)[3:]


def _camembert(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Scored]:
    before: list[Scored] = [
        ("<s>NOTUSED", 0.0),
        ("<pad>", 0.0),
        ("</s>NOTUSED", 0.0),
        ("<unk>", 0.0),
        ("<unk>NOTUSED", -100.0),
    ]
    return [*before, *_pieces(model, options)[1:], ("<mask>", 0.0)]


def _t5(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Scored]:
    extra = range(count_of(options, "extra_ids", 100) - 1, -1, -1)
    return _pieces(model, options) + [(f"<extra_id_{number}>", 0.0) for number in extra]


def _pegasus(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Scored]:
    offset, mask, sent = pegasus_offset(options), options["mask_token"], options["mask_token_sent"]
    before = [
        piece.text if options.get(role) is None else str(options[role])
        for role, piece in zip(("pad_token", "eos_token"), model.pieces, strict=False)
    ]
    if sent is not None:
        before.append(str(sent))
        if mask is not None and offset > 3:
            before.append(str(mask))
    unused = [(f"<unk_{number}>", -100.0) for number in range(2, offset)]
    return [(text, 0.0) for text in before] + unused + _pieces(model, options)[2:]


_MANY_SPACES = Regex(" {2,}")


def _stripped(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Any]:
    del options
    strip = [
        normalizers.Strip(left=False, right=True),
        normalizers.Replace(_MANY_SPACES, _SPACE),
    ]
    return [*_charsmap(model), *strip]


def _quotes_first(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Any]:
    one_space = normalizers.Replace(_MANY_SPACES, " ")
    return [*_quotes(), *_letters(options), *_charsmap(model), one_space]


def _spaces_first(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Any]:
    one_space = normalizers.Replace(_MANY_SPACES, " ")
    return [*_quotes(), one_space, *_letters(options), *_charsmap(model)]


def _deberta(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Any]:
    lower = [normalizers.Lowercase()] if options["do_lower_case"] else []
    one_space = normalizers.Replace(_MANY_SPACES, " ")
    return [*lower, normalizers.Strip(), *_charsmap(model), one_space]


def _quotes() -> list[Any]:
    return [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]


def _letters(options: Mapping[str, Any]) -> list[Any]:
    steps: list[Any] = []
    if not options["keep_accents"]:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if options["do_lower_case"]:
        steps.append(normalizers.Lowercase())
    return steps


def _charsmap(model: SentencePieceModel) -> list[Any]:
    return [normalizers.Precompiled(model.charsmap)] if model.charsmap else []


@dataclass(frozen=True)
class Recipe:
    """How a class's engine is made.

    ``single`` and ``pair`` are the engine's templates, empty for nothing around a text; ``named``
    are tokens that the template names and does not use;
    ``unknown`` is the id of the unknown piece, None for what the model file says.
    """

    single: str = ""
    pair: str = ""
    named: tuple[str, ...] = ()
    vocabulary: Callable[[SentencePieceModel, Mapping[str, Any]], list[Scored]] = _pieces
    normalizer: Callable[[SentencePieceModel, Mapping[str, Any]], list[Any]] = _stripped
    unknown: int | None = None


_BERT_FRAME = ("[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")
_FAIRSEQ_FRAME = ("<s> $A </s>", "<s> $A </s> </s> $B </s>")
_T5_FRAME = ("$A </s>", "$A </s> $B </s>")
_PLAIN_FAIRSEQ = Recipe(*_FAIRSEQ_FRAME, vocabulary=_fairseq("<mask>"), unknown=3)
_ALBERT = Recipe(*_BERT_FRAME, vocabulary=_pieces_without_number_commas, normalizer=_quotes_first)
T5_RECIPE = Recipe(*_T5_FRAME, vocabulary=_t5)
RECIPES: Mapping[str, Recipe] = {
    "AlbertTokenizer": _ALBERT,
    "BarthezTokenizer": Recipe(*_FAIRSEQ_FRAME, unknown=3),
    "BigBirdTokenizer": Recipe(*_BERT_FRAME),
    "CamembertTokenizer": Recipe(*_FAIRSEQ_FRAME, vocabulary=_camembert, unknown=3),
    "DebertaV2Tokenizer": Recipe(*_BERT_FRAME, normalizer=_deberta),
    "FNetTokenizer": _ALBERT,
    "LayoutXLMTokenizer": _PLAIN_FAIRSEQ,
    "MBart50Tokenizer": Recipe(vocabulary=_fairseq(*MBART50_LANGUAGES, "<mask>"), unknown=3),
    "MBartTokenizer": Recipe(vocabulary=_fairseq(*MBART_LANGUAGES, "<mask>"), unknown=3),
    "MT5Tokenizer": T5_RECIPE,
    "NllbTokenizer": Recipe(vocabulary=_fairseq(), unknown=3),
    "PegasusTokenizer": Recipe(vocabulary=_pegasus),
    "ReformerTokenizer": Recipe(),
    "RemBertTokenizer": Recipe(*_BERT_FRAME, normalizer=_spaces_first),
    "SeamlessM4TTokenizer": Recipe(vocabulary=_seamless, unknown=1),
    "T5Tokenizer": T5_RECIPE,
    "UdopTokenizer": Recipe(*_T5_FRAME),
    "XGLMTokenizer": Recipe(
        "</s> $A",
        "</s> $A </s> </s> $B",
        named=("<s>",),
        vocabulary=_fairseq(*MADE_UP),
        unknown=3,
    ),
    "XLMRobertaTokenizer": _PLAIN_FAIRSEQ,
    "XLNetTokenizer": Recipe(
        "$A:0 <sep>:0 <cls>:2",
        "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2",
        vocabulary=_pieces_without_number_commas,
        normalizer=_quotes_first,
    ),
}


def pegasus_offset(options: Mapping[str, Any]) -> int:
    """Say how many ids stand before a Pegasus model's pieces."""
    return count_of(options, "offset", 103)


def count_of(options: Mapping[str, Any], name: str, usual: int) -> int:
    """Read a number of tokens; more than a vocabulary could hold is nonsense."""
    value = options.get(name)
    if value is None:
        return usual
    if not isinstance(value, int) or not 0 <= value <= 1 << 16:
        raise CorruptFile(
            f"tokenizer_config.json: {name} is {value!r}, not a number of tokens",
            filename="tokenizer_config.json",
        )
    return value
