"""Byte-level BPE: GPT-2, RoBERTa and their relatives: vocab.json (ids) and merges.txt (ranks).

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: GPT2Converter, RobertaConverter,
BlenderbotConverter, DebertaConverter, Qwen2Converter, CLIPConverter; the algorithm is the engine's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from hubloader.errors import CorruptFile
from hubloader.tokenizers.classes import TokenizerClass
from hubloader.tokenizers.config_values import listed_tokens
from hubloader.tokenizers.reading import MAX_TOKENIZER_BYTES, read_json_object, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubloader.types import FileSet

__all__ = ["CLASSES", "CLASS_NAMES", "MODEL_TYPES", "build", "frame"]

_DEBERTA_FRAME = ("[CLS]", "[SEP]")

_FILES = ("vocab.json", "merges.txt")
_ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_DEBERTA_TOKENS = {
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_GPT2_TOKENS = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
_QWEN_TOKENS = dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>")
_CLIP_TOKENS = {
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
}
# Source: Qwen2Converter and CLIPConverter: how a text is split before its bytes are looked at.
_QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_CLIP_MERGES = 49152 - 256 - 2  # CLIP's merges.txt is longer than what its vocabulary uses


def _like_roberta(name: str, **changes: Any) -> TokenizerClass:
    usual = TokenizerClass(
        name=name,
        family="byte_bpe",
        legacy_files=_FILES,
        special_tokens=_ROBERTA_TOKENS,
        options={"add_prefix_space": False, "trim_offsets": True},
        specials_normalized=True,
        mask_lstrip=True,
    )
    return replace(usual, **changes)


def _like_gpt2(
    name: str, tokens: Mapping[str, str] = _GPT2_TOKENS, **changes: Any
) -> TokenizerClass:
    usual = TokenizerClass(
        name=name,
        family="byte_bpe",
        legacy_files=_FILES,
        special_tokens=tokens,
        options={"add_prefix_space": False, "add_bos_token": False},
    )
    return replace(usual, **changes)


_DEBERTA = TokenizerClass(
    name="DebertaTokenizer",
    family="byte_bpe",
    legacy_files=_FILES,
    model_input_names=("input_ids", "attention_mask", "token_type_ids"),
    special_tokens=_DEBERTA_TOKENS,
    options={"add_prefix_space": False},
    mask_lstrip=True,
    mask_normalized=True,
)
CLASSES = (
    _like_roberta("BartTokenizer", mask_normalized=True),
    _like_roberta("BlenderbotTokenizer"),
    _like_gpt2(
        "CLIPTokenizer", _CLIP_TOKENS, specials_normalized=True, pad_exact=True, word_end="</w>"
    ),
    _like_gpt2("CodeGenTokenizer"),
    _DEBERTA,
    _like_gpt2("GPT2Tokenizer", specials_normalized=True),
    _like_roberta("LEDTokenizer", mask_normalized=True),
    _like_roberta("LongformerTokenizer"),
    _like_roberta("MvpTokenizer", specials_normalized=False),
    _like_gpt2("Qwen2Tokenizer", _QWEN_TOKENS),
    _like_roberta("RobertaTokenizer"),
)
CLASS_NAMES = frozenset(kind.name for kind in CLASSES)
MODEL_TYPES = {
    "bart": "BartTokenizer",
    "blenderbot": "BlenderbotTokenizer",
    **dict.fromkeys(
        (
            "aimv2", "clip", "clipseg", "groupvit", "omdet-turbo", "oneformer", "owlv2", "owlvit",
            "xclip",
        ),
        "CLIPTokenizer",
    ),
    **dict.fromkeys(("codegen", "phi"), "CodeGenTokenizer"),
    "deberta": "DebertaTokenizer",
    **dict.fromkeys(
        (
            "blip-2", "dbrx", "emu3", "exaone4", "flex_olmo", "gpt2", "gpt_bigcode", "gpt_neo",
            "gptj", "granite", "granitemoe", "granitemoehybrid", "granitemoeshared", "instructblip",
            "instructblipvideo", "minimax", "olmo3", "opt", "starcoder2",
        ),
        "GPT2Tokenizer",
    ),
    "led": "LEDTokenizer",
    "longformer": "LongformerTokenizer",
    "mvp": "MvpTokenizer",
    **dict.fromkeys(
        (
            "colqwen2", "internvl", "qwen2", "qwen2_5_omni", "qwen2_5_vl", "qwen2_audio",
            "qwen2_moe", "qwen2_vl", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_omni_moe",
            "qwen3_vl", "qwen3_vl_moe",
        ),
        "Qwen2Tokenizer",
    ),
    **dict.fromkeys(
        (
            "bridgetower", "clap", "data2vec-text", "ibert", "mega", "mra", "roberta",
            "roberta-prelayernorm",
        ),
        "RobertaTokenizer",
    ),
}  # fmt: skip


def build(files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]) -> Tokenizer:
    """Make the engine of a byte-level BPE class from vocab.json and merges.txt.

    Args:
        files: where they are.
        kind: the class; decides how text is split and framed.
        options: ``add_prefix_space``, ``add_bos_token``, ``trim_offsets`` and the special tokens,
            as merged from defaults, files and arguments.

    Raises:
        CorruptFile: a file is not what its name says, or the two do not fit together.

    """
    vocabulary = read_json_object(files, "vocab.json", MAX_TOKENIZER_BYTES)
    engine = Tokenizer(
        BPE(
            vocab=vocabulary,
            merges=_read_merges(files, kind),
            dropout=None,
            unk_token=str(options["unk_token"]) if kind.name == "CLIPTokenizer" else None,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>" if kind.name == "CLIPTokenizer" else "",
            fuse_unk=False,
        )
    )
    engine.decoder = decoders.ByteLevel()
    later = dict.fromkeys(listed_tokens(options) - vocabulary.keys(), 0)  # see frame()
    known = {**later, **vocabulary} if later else vocabulary
    _PIPELINES.get(kind.name, _roberta)(engine, known, options)
    return engine


def frame(
    engine: Tokenizer, kind: TokenizerClass, options: Mapping[str, Any], *, target: bool = False
) -> Any:
    """Make what is put around a text where it has tokens that vocab.json lacks, else None.

    Such tokens have their ids only once all that the files list are in the engine.
    """
    del target
    texts = {str(value) for key, value in options.items() if key.endswith("_token") and value}
    if all(engine.model.token_to_id(text) is not None for text in texts):
        return None
    found = {text: engine.token_to_id(text) for text in texts | set(_DEBERTA_FRAME)}
    ids = {text: index for text, index in found.items() if index is not None}
    made = Tokenizer(engine.model)
    _PIPELINES.get(kind.name, _roberta)(made, ids, options)
    return made.post_processor


def _read_merges(files: FileSet, kind: TokenizerClass) -> list[tuple[str, str]]:
    """Read one pair a line; the first line is a version, a pair that comes again counts once."""
    text = read_text(files, "merges.txt").replace("\r\n", "\n").replace("\r", "\n")
    if kind.name == "CLIPTokenizer":
        lines = text.strip().split("\n")[1 : _CLIP_MERGES + 1]
    elif kind.name == "Qwen2Tokenizer":
        lines = [line for line in text.split("\n") if line.strip()]
        lines = lines[1:] if lines and lines[0].startswith("#version:") else lines
    else:
        lines = text.split("\n")[1:-1]
    pairs = dict.fromkeys(tuple(line.split()) for line in lines)
    pairs.pop((), None)
    bad = next((pair for pair in pairs if len(pair) != 2), None)
    if bad is not None:
        raise CorruptFile(
            f"{files.describe('merges.txt')} has the line {' '.join(bad)!r}, which is no pair",
            filename="merges.txt",
        )
    return [(first, second) for first, second in pairs]


def _gpt2(engine: Tokenizer, vocabulary: Mapping[str, int], options: Mapping[str, Any]) -> None:
    prefix = bool(options["add_prefix_space"])
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    if not options.get("add_bos_token"):
        engine.post_processor = processors.ByteLevel(trim_offsets=False)
        return
    bos = str(options["bos_token"])
    engine.post_processor = processors.TemplateProcessing(
        single=f"{bos}:0 $A:0",
        pair=f"{bos}:0 $A:0 $B:1",
        special_tokens=[(bos, _id_of(vocabulary, bos))],
    )


def _roberta(engine: Tokenizer, vocabulary: Mapping[str, int], options: Mapping[str, Any]) -> None:
    prefix = bool(options["add_prefix_space"])
    sep, cls = str(options["sep_token"]), str(options["cls_token"])
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    engine.post_processor = processors.RobertaProcessing(
        (sep, _id_of(vocabulary, sep)),
        (cls, _id_of(vocabulary, cls)),
        add_prefix_space=prefix,
        trim_offsets=bool(options["trim_offsets"]),
    )


def _blenderbot(
    engine: Tokenizer, vocabulary: Mapping[str, int], options: Mapping[str, Any]
) -> None:
    eos = str(options["eos_token"])
    prefix = bool(options["add_prefix_space"])
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    engine.post_processor = processors.TemplateProcessing(
        single=f"$A:0 {eos}:0", special_tokens=[(eos, _id_of(vocabulary, eos))]
    )


def _deberta(engine: Tokenizer, vocabulary: Mapping[str, int], options: Mapping[str, Any]) -> None:
    prefix = bool(options["add_prefix_space"])
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    engine.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, _id_of(vocabulary, token)) for token in _DEBERTA_FRAME],
    )


def _qwen2(engine: Tokenizer, vocabulary: Mapping[str, int], options: Mapping[str, Any]) -> None:
    del vocabulary
    prefix = bool(options["add_prefix_space"])
    engine.normalizer = normalizers.NFC()
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_WORDS), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False),
        ]
    )
    engine.post_processor = processors.ByteLevel(trim_offsets=False)


def _clip(engine: Tokenizer, vocabulary: Mapping[str, int], options: Mapping[str, Any]) -> None:
    eos, bos = str(options["eos_token"]), str(options["bos_token"])
    engine.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    engine.post_processor = processors.RobertaProcessing(
        (eos, _id_of(vocabulary, eos)),
        (bos, _id_of(vocabulary, bos)),
        add_prefix_space=False,
        trim_offsets=False,
    )


_PIPELINES: Mapping[str, Callable[[Tokenizer, Mapping[str, int], Mapping[str, Any]], None]] = {
    "BlenderbotTokenizer": _blenderbot,
    "CLIPTokenizer": _clip,
    "CodeGenTokenizer": _gpt2,
    "DebertaTokenizer": _deberta,
    "GPT2Tokenizer": _gpt2,
    "Qwen2Tokenizer": _qwen2,
}


def _id_of(vocabulary: Mapping[str, int], token: str) -> int:
    if token not in vocabulary:
        raise CorruptFile(
            f"vocab.json has no {token}, which is put around every text",
            hint="name the special tokens in tokenizer_config.json, or check the file",
            filename="vocab.json",
        )
    return vocabulary[token]
