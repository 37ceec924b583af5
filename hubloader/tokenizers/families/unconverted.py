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


_ALBERT = "[CLS] [SEP] <unk> [SEP] <pad> [CLS] [MASK]"
_BERT = "[UNK] [SEP] [PAD] [CLS] [MASK]"
_BIG_BIRD = "<s> </s> <unk> [SEP] <pad> [CLS] [MASK]"
_COHERE = "<BOS_TOKEN> <|END_OF_TURN_TOKEN|> <UNK>"
_DEBERTA = "[CLS] [SEP] [UNK] [SEP] [PAD] [CLS] [MASK]"
_FNET = "<unk> [SEP] <pad> [CLS] [MASK]"
_FNET_INPUTS = ("input_ids", "token_type_ids")
_XLNET = "<s> </s> <unk> <sep> <pad> <cls> <mask>"
_XLMR = "<s> </s> <unk> </s> <pad> <s> <mask>"
_GPT = "<|endoftext|> <|endoftext|> <|endoftext|>"

CLASSES = (
    _table("AlbertTokenizer", _WITH_TYPES, "beuspcm", _ALBERT),
    _table("BarthezTokenizer", _WITHOUT_TYPES, "beuspcm", _XLMR),
    _table("BigBirdTokenizer", _WITHOUT_TYPES, "beuspcm", _BIG_BIRD),
    _table("BloomTokenizer", _WITHOUT_TYPES, "beup", "<s> </s> <unk> <pad>"),
    _table("CamembertTokenizer", _WITHOUT_TYPES, "beuspcm", _XLMR),
    _table("CohereTokenizer", _WITHOUT_TYPES, "beu", _COHERE, "left"),
    _table("DebertaV2Tokenizer", _WITH_TYPES, "beuspcm", _DEBERTA),
    _table("EsmTokenizer", _WITHOUT_TYPES, "eupcm", "<eos> <unk> <pad> <cls> <mask>"),
    _table("FNetTokenizer", _FNET_INPUTS, "uspcm", _FNET),
    _table("GPTNeoXTokenizer", _WITHOUT_TYPES, "beu", _GPT),
    _table("GemmaTokenizer", _WITHOUT_TYPES, "beup", "<bos> <eos> <unk> <pad>", "left"),
    _table("HerbertTokenizer", _WITH_TYPES, "uspcm", "<unk> </s> <pad> <s> <mask>"),
    _table("LayoutLMv2Tokenizer", _WITH_TYPES, "uspcm", _BERT),
    _table("LayoutLMv3Tokenizer", _WITHOUT_TYPES, "beuspcm", _XLMR),
    _table("LlamaTokenizer", _WITHOUT_TYPES, "beu", "<s> </s> <unk>", "left"),
    _table("MBart50Tokenizer", _WITHOUT_TYPES, "euspcm", "</s> <unk> </s> <pad> <s> <mask>"),
    _table("MBartTokenizer", _WITHOUT_TYPES, "beuspcm", _XLMR),
    _table("MT5Tokenizer", _WITHOUT_TYPES, "eup", "</s> <unk> <pad>"),
    _table("NllbTokenizer", _WITHOUT_TYPES, "beuspcm", _XLMR),
    _table("OpenAIGPTTokenizer", _WITHOUT_TYPES, "u", "<unk>"),
    _table("PegasusTokenizer", _WITHOUT_TYPES, "eupm", "</s> <unk> <pad> <mask_2>"),
    _table("ReformerTokenizer", _WITHOUT_TYPES, "eu", "</s> <unk>"),
    _table("RemBertTokenizer", _WITH_TYPES, "beuspcm", _ALBERT),
    _table("SeamlessM4TTokenizer", _WITHOUT_TYPES, "beuspc", "<s> </s> <unk> </s> <pad> <s>"),
    _table("T5Tokenizer", _WITHOUT_TYPES, "eup", "</s> <unk> <pad>"),
    _table("TokenizersBackend", _WITHOUT_TYPES, "", ""),
    _table("UdopTokenizer", _WITHOUT_TYPES, "eusp", "</s> <unk> </s> <pad>"),
    _table("WhisperTokenizer", _WITHOUT_TYPES, "beu", _GPT),
    _table("XGLMTokenizer", _WITHOUT_TYPES, "beuspc", "<s> </s> <unk> </s> <pad> <s>"),
    _table("XLMRobertaTokenizer", _WITHOUT_TYPES, "beuspcm", _XLMR),
    _table("XLNetTokenizer", _WITH_TYPES, "beuspcm", _XLNET, "left"),
)  # fmt: skip
CLASS_NAMES = frozenset(kind.name for kind in CLASSES)
MODEL_TYPES = {
    **dict.fromkeys(("albert", "nystromformer", "yoso"), "AlbertTokenizer"),
    "barthez": "BarthezTokenizer",
    "big_bird": "BigBirdTokenizer",
    "bloom": "BloomTokenizer",
    "camembert": "CamembertTokenizer",
    **dict.fromkeys(("aya_vision", "cohere", "cohere2"), "CohereTokenizer"),
    "deberta-v2": "DebertaV2Tokenizer",
    "esm": "EsmTokenizer",
    "fnet": "FNetTokenizer",
    **dict.fromkeys(
        (
            "falcon_mamba", "gpt_neox", "mamba", "mamba2", "mpt", "olmo", "olmo2", "olmoe", "rwkv",
            "stablelm", "xlstm",
        ),
        "GPTNeoXTokenizer",
    ),
    **dict.fromkeys(
        (
            "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text",
            "recurrent_gemma", "shieldgemma2", "siglip2", "t5gemma",
        ),
        "GemmaTokenizer",
    ),
    "herbert": "HerbertTokenizer",
    "layoutlmv2": "LayoutLMv2Tokenizer",
    **dict.fromkeys(("layoutlmv3", "lilt"), "LayoutLMv3Tokenizer"),
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
    "mbart": "MBartTokenizer",
    "mbart50": "MBart50Tokenizer",
    "mt5": "MT5Tokenizer",
    **dict.fromkeys(("nllb", "nllb-moe"), "NllbTokenizer"),
    "openai-gpt": "OpenAIGPTTokenizer",
    **dict.fromkeys(("bigbird_pegasus", "pegasus", "pegasus_x"), "PegasusTokenizer"),
    "reformer": "ReformerTokenizer",
    "rembert": "RemBertTokenizer",
    **dict.fromkeys(("seamless_m4t", "seamless_m4t_v2"), "SeamlessM4TTokenizer"),
    **dict.fromkeys(
        (
            "longt5", "musicgen", "musicgen_melody", "pix2struct", "switch_transformers", "t5",
            "umt5",
        ),
        "T5Tokenizer",
    ),
    "udop": "UdopTokenizer",
    "whisper": "WhisperTokenizer",
    "xglm": "XGLMTokenizer",
    **dict.fromkeys(
        ("gte", "jina_embeddings_v3", "kosmos-2", "metaclip_2", "xlm-roberta", "xlm-roberta-xl",
         "xmod"),
        "XLMRobertaTokenizer",
    ),
    "xlnet": "XLNetTokenizer",
}  # fmt: skip


def build(files: FileSet, kind: TokenizerClass, options: Mapping[str, Any]) -> NoReturn:
    """Refuse: no legacy files are converted here."""
    del options
    raise UnknownTokenizer(f"{files.describe()}: nothing here converts the files of {kind.name}")
