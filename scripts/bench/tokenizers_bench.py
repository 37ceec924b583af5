"""Time a tokenizer here against the engine beneath and transformers, in turns, in one process.

    .venv/bin/python scripts/bench/tokenizers_bench.py [--rounds N] [--json FILE]

The rows are those on tokenization of the figures to beat: 5,000 texts of 60 to 70 tokens as lists,
as padded tensors, one short text, and loading. What stands is the ratio of medians. (The file is
not called tokenize.py: that would hide Python's own module from every script beside it.)
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pairing import machine

from hubloader.auto.tokenizer import AutoTokenizer

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
            for title, repeat, programs in programs_by_row(folder)
        }
    for title, medians in rows.items():
        print_row(title, medians)
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
        ("loading, tokenizer.json", 1, {
            "engine": lambda: tokenizers.Tokenizer.from_file(file),
            "hubloader": lambda: AutoTokenizer.from_pretrained(folder),
            "transformers": lambda: transformers.AutoTokenizer.from_pretrained(folder),
        }),
        ("loading, vocab.txt", 1, {
            "hubloader": lambda: AutoTokenizer.from_pretrained(CHECKPOINT),
            "transformers": lambda: transformers.AutoTokenizer.from_pretrained(str(CHECKPOINT)),
        }),
    ]  # fmt: skip


def make_texts(vocabulary: dict[str, int]) -> list[str]:
    """Make 5,000 texts of 58 to 68 words that are tokens; the same each time."""
    chance = random.Random(0)  # noqa: S311 - nothing here is secret
    words = sorted(word for word in vocabulary if word.isalpha())
    return [" ".join(chance.choices(words, k=chance.randint(58, 68))) for _ in range(5000)]


def in_turns(programs: dict[str, Work], rounds: int, repeat: int) -> dict[str, float]:
    """Run each program once unmeasured, then ``rounds`` times in turns; median seconds of one."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, work in programs.items():
            start = time.perf_counter()
            for _ in range(repeat):
                work()
            if turn:
                seconds[name].append((time.perf_counter() - start) / repeat)
    return {name: statistics.median(runs) for name, runs in seconds.items()}


def print_row(title: str, medians: dict[str, float]) -> None:
    """Print the medians and each one's ratio to the first."""
    base = next(iter(medians))
    print(f"\n{title}")
    for name, seconds in medians.items():
        print(f"  {name:<13} {seconds * 1e3:10.3f} ms  {seconds / medians[base]:6.2f} x {base}")


if __name__ == "__main__":
    main()
