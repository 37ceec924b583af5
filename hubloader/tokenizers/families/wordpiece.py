"""BERT's WordPiece and its relatives: vocab.txt, one token a line, its number the id.

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: BertConverter, MPNetConverter,
FunnelConverter; Schuster & Nakajima 2012 for the algorithm, which the engine runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from hubloader.errors import CorruptFile
from hubloader.tokenizers.classes import TokenizerClass
from hubloader.tokenizers.reading import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.types import FileSet

__all__ = ["CLASSES", "CLASS_NAMES", "MODEL_TYPES", "build"]

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
_OPTIONS = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
_LEGACY_OPTIONS = {"clean_up_tokenization_spaces": True}


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
    _like_bert("SqueezeBertTokenizer"),
)
CLASS_NAMES = frozenset(kind.name for kind in CLASSES)
MODEL_TYPES = {
    **dict.fromkeys(
        (
            "align", "bert", "blip", "bros", "chinese_clip", "ernie", "git", "grounding-dino",
            "megatron-bert", "nezha", "nomic_bert", "qdqbert", "tvp", "vilt", "visual_bert",
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

    """
    vocabulary = read_vocabulary(files, "vocab.txt")
    engine = Tokenizer(WordPiece(vocabulary, unk_token=str(options["unk_token"])))
    engine.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=options["tokenize_chinese_chars"],
        strip_accents=options["strip_accents"],
        lowercase=options["do_lower_case"],
    )
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.post_processor = _template(files, kind, options, vocabulary)
    engine.decoder = decoders.WordPiece(prefix="##")
    return engine


def read_vocabulary(files: FileSet, name: str) -> dict[str, int]:
    """Read one token a line; of a token that stands twice the last line counts."""
    text = read_text(files, name)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return dict(zip(lines, range(len(lines)), strict=True))


def _template(
    files: FileSet, kind: TokenizerClass, options: Mapping[str, Any], vocabulary: Mapping[str, int]
) -> processors.TemplateProcessing:
    cls, sep = str(options["cls_token"]), str(options["sep_token"])
    missing = [token for token in (cls, sep) if token not in vocabulary]
    if missing:
        raise CorruptFile(
            f"{files.describe('vocab.txt')} has no {' and no '.join(missing)}, "
            f"which {kind.name} puts around every text",
            hint="name the special tokens in tokenizer_config.json, or check the file",
            filename="vocab.txt",
        )
    first = 2 if kind.name == "FunnelTokenizer" else 0
    between = f"{sep}:0 {sep}:0" if kind.name == "MPNetTokenizer" else f"{sep}:0"
    return processors.TemplateProcessing(
        single=f"{cls}:{first} $A:0 {sep}:0",
        pair=f"{cls}:{first} $A:0 {between} $B:1 {sep}:1",
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
