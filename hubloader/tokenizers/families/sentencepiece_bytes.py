"""SentencePiece with byte fallback: LLaMA, Mistral, Gemma. What no piece covers becomes its bytes.

A repository of these classes may hold another format in ``tokenizer.model`` (Llama 3 has tiktoken's
lines there), or a tekken.json instead: the bytes decide.

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: LlamaConverter, GemmaConverter, and
``LlamaTokenizerFast.update_post_processor``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors

from hubloader.tokenizers.classes import TokenizerClass
from hubloader.tokenizers.ranked_bytes import build_ranked, special_of
from hubloader.tokenizers.sentencepiece_engine import framing_id, make_engine, model_from
from hubloader.tokenizers.sentencepiece_model import read_model_bytes
from hubloader.tokenizers.vocabulary_format import VocabularyFormat, sniff_vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.tokenizers.sentencepiece_engine import Scored
    from hubloader.tokenizers.sentencepiece_model import SentencePieceModel
    from hubloader.types import FileSet

__all__ = ["CLASSES", "CLASS_NAMES", "MODEL_TYPES", "build", "frame"]

_FILE = "tokenizer.model"
_RANKED = ("tekken.json", "tiktoken.model")  # what may stand there instead
_SPACE = "▁"
_TURNS = ("<start_of_turn>", "<end_of_turn>")  # user-defined pieces of Gemma that are special
_FRAME = {"add_bos_token": True, "add_eos_token": False}

CLASSES = tuple(
    TokenizerClass(
        name=name,
        family="sentencepiece_bytes",
        legacy_files=(_FILE,),
        other_files=_RANKED,
        special_tokens=tokens,
        options=_FRAME,
        padding_side="left",
        framed_by=frozenset(_FRAME),
        keep_conversion=True,  # working out the merges takes three times as long as reading them
    )
    for name, tokens in (
        (
            "GemmaTokenizer",
            {
                "bos_token": "<bos>",
                "eos_token": "<eos>",
                "unk_token": "<unk>",
                "pad_token": "<pad>",
            },
        ),
        ("LlamaTokenizer", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    )
)
CLASS_NAMES = frozenset(kind.name for kind in CLASSES)
MODEL_TYPES = {
    **dict.fromkeys(
        (
            "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text",
            "recurrent_gemma", "shieldgemma2", "siglip2", "t5gemma",
        ),
        "GemmaTokenizer",
    ),
    **dict.fromkeys(
        (
            "arcee", "aria", "chameleon", "colpali", "deepseek_v2", "deepseek_v3", "deepseek_vl",
            "deepseek_vl_hybrid", "diffllama", "ernie4_5", "ernie4_5_moe", "idefics", "idefics2",
            "idefics3", "jamba", "janus", "jetmoe", "llama", "llama4", "llama4_text", "llava",
            "llava_next", "llava_next_video", "llava_onevision", "ministral", "mistral", "mistral3",
            "mixtral", "mllama", "paligemma", "persimmon", "phi3", "phimoe", "video_llava",
            "vipllava", "zamba", "zamba2",
        ),
        "LlamaTokenizer",
    ),
}  # fmt: skip


def build(files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]) -> Tokenizer:
    """Make the engine of a LLaMA or Gemma class from its vocabulary file.

    Args:
        files: where the file is.
        kind: the class.
        options: ``legacy``, ``add_prefix_space``, ``add_bos_token``, ``add_eos_token`` and the
            special tokens, as merged from defaults, files and arguments.

    Raises:
        CorruptFile: the file is damaged, or lacks a token that every text is framed with.
        UnsafeFile: something in it is beyond its bound.
        UnknownTokenizer: it is in a format that is not read here; says which.

    """
    names = files.names()
    name = next((name for name in (_FILE, *_RANKED) if name in names), _FILE)
    raw = read_model_bytes(files, name)
    if name in _RANKED or sniff_vocabulary(raw) is VocabularyFormat.TIKTOKEN:
        engine = build_ranked(files, name, special_of(options))
    else:
        model = model_from(raw, files, name)
        engine = _gemma(model, options) if kind.name == "GemmaTokenizer" else _llama(model, options)
    frame(engine, kind, options)
    return engine


def frame(engine: Tokenizer, kind: TokenizerClass, options: Mapping[str, Any]) -> None:
    """Put the beginning and the end of a sequence around texts, as the init arguments want it."""
    begin, end = str(options["bos_token"]), str(options["eos_token"])
    parts = [(options["add_bos_token"], begin), (options["add_eos_token"], end)]
    before, after = (f"{token}:%d" if wanted else "" for wanted, token in parts)
    single = " ".join(part % 0 if "%" in part else part for part in (before, "$A:0", after) if part)
    more = " ".join(part % 1 if "%" in part else part for part in (before, "$B:1", after) if part)
    engine.post_processor = processors.TemplateProcessing(
        single=single,
        pair=f"{single} {more}",
        special_tokens=[
            (token, framing_id(engine, token, kind.legacy_files[0]))
            for wanted, token in parts
            if wanted
        ],
    )


def _llama(model: SentencePieceModel, options: Mapping[str, Any]) -> Tokenizer:
    scored: list[Scored] = [(piece.text, piece.score) for piece in model.pieces]
    vocabulary = [(text, 0.0) for text, _ in scored[:3]] + scored[3:]
    engine = make_engine(model, vocabulary, unknown_id=0, byte_fallback=True)
    prefix = options.get("add_prefix_space")
    prefix = True if prefix is None else bool(prefix)
    if options.get("legacy") in {None, True}:
        steps: list[Any] = [normalizers.Prepend(prepend=_SPACE)] if prefix else []
        steps.append(normalizers.Replace(pattern=" ", content=_SPACE))
        engine.normalizer = normalizers.Sequence(steps)
    else:
        engine.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement=_SPACE, prepend_scheme="first" if prefix else "never", split=False
        )
    stripped = [decoders.Strip(content=" ", left=1)] if prefix else []
    engine.decoder = decoders.Sequence([*_joined(), *stripped])
    return engine


def _gemma(model: SentencePieceModel, options: Mapping[str, Any]) -> Tokenizer:
    first = [str(options[role]) for role in ("pad_token", "eos_token", "bos_token")]
    vocabulary: list[Scored] = [(text, 0.0) for text in first]
    vocabulary += [(piece.text, piece.score) for piece in model.pieces[3:]]
    texts = [text for text, _ in vocabulary]
    if "\t" not in texts and "<0x09>" in texts:  # the first Gemma had no tab of its own
        vocabulary[texts.index("<0x09>")] = ("\t", 0.0)
    engine = make_engine(
        model,
        vocabulary,
        unknown_id=3,
        byte_fallback=True,
        special=_TURNS,
        aliases={"\t": "<0x09>"},
    )
    engine.normalizer = normalizers.Replace(" ", _SPACE)
    engine.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    engine.decoder = decoders.Sequence(_joined())
    return engine


def _joined() -> list[Any]:
    return [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
