"""SentencePiece without byte fallback: ALBERT, T5, XLM-R and their relatives.

What is done with a model file is in ``sentencepiece_recipes``; here are the classes, their special
tokens and defaults, and what is put around texts.

Source: transformers 4.57.6, the ``__init__`` of each slow and fast class.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

from hubloader.tokenizers.classes import TokenizerClass
from hubloader.tokenizers.sentencepiece_engine import make_engine, read_sentencepiece_model
from hubloader.tokenizers.sentencepiece_frame import template
from hubloader.tokenizers.sentencepiece_recipes import RECIPES, T5_RECIPE, pegasus_offset
from hubloader.tokenizers.sentencepiece_settling import settle

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_LANGUAGES = {"src_lang": None, "tgt_lang": None}
_DEFAULT_LANGUAGES = {  # of texts, where nothing else is said
    "MBart50Tokenizer": "en_XX",
    "MBartTokenizer": "en_XX",
    "NllbTokenizer": "eng_Latn",
    "SeamlessM4TTokenizer": "__eng__",
}


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
        keep_conversion=True,  # reading the pieces takes half as long again as reading them kept
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
    _class("LayoutXLMTokenizer", _BPE_FILE, _FAIRSEQ_TOKENS, mask_normalized=False),
    _class(
        "MBart50Tokenizer", _BPE_FILE, "e=</s> u=<unk> s=</s> p=<pad> c=<s> m=<mask>",
        options=_LANGUAGES, framed_by=frozenset({"src_lang"}),
    ),
    _class(
        "MBartTokenizer", _BPE_FILE, _FAIRSEQ_TOKENS, mask_normalized=False,
        options=_LANGUAGES, framed_by=frozenset({"src_lang"}),
    ),
    _class("MT5Tokenizer", _FILE, _T5_TOKENS),
    _class(
        "NllbTokenizer", _BPE_FILE, _FAIRSEQ_TOKENS,
        options={**_LANGUAGES, "legacy_behaviour": False},
        framed_by=frozenset({"src_lang", "legacy_behaviour"}),
    ),
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
    _class(
        "SeamlessM4TTokenizer", _BPE_FILE, "b=<s> e=</s> u=<unk> s=</s> p=<pad> c=<s>",
        options={"src_lang": "eng", "tgt_lang": "fra"},
        legacy_options={"add_prefix_space": True},
        framed_by=frozenset({"src_lang"}),
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
    "layoutxlm": "LayoutXLMTokenizer",
    "mbart": "MBartTokenizer",
    "mbart50": "MBart50Tokenizer",
    **dict.fromkeys(("nllb", "nllb-moe"), "NllbTokenizer"),
    **dict.fromkeys(("bigbird_pegasus", "pegasus", "pegasus_x"), "PegasusTokenizer"),
    "reformer": "ReformerTokenizer",
    "rembert": "RemBertTokenizer",
    **dict.fromkeys(("seamless_m4t", "seamless_m4t_v2"), "SeamlessM4TTokenizer"),
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


def build(files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]) -> Tokenizer:
    """Make the engine of a SentencePiece class from its model file; ``frame`` makes its last part.

    Args:
        files: where the model file is.
        kind: the class; decides everything that is not in the file.
        options: ``do_lower_case``, ``keep_accents``, ``split_by_punct``, ``extra_ids``,
            ``legacy``, ``add_prefix_space``, ``offset`` and the special tokens, as merged from
            defaults, files and arguments.

    Raises:
        CorruptFile: the model file is damaged.
        UnsafeFile: something in it is beyond its bound.
        UnknownTokenizer: it is in another format, or of an algorithm that no engine runs.

    """
    recipe = RECIPES[kind.name]
    model = read_sentencepiece_model(files, kind.legacy_files[0])
    unknown = model.unknown_id if recipe.unknown is None else recipe.unknown
    if kind.name == "PegasusTokenizer":
        unknown += pegasus_offset(options)
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
    return engine


def frame(
    engine: Tokenizer, kind: TokenizerClass, options: Mapping[str, Any], *, target: bool = False
) -> Any:
    """Make what is put around a text, as the class and its init arguments want it.

    Args:
        engine: where the tokens' ids are looked up.
        kind: the class.
        options: ``src_lang`` and the special tokens, as merged.
        target: whether it is for texts to be translated to.

    Returns:
        The engine's part, None where a class puts nothing around texts.

    Raises:
        CorruptFile: a token is not in the vocabulary.

    """
    recipe = RECIPES[kind.name]
    single, pair = recipe.single.split(), recipe.pair.split()
    unknown = options.get("unk_token")
    if kind.name in _DEFAULT_LANGUAGES:
        single, pair = _with_language(kind, options, target=target)
        unknown = None  # a language that is misspelt is worth an error
    elif kind.name == "PegasusTokenizer":
        eos = _role(options, "eos_token")
        single, pair = ["$A", *eos], ["$A", "$B", *eos]
    if not single:
        return None
    return template(
        engine, single, pair, unknown=unknown, named=recipe.named, where=kind.legacy_files[0]
    )


def _with_language(
    kind: TokenizerClass, options: Mapping[str, Any], *, target: bool
) -> tuple[list[str], list[str]]:
    language = str(options.get("src_lang") or _DEFAULT_LANGUAGES[kind.name])
    eos = _role(options, "eos_token")
    before, after = [language], eos
    if kind.name == "MBartTokenizer" or options.get("legacy_behaviour"):
        before, after = [], [*eos, language]
    elif kind.name == "SeamlessM4TTokenizer" and target:
        before = [*eos, language]
    return [*before, "$A", *after], [*before, "$A", "$B", *after]


def _role(options: Mapping[str, Any], name: str) -> list[str]:
    """Give the token of a role, or nothing where there is none."""
    token = options.get(name)
    return [] if token is None else [str(token)]


def _prepend_scheme(kind: TokenizerClass, options: Mapping[str, Any]) -> str:
    """Say where a space is put before a text; only some let their init arguments decide."""
    if RECIPES[kind.name] is not T5_RECIPE and kind.name != "SeamlessM4TTokenizer":
        return "always"
    if options.get("add_prefix_space") is False:
        return "never"
    if kind.name == "SeamlessM4TTokenizer":
        return "first"
    return "always" if options.get("legacy") in {None, True} else "first"
