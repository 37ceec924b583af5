#!/usr/bin/env python3
"""What a start costs: import, first tokenizer call, first logits, each as a whole process.

    scripts/bench/start.py [--rounds 10] [--json FILE] [--peers] [--cpu]

The model is the fixture laid out as the SST-2 checkpoint is on the Hub, cached beforehand; every
program runs offline. ``--peers`` adds transformers (torch has to be installed); ``--cpu`` counts
the processor's seconds, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pairing import compare, report, save

ROOT = Path(__file__).resolve().parents[2]
NAME = "distilbert-base-uncased-finetuned-sst-2-english"
TEXT = "We are very happy to show you the Transformers library."
PREFETCH = """
import sys
from hubloader import AutoTokenizer, NpAutoModelForSequenceClassification as Model
from hubloader.mirror import MirrorServer
with MirrorServer(sys.argv[1]) as hub:
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[2], endpoint=hub.url)
    Model.from_pretrained(sys.argv[2], endpoint=hub.url)
    tokenizer.save_pretrained(sys.argv[3])
"""
TOKENIZE = f"""
from {{library}} import AutoTokenizer
AutoTokenizer.from_pretrained({NAME!r})({TEXT!r})
"""
CLASSIFY = f"""
from {{library}} import AutoTokenizer, {{model}} as Model
tokenizer = AutoTokenizer.from_pretrained({NAME!r})
batch = tokenizer([{TEXT!r}, "We hope you don't hate it."], padding=True, return_tensors="{{kind}}")
Model.from_pretrained({NAME!r})(**batch).logits
"""
RAW = """
import sys
from tokenizers import Tokenizer
Tokenizer.from_file(sys.argv[1]).encode(sys.argv[2])
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        env = {"HF_HOME": home, "TRANSFORMERS_VERBOSITY": "error"}
        saved = Path(home) / "saved"
        subprocess.run(
            python(PREFETCH, str(ROOT / "cache_fixtures/hub"), NAME, str(saved)),
            env={**os.environ, **env},
            check=True,
        )
        results = measure(options, {**env, "HF_HUB_OFFLINE": "1"}, saved / "tokenizer.json")
    save(options.json, "start", results)


def measure(options: argparse.Namespace, env: dict[str, str], tokenizer_json: Path):
    groups = {
        "import": {
            "python -c pass": python("pass"),
            "import dataclasses": python("import dataclasses"),
            "import hubloader": python("import hubloader"),
        },
        "first tokenizer(text), cached, offline": {
            "raw tokenizers": python(RAW, str(tokenizer_json), TEXT),
            "hubloader": python(TOKENIZE.format(library="hubloader")),
        },
        "first logits of two sentences, numpy, cached, offline": {
            "import numpy": python("import numpy"),
            "hubloader": python(
                CLASSIFY.format(
                    library="hubloader", model="NpAutoModelForSequenceClassification", kind="np"
                )
            ),
        },
    }
    if options.peers:
        torch = {"model": "AutoModelForSequenceClassification", "kind": "pt"}
        groups["first tokenizer(text), cached, offline"]["transformers"] = python(
            TOKENIZE.format(library="transformers")
        )
        groups["first logits of two sentences, torch, cached, offline"] = {
            "import torch": python("import torch"),
            "hubloader": python(CLASSIFY.format(library="hubloader", **torch)),
            "transformers": python(CLASSIFY.format(library="transformers", **torch)),
        }
    results = {}
    for title, programs in groups.items():
        results[title] = compare(programs, rounds=options.rounds, env=env, cpu=options.cpu)
        report(title, results[title], base=next(iter(programs)))
    return results


if __name__ == "__main__":
    main()
