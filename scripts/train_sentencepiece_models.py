"""Train the small SentencePiece models under cache_fixtures/tokenizers.

Run it with a Python that has the ``sentencepiece`` package::

    PYTHON_WITH_SENTENCEPIECE scripts/train_sentencepiece_models.py

They are trained on the sentences of cache_fixtures/goldens/texts.json, in some thirty scripts, and
come out the same each time. The character map is a small one of our own: the usual one
(nmt_nfkc) alone has 240 KB. After it, capture the goldens anew (scripts/capture_sentencepiece.py).
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece

FIXTURES = Path(__file__).resolve().parent.parent / "cache_fixtures"
FIRST_HARD_TEXT = 31  # texts.json has sentences to train on, then texts that break tokenizers
ENGLISH = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind it at all.",
    "In 2024 there were 1,000 new libraries; 12, 13 and 14 of them were written by one person.",
    "She said: ``that is fine'', and they're happy that it's done, aren't they?",
    "naïve café résumé über Straße; New York, Los Angeles and San Francisco are big cities.",
]
# What the character map changes: ranges and single characters, taken through NFKC, and the rest.
NORMALIZED = "ﬁﬂﬀ½¼Ⅷ№™𝒳𝓎𝟙𝟚ﺎﷺ\u00a0\u2003\u3000…" + "".join(map(chr, range(0xFF01, 0xFF5F)))
COMBINED = ["e\u0301", "n\u0303", "a\u030a", "o\u0308", "u\u0308", "c\u0327"]
SPACES = "\t\n\r\u2028"
DROPPED = "\u200b\ufeff\u00ad\x07\x7f"

LETTERS = {"character_coverage": 0.98, "vocab_size": 620}
ALBERT = {
    "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1,
    "control_symbols": ["[CLS]", "[SEP]", "[MASK]"], "user_defined_symbols": ["4,"],
}  # fmt: skip
T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
DEBERTA = {
    "pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3,
    "pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]",
}  # fmt: skip
XLNET = {
    "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1,
    "control_symbols": ["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"],
    "user_defined_symbols": ["4,"],
}  # fmt: skip
BIG_BIRD = {
    "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3,
    "control_symbols": ["[CLS]", "[SEP]", "[MASK]"], "user_defined_symbols": ["<n>", "hello"],
}  # fmt: skip
BYTES = {
    "model_type": "bpe", "byte_fallback": True, "split_digits": True, "vocab_size": 960,
    "allow_whitespace_only_pieces": True,
    "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
}  # fmt: skip
GEMMA = {
    "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "bos_piece": "<bos>", "eos_piece": "<eos>",
    "user_defined_symbols": [
        "<mask>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "\t", "▁▁",
    ],
    "add_dummy_prefix": False,
}  # fmt: skip
MODELS = {
    "spm-fairseq/sentencepiece.bpe.model": {},
    "spm-albert/spiece.model": ALBERT,
    "spm-t5/spiece.model": T5,
    "spm-umt5/spiece.model": {**T5, "byte_fallback": True, "vocab_size": 900},
    "spm-deberta/spm.model": DEBERTA,
    "spm-xlnet/spiece.model": XLNET,
    "spm-big-bird/spiece.model": BIG_BIRD,
    "spm-reformer/spiece.model": {"model_type": "bpe", "vocab_size": 640},
    "spm-llama/tokenizer.model": BYTES,
    "spm-gemma/tokenizer.model": {**BYTES, **GEMMA},
    "spm-gemma-no-tab/tokenizer.model": {
        **BYTES,
        **GEMMA,
        "user_defined_symbols": ["<mask>", "<start_of_turn>", "\n", "a\tb", "\ta"],
    },
}


def main() -> None:
    """Train every model, then write the tiktoken and tekken vocabularies."""
    texts = json.loads((FIXTURES / "goldens" / "texts.json").read_text("ascii"))
    sentences = [*texts[:FIRST_HARD_TEXT], *ENGLISH] * 3
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as rules:
        rules.write("".join(character_rules()))
        rules.flush()
        for name, options in MODELS.items():
            train(FIXTURES / "tokenizers" / name, sentences, options, rules.name)
    write_ranks(sentences)


def character_rules():
    """Give the lines of the character map: what becomes what, as code points."""
    pairs = {char: unicodedata.normalize("NFKC", char) for char in NORMALIZED}
    pairs.update({text: unicodedata.normalize("NFC", text) for text in COMBINED})
    pairs.update(dict.fromkeys(SPACES, " "))
    pairs.update(dict.fromkeys(DROPPED, ""))
    for source, target in sorted(pairs.items()):
        yield "\t".join(" ".join(f"{ord(c):X}" for c in text) for text in (source, target)) + "\n"


def train(path: Path, sentences: list[str], options: dict, rules: str) -> None:
    """Train one model."""
    settings = {**LETTERS, "model_type": "unigram", "num_threads": 1, "minloglevel": 2, **options}
    if "normalization_rule_name" not in settings:
        settings["normalization_rule_tsv"] = rules
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, hard_vocab_limit=False, **settings
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(without_traces(model.getvalue()))


def without_traces(raw: bytes) -> bytes:
    """Leave out where the training data and the rules lay."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto.FromString(raw)
    for field in ("input", "model_prefix"):
        model.trainer_spec.ClearField(field)
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    return model.SerializeToString(deterministic=True)


def write_ranks(sentences: list[str]) -> None:
    """Write one byte-level vocabulary in tiktoken's format and in tekken's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    engine.train_from_iterator(sentences, trainer)
    ranks = [to_bytes(token) for token, _ in sorted(engine.get_vocab().items(), key=lambda x: x[1])]
    encoded = [base64.b64encode(token).decode("ascii") for token in ranks]
    path = FIXTURES / "tokenizers" / "tiktoken" / "tokenizer.model"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{token} {rank}\n" for rank, token in enumerate(encoded)), "ascii")
    tekken = {
        "config": {
            "pattern": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
            r"|\s+(?!\S)|\s+",
            "num_vocab_tokens": len(ranks), "default_vocab_size": len(ranks) - 4,
            "default_num_special_tokens": 6, "version": "v3",
        },
        "vocab": [
            {"rank": rank, "token_bytes": token, "token_str": None}
            for rank, token in enumerate(encoded)
        ],
        "special_tokens": [
            {"rank": rank, "token_str": text, "is_control": True}
            for rank, text in enumerate(("<unk>", "<s>", "</s>", "[INST]"))
        ],
    }  # fmt: skip
    path = FIXTURES / "tokenizers" / "tekken" / "tekken.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tekken, indent=0) + "\n", "ascii")


def to_bytes(token: str) -> bytes:
    """Turn a token of the byte-level alphabet into its bytes."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in visible}
    hidden = [byte for byte in range(256) if byte not in visible]
    table.update({chr(256 + index): byte for index, byte in enumerate(hidden)})
    return bytes(table[char] for char in token)


if __name__ == "__main__":
    main()
