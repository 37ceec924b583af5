"""SentencePiece with byte fallback: LLaMA, Code Llama, Mistral, Gemma.

What no piece covers becomes its bytes.

A repository of these classes may hold another format in ``tokenizer.model`` (Llama 3 has tiktoken's
lines there), or a tekken.json instead: the bytes decide.

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: LlamaConverter, GemmaConverter, and
``LlamaTokenizerFast.update_post_processor``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

from hubloader.tokenizers.classes import TokenizerClass
from hubloader.tokenizers.ranked_bytes import build_ranked, special_of
from hubloader.tokenizers.sentencepiece_engine import make_engine, model_from
from hubloader.tokenizers.sentencepiece_frame import template
from hubloader.tokenizers.sentencepiece_model import read_model_bytes
from hubloader.tokenizers.vocabulary_format import VocabularyFormat, sniff_vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.tokenizers.sentencepiece_engine import Scored
    from hubloader.tokenizers.sentencepiece_model import SentencePieceModel
    from hubloader.types import FileSet

__all__ = ["CLASSES", "CLASS_NAMES", "MODEL_TYPES", "build", "frame", "settle"]

_FILE = "tokenizer.model"
_RANKED = ("tekken.json", "tiktoken.model")  # what may stand there instead
_RANKED_FORMATS = frozenset({VocabularyFormat.TIKTOKEN, VocabularyFormat.TEKKEN})
_SPACE = "▁"
_TURNS = ("<start_of_turn>", "<end_of_turn>")  # user-defined pieces of Gemma that are special
_FRAME = {"add_bos_token": True, "add_eos_token": False}
_LLAMA_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_GEMMA_TOKENS = {
    "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>",
}  # fmt: skip

# Code Llama's tokens around what is to be filled in; without any, a role is None.
_INFILLING = {
    "prefix_token": "▁<PRE>",
    "middle_token": "▁<MID>",
    "suffix_token": "▁<SUF>",
    "eot_token": "▁<EOT>",
}

CLASSES = tuple(
    TokenizerClass(
        name=name,
        family="sentencepiece_bytes",
        legacy_files=(_FILE,),
        other_files=_RANKED,
        special_tokens=_tokens,
        options={**_FRAME, **more},
        padding_side="left",
        framed_by=frozenset(_FRAME),
        keep_conversion=True,  # working out the merges takes three times as long as reading them
    )
    for name, _tokens, more in (
        ("CodeLlamaTokenizer", _LLAMA_TOKENS, {**_INFILLING, "fill_token": "<FILL_ME>"}),
        ("GemmaTokenizer", _GEMMA_TOKENS, {}),
        ("LlamaTokenizer", _LLAMA_TOKENS, {}),
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
            "arcee", "aria", "chameleon", "code_llama", "colpali", "deepseek_v2", "deepseek_v3",
            "deepseek_vl", "deepseek_vl_hybrid", "diffllama", "ernie4_5", "ernie4_5_moe",
            "idefics", "idefics2", "idefics3", "jamba", "janus", "jetmoe", "llama", "llama4",
            "llama4_text", "llava", "llava_next", "llava_next_video", "llava_onevision",
            "ministral", "mistral", "mistral3", "mixtral", "mllama", "paligemma", "persimmon",
            "phi3", "phimoe", "video_llava", "vipllava", "zamba", "zamba2",
        ),
        "LlamaTokenizer",
    ),
}  # fmt: skip


def settle(kind: TokenizerClass, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make the tokens of infilling special, as the class's ``__init__`` does."""
    settled = dict(settings)
    if kind.name == "CodeLlamaTokenizer":
        given = list(settled.get("additional_special_tokens") or ())
        known = {str(token) for token in given}
        more = [str(settled[role]) for role in _INFILLING if settled.get(role) is not None]
        settled["additional_special_tokens"] = given + [t for t in more if t not in known]
    return settled


def build(files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]) -> Tokenizer:
    """Make the engine of a LLaMA or Gemma class; ``frame`` makes its last part.

    Args:
        files: where the file is.
        kind: the class.
        options: ``legacy``, ``add_prefix_space`` and the special tokens, as merged from defaults,
            files and arguments.

    Raises:
        CorruptFile: the file is damaged.
        UnsafeFile: something in it is beyond its bound.
        UnknownTokenizer: it is in a format that is not read here; says which.

    """
    names = files.names()
    name = next((name for name in (_FILE, *_RANKED) if name in names), _FILE)
    raw = read_model_bytes(files, name)
    if name in _RANKED or sniff_vocabulary(raw) in _RANKED_FORMATS:
        return build_ranked(files, name, special_of(options))
    model = model_from(raw, files, name)
    if kind.name == "GemmaTokenizer":
        return _gemma(model, options)
    if kind.name == "CodeLlamaTokenizer":  # its slow class knows no `legacy`
        options = {**options, "legacy": True}
    return _llama(model, options)


def frame(
    engine: Tokenizer, kind: TokenizerClass, options: Mapping[str, Any], *, target: bool = False
) -> Any:
    """Make what puts the beginning and the end of a sequence around texts, as ``options`` want it.

    A role without a token puts nothing there, as in transformers 5; 4.57 raises.
    """
    del target
    begin, end = (
        [str(options[role])] if options[wanted] and options.get(role) is not None else []
        for wanted, role in (("add_bos_token", "bos_token"), ("add_eos_token", "eos_token"))
    )
    single = [*begin, "$A", *end]
    more = [f"{piece}:1" for piece in (*begin, "$B", *end)]
    return template(
        engine,
        single,
        [*single, *more],
        unknown=options.get("unk_token"),
        where=kind.legacy_files[0],
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
    roles = ("pad_token", "eos_token", "bos_token")
    vocabulary: list[Scored] = [
        (piece.text if options.get(role) is None else str(options[role]), 0.0)
        for role, piece in zip(roles, model.pieces, strict=False)
    ]
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
