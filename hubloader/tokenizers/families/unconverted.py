"""Classes that come from tokenizer.json alone: nothing here converts their legacy files yet.

Their table says what a call returns and which special tokens there are by default.

Source: transformers 4.57.6, the ``*TokenizerFast`` classes; 5.23 for ``TokenizersBackend``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from hubloader.errors import UnknownTokenizer
from hubloader.tokenizers.classes import TokenizerClass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.types import FileSet

__all__ = ["CLASSES", "CLASS_NAMES", "MODEL_TYPES", "build"]

_WITH_TYPES = ("input_ids", "token_type_ids", "attention_mask")
_WITHOUT_TYPES = ("input_ids", "attention_mask")
_ROLES = {
    "b": "bos_token",
    "e": "eos_token",
    "u": "unk_token",
    "s": "sep_token",
    "p": "pad_token",
    "c": "cls_token",
    "m": "mask_token",
}


def _table(
    name: str, inputs: tuple[str, ...], roles: str, tokens: str, side: str = "right"
) -> TokenizerClass:
    """Make a row: ``roles`` has a letter for each of the ``tokens``."""
    named = zip(roles, tokens.split(), strict=True)
    special = {_ROLES[letter]: token for letter, token in named}
    return TokenizerClass(
        name=name, model_input_names=inputs, special_tokens=special, padding_side=side
    )


_BERT = "[UNK] [SEP] [PAD] [CLS] [MASK]"
_COHERE = "<BOS_TOKEN> <|END_OF_TURN_TOKEN|> <UNK>"
_XLMR = "<s> </s> <unk> </s> <pad> <s> <mask>"
_GPT = "<|endoftext|> <|endoftext|> <|endoftext|>"

CLASSES = (
    _table("BloomTokenizer", _WITHOUT_TYPES, "beup", "<s> </s> <unk> <pad>"),
    _table("CohereTokenizer", _WITHOUT_TYPES, "beu", _COHERE, "left"),
    _table("EsmTokenizer", _WITHOUT_TYPES, "eupcm", "<eos> <unk> <pad> <cls> <mask>"),
    _table("GPTNeoXTokenizer", _WITHOUT_TYPES, "beu", _GPT),
    _table("HerbertTokenizer", _WITH_TYPES, "uspcm", "<unk> </s> <pad> <s> <mask>"),
    _table("LayoutLMv2Tokenizer", _WITH_TYPES, "uspcm", _BERT),
    _table("LayoutLMv3Tokenizer", _WITHOUT_TYPES, "beuspcm", _XLMR),
    _table("OpenAIGPTTokenizer", _WITHOUT_TYPES, "u", "<unk>"),
    _table("TokenizersBackend", _WITHOUT_TYPES, "", ""),
    _table("WhisperTokenizer", _WITHOUT_TYPES, "beu", _GPT),
)  # fmt: skip
CLASS_NAMES = frozenset(kind.name for kind in CLASSES)
MODEL_TYPES = {
    "bloom": "BloomTokenizer",
    **dict.fromkeys(("aya_vision", "cohere", "cohere2"), "CohereTokenizer"),
    "esm": "EsmTokenizer",
    **dict.fromkeys(
        (
            "falcon_mamba", "gpt_neox", "mamba", "mamba2", "mpt", "olmo", "olmo2", "olmoe", "rwkv",
            "stablelm", "xlstm",
        ),
        "GPTNeoXTokenizer",
    ),
    "herbert": "HerbertTokenizer",
    "layoutlmv2": "LayoutLMv2Tokenizer",
    **dict.fromkeys(("layoutlmv3", "lilt"), "LayoutLMv3Tokenizer"),
    "openai-gpt": "OpenAIGPTTokenizer",
    "whisper": "WhisperTokenizer",
}  # fmt: skip


def build(files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]) -> NoReturn:
    """Refuse: no legacy files are converted here."""
    del options
    raise UnknownTokenizer(f"{files.describe()}: nothing here converts the files of {kind.name}")
