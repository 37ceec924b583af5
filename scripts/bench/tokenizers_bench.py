"""Time a tokenizer here against the engine beneath and transformers, in turns, in one process.

    .venv/bin/python scripts/bench/tokenizers_bench.py [--rounds N] [--json FILE]

The rows: 5,000 texts of 60 to 70 tokens as lists, as padded tensors, one short text; loading a
vocabulary of 30,000 tokens, a tokenizer.json of 17 MB, and 50,000 merges with and without
conversion; loading SentencePiece models of 250,000 pieces, and 2,000 texts with them. What stands
are ratios: of the median times, and of the least processor time, which a busy machine disturbs
less.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from pairing import machine

from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.resolve.files import DirectoryFiles
from hubloader.tokenizers.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "cache_fixtures/hub/distilbert/distilbert-base-uncased-finetuned-sst-2-english"
SHORT = "We are very happy to show you the 🤗 Transformers library."
Work = Callable[[], object]


def main() -> None:
    """Run every row and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            title: in_turns(programs, arguments.rounds, repeat)
            for title, repeat, programs in [
                *programs_by_row(folder),
                *loading_rows(Path(folder)),
                *sentencepiece_rows(Path(folder)),
            ]
        }
    for title, runs in rows.items():
        print_row(title, runs)
    if arguments.json:
        figures = {"machine": machine(), "seconds": rows}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def programs_by_row(folder: str) -> list[tuple[str, int, dict[str, Work]]]:
    """Each row: its title, how often a round repeats it, and its programs, the base first."""
    import tokenizers
    import transformers

    ours = AutoTokenizer.from_pretrained(CHECKPOINT)
    ours.save_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    file = str(Path(folder) / "tokenizer.json")
    raw, padding = tokenizers.Tokenizer.from_file(file), tokenizers.Tokenizer.from_file(file)
    padding.enable_padding(pad_id=0, pad_token="[PAD]")  # noqa: S106 - a token of a vocabulary
    texts = make_texts(ours.get_vocab())
    filled = {"padding": True, "return_tensors": "pt"}
    return [
        ("5,000 texts, lists", 1, {
            "engine, fast": lambda: [row.ids for row in raw.encode_batch_fast(texts)],
            "engine": lambda: [row.ids for row in raw.encode_batch(texts)],
            "hubloader": lambda: ours(texts),
            "transformers": lambda: theirs(texts),
        }),
        ("5,000 texts, padded, numpy", 1, {
            "engine, fast": lambda: padding.encode_batch_fast(texts),
            "hubloader": lambda: ours(texts, padding=True, return_tensors="np"),
            "transformers": lambda: theirs(texts, padding=True, return_tensors="np"),
        }),
        ("5,000 texts, padded, torch", 1, {
            "engine, fast": lambda: padding.encode_batch_fast(texts),
            "hubloader": lambda: ours(texts, **filled),
            "transformers": lambda: theirs(texts, **filled),
        }),
        ("one short text", 1000, {
            "engine": lambda: raw.encode(SHORT),
            "hubloader": lambda: ours(SHORT),
            "transformers": lambda: theirs(SHORT),
        }),
    ]  # fmt: skip


def loading_rows(folder: Path) -> list[tuple[str, int, dict[str, Work]]]:
    """The rows on loading, the engine's own reading of a tokenizer.json first."""
    import tokenizers
    import transformers

    small = str(folder / "tokenizer.json")
    large, merges = folder / "large", folder / "merges"
    make_unigram(large)
    make_merges(merges)
    converted = folder / "converted"
    AutoTokenizer.from_pretrained(merges).save_pretrained(converted, legacy_format=False)
    return [
        ("loading 30,000 tokens, tokenizer.json", 1, {
            "engine": lambda: tokenizers.Tokenizer.from_file(small),
            "hubloader": lambda: AutoTokenizer.from_pretrained(folder),
            "transformers": lambda: transformers.AutoTokenizer.from_pretrained(str(folder)),
        }),
        ("loading 30,000 tokens, vocab.txt", 1, {
            "engine, json": lambda: tokenizers.Tokenizer.from_file(small),
            "hubloader": lambda: AutoTokenizer.from_pretrained(CHECKPOINT),
            "transformers": lambda: transformers.AutoTokenizer.from_pretrained(str(CHECKPOINT)),
        }),
        ("loading a tokenizer.json of 17 MB", 1, {
            "engine": lambda: tokenizers.Tokenizer.from_file(str(large / "tokenizer.json")),
            "hubloader": lambda: AutoTokenizer.from_pretrained(large),
            "transformers": lambda: transformers.AutoTokenizer.from_pretrained(str(large)),
        }),
        ("loading 50,000 merges", 1, {
            "tokenizer.json": lambda: AutoTokenizer.from_pretrained(converted),
            "merges.txt": lambda: AutoTokenizer.from_pretrained(merges),
        }),
    ]  # fmt: skip


def sentencepiece_rows(folder: Path) -> list[tuple[str, int, dict[str, Work]]]:
    """The rows on SentencePiece models of 250,000 pieces: loading, keeping, encoding."""
    unigram, merged = folder / "xlm-roberta", folder / "llama"
    make_model(unigram, "sentencepiece.bpe.model", "XLMRobertaTokenizer", bpe=False)
    make_model(merged, "tokenizer.model", "LlamaTokenizer", bpe=True)
    rows = []
    for title, made in (("Unigram", unigram), ("BPE", merged)):
        saved = folder / f"{made.name}-saved"
        ours = AutoTokenizer.from_pretrained(made)
        ours.save_pretrained(saved, legacy_format=False)
        rows.append((f"loading 250,000 pieces, {title}", 1, {
            "tokenizer.json": functools.partial(AutoTokenizer.from_pretrained, saved),
            "model file": functools.partial(AutoTokenizer.from_pretrained, made),
            "kept": functools.partial(_load_kept, made),
        }))  # fmt: skip
        chance = random.Random(3)  # noqa: S311 - nothing here is secret
        texts = [" ".join(make_word(chance) for _ in range(40)) for _ in range(2000)]
        engine = ours.backend_tokenizer
        again = AutoTokenizer.from_pretrained(saved)
        rows.append((f"2,000 texts, {title}", 1, {
            "engine, fast": functools.partial(engine.encode_batch_fast, texts),
            "hubloader": functools.partial(again, texts),
        }))  # fmt: skip
    return rows


class KeepingFiles(DirectoryFiles):
    """A folder that keeps conversions, in memory, as the cache does on disk."""

    kept: ClassVar[dict[str, bytes]] = {}

    def fingerprint(self, names: Iterable[str]) -> str:
        """Take the names for the content, which does not change here."""
        return f"{self.describe()}: {sorted(names)}"

    def read_kept(self, name: str) -> bytes | None:
        """Give what was kept."""
        return self.kept.get(name)

    def keep(self, name: str, content: bytes) -> None:
        """Keep it."""
        self.kept[name] = content


def _load_kept(folder: Path) -> Tokenizer:
    return Tokenizer.from_files(KeepingFiles(folder))


def make_model(folder: Path, name: str, declared: str, *, bpe: bool) -> None:
    """Write a SentencePiece model of 250,000 pieces: words made by chance, and their beginnings."""
    chance = random.Random(4)  # noqa: S311 - nothing here is secret
    texts = dict.fromkeys(map(chr, range(ord("a"), ord("z") + 1)))
    while len(texts) < 249_990:
        word = f"\u2581{make_word(chance)}"
        texts.update(dict.fromkeys(word[:end] for end in range(1, len(word) + 1)))
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(text, -float(place), 1) for place, text in enumerate(texts)]
    raw = b"".join(
        _field(
            1, _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + bytes((0x18, kind))
        )
        for text, score, kind in pieces
    )
    folder.mkdir()
    (folder / name).write_bytes(raw + _field(2, bytes((0x18, 2 if bpe else 1))))
    config = {"tokenizer_class": declared}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def _field(number: int, content: bytes) -> bytes:
    """Write a field of a protocol buffer message."""
    length = len(content)
    size = bytes((length,)) if length < 0x80 else bytes((length & 0x7F | 0x80, length >> 7))
    return bytes((number << 3 | 2,)) + size + content


def make_unigram(folder: Path) -> None:
    """Write a tokenizer.json as large as those of multilingual models: 250,000 pieces."""
    import tokenizers

    chance = random.Random(1)  # noqa: S311 - nothing here is secret
    pieces = [("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [
        (f"\u2581{make_word(chance)}{number}", -5 - chance.random()) for number in range(250_000)
    ]
    engine = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=0))
    engine.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    folder.mkdir()
    engine.save(str(folder / "tokenizer.json"), pretty=True)
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def make_merges(folder: Path) -> None:
    """Train byte-level BPE of GPT-2's size on words made by chance."""
    import tokenizers

    chance = random.Random(2)  # noqa: S311 - nothing here is secret
    words = [make_word(chance) for _ in range(120_000)]
    texts = (" ".join(chance.choices(words, k=200)) for _ in range(3000))
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine = tokenizers.Tokenizer(tokenizers.models.BPE())
    engine.pre_tokenizer = byte_level
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=50_257,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=byte_level.alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator(texts, trainer)
    folder.mkdir()
    engine.model.save(str(folder))
    (folder / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")


def make_word(chance: random.Random) -> str:
    """Make a word of two to six syllables."""
    return "".join(
        chance.choice("bcdfghjklmnpqrstvwz") + chance.choice(("a", "e", "i", "o", "u", "an", "er"))
        for _ in range(chance.randint(2, 6))
    )


def make_texts(vocabulary: dict[str, int]) -> list[str]:
    """Make 5,000 texts of 58 to 68 words that are tokens; the same each time."""
    chance = random.Random(0)  # noqa: S311 - nothing here is secret
    words = sorted(word for word in vocabulary if word.isalpha())
    return [" ".join(chance.choices(words, k=chance.randint(58, 68))) for _ in range(5000)]


def in_turns(
    programs: dict[str, Work], rounds: int, repeat: int
) -> dict[str, list[tuple[float, float]]]:
    """Run each program once unmeasured, then ``rounds`` times in turns.

    Returns:
        For each run its seconds, and the seconds of processor time on all cores together.

    """
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, work in programs.items():
            start, used = time.perf_counter(), time.process_time()
            for _ in range(repeat):
                work()
            took = time.perf_counter() - start, time.process_time() - used
            if turn:
                runs[name].append((took[0] / repeat, took[1] / repeat))
    return runs


def print_row(title: str, runs: dict[str, list[tuple[float, float]]]) -> None:
    """Print each program's median time and least processor time, and their ratios to the first."""
    medians = {name: statistics.median(wall for wall, _ in each) for name, each in runs.items()}
    least = {name: min(used for _, used in each) for name, each in runs.items()}
    base = next(iter(runs))
    print(f"\n{title}")
    for name in runs:
        wall, used = medians[name], least[name]
        print(
            f"  {name:<14} time {wall * 1e3:9.3f} ms {wall / medians[base]:5.2f} x"
            f"   processor {used * 1e3:9.3f} ms {used / least[base]:5.2f} x"
        )


if __name__ == "__main__":
    main()
