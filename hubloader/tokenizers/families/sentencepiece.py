"""SentencePiece without byte fallback: ALBERT, T5, XLM-R and their relatives.

The classes differ in what stands before and after the pieces in the vocabulary, in what is done to
a text before it is cut, and in what is put around it. Each is a ``_Recipe`` below.

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: SpmConverter and the classes under it,
and the ``__init__`` of each slow and fast class for special tokens and their flags.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors

from hubloader.errors import CorruptFile
from hubloader.tokenizers.classes import TokenizerClass
from hubloader.tokenizers.sentencepiece_engine import (
    Scored,
    framing_id,
    make_engine,
    read_sentencepiece_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hubloader.tokenizers.sentencepiece_model import SentencePieceModel
    from hubloader.types import FileSet

__all__ = ["CLASSES", "CLASS_NAMES", "MODEL_TYPES", "build", "frame", "settle"]

_WITH_TYPES = ("input_ids", "token_type_ids", "attention_mask")
_SPACE = "▁"
_ROLES = {
    "b": "bos_token",
    "e": "eos_token",
    "u": "unk_token",
    "s": "sep_token",
    "p": "pad_token",
    "c": "cls_token",
    "m": "mask_token",
}
_ALBERT_TOKENS = "b=[CLS] e=[SEP] u=<unk> s=[SEP] p=<pad> c=[CLS] m=[MASK]"
_FAIRSEQ_TOKENS = "b=<s> e=</s> u=<unk> s=</s> p=<pad> c=<s> m=<mask>"
_T5_TOKENS = "e=</s> u=<unk> p=<pad>"
_ACCENTS_DROPPED = {"do_lower_case": True, "remove_space": True, "keep_accents": False}
_ACCENTS_KEPT = {"do_lower_case": False, "remove_space": True, "keep_accents": True}
_MBART_LANGUAGES = (
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN",
    "it_IT", "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO",
    "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN",
)  # fmt: skip
_MBART50_LANGUAGES = (
    *_MBART_LANGUAGES,
    "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK",
    "ml_IN", "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN",
    "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI",
)  # fmt: skip
_MADE_UP = tuple(f"<madeupword{number}>" for number in range(7))


def _tokens(text: str) -> dict[str, str]:
    """Read ``role=token`` pairs; a role is one letter."""
    return {_ROLES[pair[0]]: pair[2:] for pair in text.split()}


def _class(name: str, file: str, tokens: str, **changes: Any) -> TokenizerClass:
    usual = TokenizerClass(
        name=name,
        family="sentencepiece",
        legacy_files=(file,),
        special_tokens=_tokens(tokens),
        mask_lstrip=True,
        mask_normalized=True,
    )
    return replace(usual, **changes)


_BPE_FILE, _FILE = "sentencepiece.bpe.model", "spiece.model"
CLASSES = (
    _class(
        "AlbertTokenizer", _FILE, _ALBERT_TOKENS,
        model_input_names=_WITH_TYPES, options=_ACCENTS_DROPPED, mask_normalized=False,
    ),
    _class("BarthezTokenizer", _BPE_FILE, _FAIRSEQ_TOKENS, mask_normalized=False),
    _class(
        "BigBirdTokenizer", _FILE, "b=<s> e=</s> u=<unk> s=[SEP] p=<pad> c=[CLS] m=[MASK]",
        # 4.57 lists all as matched after normalizing; what is a piece it matches before, as here.
        mask_normalized=False, unk_normalized=True,
    ),
    _class(
        "CamembertTokenizer", _BPE_FILE, _FAIRSEQ_TOKENS, mask_normalized=False,
        options={"additional_special_tokens": ("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED")},
    ),
    _class(
        "DebertaV2Tokenizer", "spm.model",
        "b=[CLS] e=[SEP] u=[UNK] s=[SEP] p=[PAD] c=[CLS] m=[MASK]",
        model_input_names=_WITH_TYPES, options={"do_lower_case": False, "split_by_punct": False},
        mask_lstrip=False, mask_normalized=False, unk_normalized=True,
    ),
    _class(
        "FNetTokenizer", _FILE, "u=<unk> s=[SEP] p=<pad> c=[CLS] m=[MASK]",
        model_input_names=("input_ids", "token_type_ids"), options=_ACCENTS_KEPT,
        mask_normalized=False,
    ),
    _class(
        "MBart50Tokenizer", _BPE_FILE, "e=</s> u=<unk> s=</s> p=<pad> c=<s> m=<mask>",
        options={"src_lang": None, "tgt_lang": None}, framed_by=frozenset({"src_lang"}),
    ),
    _class(
        "MBartTokenizer", _BPE_FILE, _FAIRSEQ_TOKENS, mask_normalized=False,
        options={"src_lang": None, "tgt_lang": None}, framed_by=frozenset({"src_lang"}),
    ),
    _class("MT5Tokenizer", _FILE, _T5_TOKENS),
    _class(
        "PegasusTokenizer", _FILE, "e=</s> u=<unk> p=<pad> m=<mask_2>",
        options={"mask_token_sent": "<mask_1>", "offset": 103},
        mask_lstrip=False, mask_normalized=False,
    ),
    _class("ReformerTokenizer", _FILE, "e=</s> u=<unk>"),
    _class(
        "RemBertTokenizer", "sentencepiece.model", _ALBERT_TOKENS,
        model_input_names=_WITH_TYPES, options=_ACCENTS_DROPPED,
        legacy_options={**_ACCENTS_KEPT, "unk_token": "[UNK]", "pad_token": "[PAD]"},
    ),
    _class("T5Tokenizer", _FILE, _T5_TOKENS),
    _class("UdopTokenizer", _FILE, "e=</s> u=<unk> s=</s> p=<pad>"),
    _class("XGLMTokenizer", _BPE_FILE, "b=<s> e=</s> u=<unk> s=</s> p=<pad> c=<s>"),
    _class("XLMRobertaTokenizer", _BPE_FILE, _FAIRSEQ_TOKENS, mask_normalized=False),
    _class(
        "XLNetTokenizer", _FILE, "b=<s> e=</s> u=<unk> s=<sep> p=<pad> c=<cls> m=<mask>",
        model_input_names=_WITH_TYPES, padding_side="left", mask_normalized=False,
        options={
            "do_lower_case": False, "remove_space": True, "keep_accents": False,
            "additional_special_tokens": ("<eop>", "<eod>"), "pad_token_type_id": 3,
        },
    ),
)  # fmt: skip
CLASS_NAMES = frozenset(kind.name for kind in CLASSES)
MODEL_TYPES = {
    **dict.fromkeys(("albert", "nystromformer", "yoso"), "AlbertTokenizer"),
    "barthez": "BarthezTokenizer",
    "big_bird": "BigBirdTokenizer",
    "camembert": "CamembertTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "fnet": "FNetTokenizer",
    "mbart": "MBartTokenizer",
    "mbart50": "MBart50Tokenizer",
    **dict.fromkeys(("bigbird_pegasus", "pegasus", "pegasus_x"), "PegasusTokenizer"),
    "reformer": "ReformerTokenizer",
    "rembert": "RemBertTokenizer",
    **dict.fromkeys(
        (
            "longt5", "mt5", "musicgen", "musicgen_melody", "pix2struct", "switch_transformers",
            "t5", "umt5",
        ),
        "T5Tokenizer",
    ),
    "udop": "UdopTokenizer",
    "xglm": "XGLMTokenizer",
    **dict.fromkeys(
        ("gte", "jina_embeddings_v3", "kosmos-2", "metaclip_2", "xlm-roberta", "xlm-roberta-xl",
         "xmod"),
        "XLMRobertaTokenizer",
    ),
    "xlnet": "XLNetTokenizer",
}  # fmt: skip


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
    extra = range(_count(options, "extra_ids", 100) - 1, -1, -1)
    return _pieces(model, options) + [(f"<extra_id_{number}>", 0.0) for number in extra]


def _pegasus(model: SentencePieceModel, options: Mapping[str, Any]) -> list[Scored]:
    offset, mask, sent = _offset(options), options["mask_token"], options["mask_token_sent"]
    before = [str(options["pad_token"]), str(options["eos_token"])]
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
class _Recipe:
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
_PLAIN_FAIRSEQ = _Recipe(*_FAIRSEQ_FRAME, vocabulary=_fairseq("<mask>"), unknown=3)
_ALBERT = _Recipe(*_BERT_FRAME, vocabulary=_pieces_without_number_commas, normalizer=_quotes_first)
_T5 = _Recipe(*_T5_FRAME, vocabulary=_t5)
_RECIPES: Mapping[str, _Recipe] = {
    "AlbertTokenizer": _ALBERT,
    "BarthezTokenizer": _Recipe(*_FAIRSEQ_FRAME, unknown=3),
    "BigBirdTokenizer": _Recipe(*_BERT_FRAME),
    "CamembertTokenizer": _Recipe(*_FAIRSEQ_FRAME, vocabulary=_camembert, unknown=3),
    "DebertaV2Tokenizer": _Recipe(*_BERT_FRAME, normalizer=_deberta),
    "FNetTokenizer": _ALBERT,
    "MBart50Tokenizer": _Recipe(vocabulary=_fairseq(*_MBART50_LANGUAGES, "<mask>"), unknown=3),
    "MBartTokenizer": _Recipe(vocabulary=_fairseq(*_MBART_LANGUAGES, "<mask>"), unknown=3),
    "MT5Tokenizer": _T5,
    "PegasusTokenizer": _Recipe(vocabulary=_pegasus),
    "ReformerTokenizer": _Recipe(),
    "RemBertTokenizer": _Recipe(*_BERT_FRAME, normalizer=_spaces_first),
    "T5Tokenizer": _T5,
    "UdopTokenizer": _Recipe(*_T5_FRAME),
    "XGLMTokenizer": _Recipe(
        "</s> $A",
        "</s> $A </s> </s> $B",
        named=("<s>",),
        vocabulary=_fairseq(*_MADE_UP),
        unknown=3,
    ),
    "XLMRobertaTokenizer": _PLAIN_FAIRSEQ,
    "XLNetTokenizer": _Recipe(
        "$A:0 <sep>:0 <cls>:2",
        "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2",
        vocabulary=_pieces_without_number_commas,
        normalizer=_quotes_first,
    ),
}


def settle(kind: TokenizerClass, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Work out the init arguments that depend on others, as the class's ``__init__`` does."""
    settled = dict(settings)
    change = _SETTLED.get(kind.name)
    if change is not None:
        settled["additional_special_tokens"] = change(settled)
    return settled


def _settle_t5(settings: Mapping[str, Any]) -> list[Any]:
    given = settings.get("additional_special_tokens")
    if given is not None and any("<extra_id_" in str(token) for token in given):
        return list(given)
    count = _count(settings, "extra_ids", 100)
    return [*(given or ()), *(f"<extra_id_{number}>" for number in range(count))]


def _settle_pegasus(settings: Mapping[str, Any]) -> list[Any]:
    given, sent = settings.get("additional_special_tokens"), settings["mask_token_sent"]
    offset = _offset(settings)
    if given is None:
        first = [] if sent is None else [sent]
        return first + [f"<unk_{number}>" for number in range(2, offset)]
    known = {str(token) for token in given}
    first = [] if sent is None or str(sent) in known else [sent]
    found = [*first, *given]
    return found + [f"<unk_{number}>" for number in range(len(found), offset - 1)]


def _settle_mbart(settings: Mapping[str, Any]) -> list[Any]:
    given = settings.get("additional_special_tokens") or ()
    return [*_MBART_LANGUAGES, *(token for token in given if str(token) not in _MBART_LANGUAGES)]


def _settle_after(more: Sequence[str]) -> Callable[[Mapping[str, Any]], list[Any]]:
    def settle_list(settings: Mapping[str, Any]) -> list[Any]:
        given = list(settings.get("additional_special_tokens") or ())
        known = {str(token) for token in given}
        return given + [token for token in more if token not in known]

    return settle_list


_SETTLED: Mapping[str, Callable[[Mapping[str, Any]], list[Any]]] = {
    "MBart50Tokenizer": _settle_after(_MBART50_LANGUAGES),
    "MBartTokenizer": _settle_mbart,
    "MT5Tokenizer": _settle_t5,
    "PegasusTokenizer": _settle_pegasus,
    "T5Tokenizer": _settle_t5,
    "XGLMTokenizer": _settle_after(_MADE_UP),
}


def build(files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]) -> Tokenizer:
    """Make the engine of a SentencePiece class from its model file.

    Args:
        files: where the model file is.
        kind: the class; decides everything that is not in the file.
        options: ``do_lower_case``, ``keep_accents``, ``split_by_punct``, ``extra_ids``,
            ``legacy``, ``add_prefix_space``, ``offset``, ``src_lang`` and the special tokens, as
            merged from defaults, files and arguments.

    Raises:
        CorruptFile: the model file is damaged, or lacks a token that every text is framed with.
        UnsafeFile: something in it is beyond its bound.
        UnknownTokenizer: it is in another format, or of an algorithm that no engine runs.

    """
    recipe = _RECIPES[kind.name]
    model = read_sentencepiece_model(files, kind.legacy_files[0])
    unknown = model.unknown_id if recipe.unknown is None else recipe.unknown
    if kind.name == "PegasusTokenizer":
        unknown += _offset(options)
    engine = make_engine(model, recipe.vocabulary(model, options), unknown_id=unknown)
    engine.normalizer = normalizers.Sequence(recipe.normalizer(model, options))
    scheme = _prepend_scheme(kind, options)
    space: Any = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme=scheme)
    if kind.name == "PegasusTokenizer":
        space = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space])
    elif kind.name == "DebertaV2Tokenizer":
        marks = [pre_tokenizers.Punctuation(behavior="isolated")]
        space = pre_tokenizers.Sequence([*(marks if options["split_by_punct"] else ()), space])
    engine.pre_tokenizer = space
    engine.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme=scheme)
    frame(engine, kind, options)
    return engine


def frame(engine: Tokenizer, kind: TokenizerClass, options: Mapping[str, Any]) -> None:
    """Set what is put around a text, as the class and its init arguments want it."""
    recipe = _RECIPES[kind.name]
    single, pair = recipe.single, recipe.pair
    if kind.name in {"MBartTokenizer", "MBart50Tokenizer"}:
        single, pair = _with_language(kind, options)
    elif kind.name == "PegasusTokenizer":
        eos = str(options["eos_token"])
        single, pair = f"$A {eos}", f"$A $B {eos}"
    if not single:
        return
    names = [part.partition(":")[0] for part in pair.split()]
    around = [name for name in names if not name.startswith("$")]
    engine.post_processor = processors.TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[
            (name, framing_id(engine, name, kind.legacy_files[0]))
            for name in dict.fromkeys((*around, *recipe.named))
        ],
    )


def _with_language(kind: TokenizerClass, options: Mapping[str, Any]) -> tuple[str, str]:
    language, eos = str(options.get("src_lang") or "en_XX"), str(options["eos_token"])
    if kind.name == "MBart50Tokenizer":
        return f"{language} $A {eos}", f"{language} $A $B {eos}"
    return f"$A {eos} {language}", f"$A $B {eos} {language}"


def _prepend_scheme(kind: TokenizerClass, options: Mapping[str, Any]) -> str:
    """Say where a space is put before a text; only T5 lets its init arguments decide."""
    if _RECIPES[kind.name] is not _T5:
        return "always"
    if options.get("add_prefix_space") is False:
        return "never"
    return "always" if options.get("legacy") in {None, True} else "first"


def _offset(options: Mapping[str, Any]) -> int:
    return _count(options, "offset", 103)


def _count(options: Mapping[str, Any], name: str, usual: int) -> int:
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
