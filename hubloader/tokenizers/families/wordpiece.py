"""BERT's WordPiece and its relatives: vocab.txt, one token a line, its number the id.

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: BertConverter, MPNetConverter,
FunnelConverter, RoFormerConverter, SplinterConverter; Schuster & Nakajima 2012 for the algorithm,
which the engine runs.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from hubloader.errors import CorruptFile, UnknownTokenizer, UnsafeFile
from hubloader.tokenizers.classes import TokenizerClass
from hubloader.tokenizers.config_values import listed_tokens
from hubloader.tokenizers.reading import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.types import FileSet

__all__ = ["CLASSES", "CLASS_NAMES", "MODEL_TYPES", "build", "frame"]

_MOST_TOKENS = 1 << 21  # the engine reads as many in about two seconds; half a million are in use
_WITH_TYPES = ("input_ids", "token_type_ids", "attention_mask")
_WITHOUT_TYPES = ("input_ids", "attention_mask")
_BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_MPNET_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "[UNK]",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_FUNNEL_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "<sep>",
    "pad_token": "<pad>",
    "cls_token": "<cls>",
    "mask_token": "<mask>",
}
_FRAMED_BY = ("cls_token", "sep_token", "question_token")
_OPTIONS = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
_LEGACY_OPTIONS = {"clean_up_tokenization_spaces": True}
_SPLINTER_OPTIONS = {
    **_OPTIONS,
    "question_token": "[QUESTION]",
    "additional_special_tokens": ("[QUESTION]",),
}
# What is left of RoFormer's Chinese word splitter (rjieba 0.2) where the vocabulary has no Chinese
# word of several characters: the three words of its dictionary with a sign in them, runs of ASCII
# letters and digits, every other character alone.
_ROFORMER_SIGNS = r"[cC](?:\+\+|#)|AT&T"
_ROFORMER_WORDS = rf"(?:{_ROFORMER_SIGNS})|(?:(?!{_ROFORMER_SIGNS})[a-zA-Z0-9])+|[^a-zA-Z0-9]"
_BLANK = re.compile(r"[^\S\n]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")


def _like_bert(
    name: str,
    inputs: tuple[str, ...] = _WITH_TYPES,
    tokens: Mapping[str, str] = _BERT_TOKENS,
    *,
    mask_lstrip: bool = False,
) -> TokenizerClass:
    return TokenizerClass(
        name=name,
        family="wordpiece",
        legacy_files=("vocab.txt",),
        model_input_names=inputs,
        special_tokens=tokens,
        options=_OPTIONS,
        legacy_options=_LEGACY_OPTIONS,
        bert_flags=True,
        mask_lstrip=mask_lstrip,
    )


CLASSES = (
    _like_bert("BertTokenizer"),
    _like_bert("ConvBertTokenizer"),
    _like_bert("DistilBertTokenizer", _WITHOUT_TYPES),
    _like_bert("DPRContextEncoderTokenizer"),
    _like_bert("DPRQuestionEncoderTokenizer"),
    _like_bert("DPRReaderTokenizer"),
    _like_bert("ElectraTokenizer"),
    _like_bert("FunnelTokenizer", _WITH_TYPES, _FUNNEL_TOKENS),
    _like_bert("LayoutLMTokenizer"),
    _like_bert("LxmertTokenizer"),
    _like_bert("MobileBertTokenizer"),
    _like_bert("MPNetTokenizer", _WITHOUT_TYPES, _MPNET_TOKENS, mask_lstrip=True),
    _like_bert("RealmTokenizer"),
    _like_bert("RetriBertTokenizer", _WITHOUT_TYPES),
    replace(_like_bert("RoFormerTokenizer"), legacy_options={}),
    replace(_like_bert("SplinterTokenizer"), options=_SPLINTER_OPTIONS, legacy_options={}),
    _like_bert("SqueezeBertTokenizer"),
)
CLASS_NAMES = frozenset(kind.name for kind in CLASSES)
MODEL_TYPES = {
    **dict.fromkeys(
        (
            "align", "bark", "bert", "blip", "bros", "chinese_clip", "ernie", "git",
            "grounding-dino", "megatron-bert", "mm-grounding-dino", "nezha", "nomic_bert",
            "qdqbert", "tvp", "vilt", "visual_bert",
        ),
        "BertTokenizer",
    ),
    "convbert": "ConvBertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "dpr": "DPRQuestionEncoderTokenizer",
    "electra": "ElectraTokenizer",
    "funnel": "FunnelTokenizer",
    "layoutlm": "LayoutLMTokenizer",
    "lxmert": "LxmertTokenizer",
    "mobilebert": "MobileBertTokenizer",
    "mpnet": "MPNetTokenizer",
    "realm": "RealmTokenizer",
    "retribert": "RetriBertTokenizer",
    "roformer": "RoFormerTokenizer",
    "splinter": "SplinterTokenizer",
    "squeezebert": "SqueezeBertTokenizer",
}  # fmt: skip


def build(files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]) -> Tokenizer:
    """Make the engine of a WordPiece class from vocab.txt.

    Args:
        files: where vocab.txt is.
        kind: the class; decides the template of special tokens.
        options: ``do_lower_case``, ``strip_accents``, ``tokenize_chinese_chars`` and the special
            tokens, as merged from defaults, files and arguments.

    Raises:
        CorruptFile: vocab.txt is not UTF-8 text, or lacks a token that every text is framed with.
        UnsafeFile: it has too many lines.
        UnknownTokenizer: it is RoFormer's, and has Chinese words that only a word splitter finds.

    """
    roformer = kind.name == "RoFormerTokenizer"
    engine = Tokenizer(_read_model(files, "vocab.txt", str(options["unk_token"])))
    engine.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=options["tokenize_chinese_chars"] and not roformer,
        strip_accents=options["strip_accents"],
        lowercase=options["do_lower_case"],
    )
    engine.pre_tokenizer = (
        _roformer_words(files, engine.get_vocab())
        if roformer
        else pre_tokenizers.BertPreTokenizer()
    )
    later = dict.fromkeys(listed_tokens(options), 0)  # until all are in the engine: see frame()
    engine.post_processor = _template(files.describe("vocab.txt"), kind, options, engine, later)
    engine.decoder = decoders.WordPiece(prefix="##")
    return engine


def frame(
    engine: Tokenizer, kind: TokenizerClass, options: Mapping[str, Any], *, target: bool = False
) -> Any:
    """Make what is put around a text where it has tokens that vocab.txt lacks, else None.

    Such tokens have their ids only once all that the files list are in the engine.
    """
    del target
    roles = [str(options.get(role)) for role in _FRAMED_BY if options.get(role)]
    if all(engine.model.token_to_id(text) is not None for text in roles):
        return None
    return _template("vocab.txt", kind, options, engine, {})


def _read_model(files: FileSet, name: str, unknown: str) -> WordPiece:
    """Read one token a line; of a token that stands twice the last line counts.

    The engine reads a file itself, in less time, but drops white space at the end of a token, and
    takes a carriage return and a byte order mark for parts of one.
    """
    text, path = read_text(files, name), files.path(name)
    count = text.count("\n")
    if count > _MOST_TOKENS:
        raise UnsafeFile(
            f"{files.describe(name)} has {count} lines, more than {_MOST_TOKENS}", filename=name
        )
    marked = os.path.getsize(path) > len(text.encode())
    if not marked and _BLANK.search(text) is None:
        return WordPiece.from_file(os.fspath(path), unk_token=unknown)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return WordPiece(dict(zip(lines, range(len(lines)), strict=True)), unk_token=unknown)


def _roformer_words(files: FileSet, vocabulary: Mapping[str, int]) -> pre_tokenizers.PreTokenizer:
    """Split as rjieba and RoFormer's fallback together do, where that takes no dictionary."""
    words = [word for word in vocabulary if len(word.removeprefix("##")) > 1 and _HAN.search(word)]
    if words:
        raise UnknownTokenizer(
            f"{files.describe('vocab.txt')} has {len(words)} Chinese words ({words[0]} ...), which "
            "only a word splitter finds in a text, and hubloader has none",
            hint="a repository with a tokenizer.json is run as it is; so is a vocabulary whose "
            "Chinese tokens are single characters",
            filename="vocab.txt",
        )
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s"), behavior="removed"),
            pre_tokenizers.Split(Regex(_ROFORMER_WORDS), behavior="isolated"),
        ]
    )


def _template(
    where: str,
    kind: TokenizerClass,
    options: Mapping[str, Any],
    engine: Tokenizer,
    later: Mapping[str, int],
) -> processors.TemplateProcessing:
    cls, sep = str(options["cls_token"]), str(options["sep_token"])
    framing = [cls, sep]
    first = 2 if kind.name == "FunnelTokenizer" else 0
    between = f"{sep}:0 {sep}:0" if kind.name == "MPNetTokenizer" else f"{sep}:0"
    pair = f"{cls}:{first} $A:0 {between} $B:1 {sep}:1"
    if kind.name == "SplinterTokenizer":
        question = str(options["question_token"])
        framing += [question, "."]
        asked = f"{question}:0 .:0"
        left = options.get("padding_side") == "left"  # the question is then the second text
        pair = (
            f"{cls}:0 $A:0 {sep}:0 $B:1 {asked} {sep}:1"
            if left
            else f"{cls}:0 $A:0 {asked} {sep}:0 $B:1 {sep}:1"
        )
    found = {token: engine.token_to_id(token) for token in framing}
    ids = {token: later.get(token) if index is None else index for token, index in found.items()}
    missing = [token for token in framing if ids[token] is None]
    if missing:
        raise CorruptFile(
            f"{where} has no {' and no '.join(missing)}, which {kind.name} puts around every text",
            hint="name the special tokens in tokenizer_config.json, or check the file",
            filename="vocab.txt",
        )
    return processors.TemplateProcessing(
        single=f"{cls}:{first} $A:0 {sep}:0",
        pair=pair,
        special_tokens=list(ids.items()),
    )
