"""Train the small vocabularies under cache_fixtures/tokenizers, and write the texts to try.

Run it with the project's Python. Byte-level vocabularies come out the same each time; WordPiece's
trainer breaks ties by chance, so capture the goldens anew after it (scripts/capture_golden.py).
What it wrote, with hashes, is in cache_fixtures/tokenizers/MANIFEST.json.
"""

# ruff: noqa: RUF001 - letters that look alike are what these texts are for
from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

FIXTURES = Path(__file__).resolve().parent.parent / "cache_fixtures"
VOCABULARY_SIZE = 700
FOLDERS = ("clip", "deberta", "funnel", "gpt2", "mpnet", "roberta", "splinter", "wordpiece-cased")

# One sentence in each script, then what breaks tokenizers: marks, joiners, controls, odd spaces.
SENTENCES = [
    "We are very happy to show you the 🤗 Transformers library.",
    "We hope you don't hate it.",
    "Das Mädchen fährt über die Straße; naïve café, Ærø, œuvre, İstanbul.",
    "Съешь же ещё этих мягких французских булок.",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.",
    "השועל החום המהיר קופץ מעל הכלב העצלן.",
    "الثعلب البني السريع يقفز فوق الكلب الكسول ﷺ",
    "تیز بھورا لومڑ سست کتے پر سے چھلانگ لگاتا ہے۔",
    "敏捷的棕色狐狸跳过了懒狗。",
    "素早い茶色の狐がのろまな犬を飛び越える。カタカナ ﾊﾝｶｸ",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다.",
    "เดอะควิกบราวน์ฟอกซ์ กระโดดข้ามสุนัข",
    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है।",
    "দ্রুত বাদামী শিয়াল অলস কুকুরের উপর লাফ দেয়।",
    "விரைவான பழுப்பு நரி சோம்பேறி நாய்.",
    "వేగవంతమైన గోధుమ రంగు నక్క.",
    "ವೇಗದ ಕಂದು ನರಿ ಸೋಮಾರಿ ನಾಯಿ.",
    "വേഗതയുള്ള തവിട്ടുനിറമുള്ള കുറുക്കൻ.",
    "ઝડપી ભૂરું શિયાળ આળસુ કૂતરા.",
    "ਤੇਜ਼ ਭੂਰੀ ਲੂੰਬੜੀ ਆਲਸੀ ਕੁੱਤਾ।",
    "වේගවත් දුඹුරු නරියා.",
    "ལྗང་ཁུ་མགྱོགས་པོ།",
    "မြန်ဆန်သော အညိုရောင် မြေခွေး။",
    "កញ្ជ្រោងពណ៌ត្នោតរហ័ស។",
    "ໝາຈອກສີນ້ຳຕານໄວ.",
    "სწრაფი ყავისფერი მელა.",
    "Արագ շագանակագույն աղվեսը։",
    "ፈጣን ቡናማ ቀበሮ።",
    "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ",
    "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ",
    "𐌰𐌱𐌲 𝒳𝓎 𝟙𝟚 Ⅷ ½ ﬁ ﬂ ＦＵＬＬ",
]
HARD = [
    "",
    " ",
    "\n\t\r\n  ",
    "a",
    "[CLS] a [SEP] [MASK] [UNK] [PAD] <s> </s> <mask> <pad> <unk> <|endoftext|>",
    "hello [MASK]world",
    "it 's a test , is n't it ? yes ! we 've `` done '' it .",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "e\u0301 n\u0303 a\u030a\u0323 Z\u0351\u036b\u0343\u036a",
    "a\u00a0b\u2003c\u2028d\u3000e\u200bf\ufeffg\u00adh",
    "nul\x00here bell\x07 esc\x1b[0m del\x7f c1\x85 \ufffd \ufffe",
    "\u202eright to left\u202c \u200f\u200emarks",
    "x" * 120 + " " + "ab" * 60,
    "3.14159 1,000,000 +49-30-123456 user@example.com https://example.com/a?b=c#d",
    "def f(x):\n    return x ** 2  # comment\n\n\n\tif True: pass",
    "   leading and trailing   ",
    "CamelCaseWord snake_case_word SHOUTING miXeD",
    "don't won't I'm you've they'll we're he'd DON'T",
]


def main() -> None:
    """Write the texts and every vocabulary."""
    texts = [*SENTENCES, *HARD]
    target = FIXTURES / "goldens" / "texts.json"
    target.write_text(json.dumps(texts, ensure_ascii=True, indent=0) + "\n", encoding="ascii")
    bert = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    train_wordpiece("wordpiece-cased", bert, lowercase=False)
    derive_splinter()
    train_wordpiece("mpnet", ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"], lowercase=True)
    train_wordpiece(
        "funnel", ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>", "<s>", "</s>"], lowercase=True
    )
    roberta = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    train_byte_bpe("roberta", roberta)
    train_byte_bpe("gpt2", ["<|endoftext|>"])
    train_byte_bpe("deberta", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    train_byte_bpe("clip", ["<|startoftext|>", "<|endoftext|>"], suffix="</w>")
    write_manifest()


def write_manifest() -> None:
    """Say what was made, of what, with what; folders of other scripts are theirs to describe."""
    folder = FIXTURES / "tokenizers"
    files = [path for name in FOLDERS for path in sorted((folder / name).iterdir())]
    manifest = {
        "command": ".venv/bin/python scripts/train_fixture_tokenizers.py",
        "python": platform.python_version(),
        "tokenizers": tokenizers.__version__,
        "trained_on": "SENTENCES in that script, three times; Apache-2.0",
        "reproducible": "byte-level BPE yes; WordPiece no: its trainer breaks ties by chance",
        "sha256": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        },
    }
    (folder / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="ascii")


def train_wordpiece(name: str, special: list[str], *, lowercase: bool) -> None:
    """Train vocab.txt."""
    unknown = next(token for token in special if "unk" in token.lower())
    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY_SIZE, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    save(tokenizer, name)


def train_byte_bpe(name: str, special: list[str], *, suffix: str = "") -> None:
    """Train vocab.json and merges.txt."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=suffix))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=special,
        end_of_word_suffix=suffix,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    save(tokenizer, name)


def derive_splinter() -> None:
    """Write the cased vocabulary with the token that stands for a question."""
    tokens = (FIXTURES / "tokenizers" / "wordpiece-cased" / "vocab.txt").read_text("utf-8")
    folder = FIXTURES / "tokenizers" / "splinter"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text(tokens.rstrip("\n") + "\n[QUESTION]\n", encoding="utf-8")


def save(tokenizer: Tokenizer, name: str) -> None:
    """Write the engine's own vocabulary files."""
    folder = FIXTURES / "tokenizers" / name
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.model.save(str(folder))


if __name__ == "__main__":
    main()
