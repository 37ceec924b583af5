"""Capture what transformers 4.57 makes of the SentencePiece, tiktoken and tekken fixtures.

Run it with a Python that has what golden-requirements.txt, beside it, lists (no framework)::

    goldens/bin/python scripts/capture_sentencepiece.py [CASE ...]

With names, only those cases are captured anew. It writes
cache_fixtures/goldens/sentencepiece/*.json and MANIFEST.json beside them. The cases are
in cache_fixtures/goldens/sentencepiece_cases.json; texts and calls are those of
scripts/capture_golden.py.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import capture_golden

GOLDENS = capture_golden.GOLDENS


def main() -> None:
    """Capture every case."""
    import transformers

    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    texts = json.loads((GOLDENS / "texts.json").read_text(encoding="ascii"))
    cases = json.loads((GOLDENS / "sentencepiece_cases.json").read_text(encoding="utf-8"))
    out = GOLDENS / "sentencepiece"
    only = sys.argv[1:]
    if not only:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(exist_ok=True)
    for name, case in cases.items():
        if only and name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            capture_golden.lay_out(case, Path(folder))
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            chosen = texts if case.get("texts", True) else texts[:3]
            golden = capture(tokenizer, chosen, calls=case.get("calls", True))
            if "more" in case:  # of a class whose call has arguments of its own
                golden["more"] = [capture_golden.call(tokenizer, *more) for more in case["more"]]
        (out / f"{name}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n", "ascii")
    manifest = {
        "command": "goldens/bin/python scripts/capture_sentencepiece.py",
        "python": platform.python_version(),
        **{
            name: version(name)
            for name in ("protobuf", "sentencepiece", "tiktoken", "tokenizers", "transformers")
        },
        "calls": "CALLS in scripts/capture_golden.py",
        "texts": "texts.json, by scripts/train_fixture_tokenizers.py",
        "models": "by scripts/train_sentencepiece_models.py",
    }
    (out / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n", "ascii")


def capture(tokenizer, texts: list[str], *, calls: bool = True) -> dict:
    """Take down everything, with digests where only being the same matters.

    Without ``calls``, for a class whose calls take boxes, only what it says of itself.
    """
    if hasattr(tokenizer, "_switch_to_input_mode"):
        tokenizer._switch_to_input_mode()  # noqa: SLF001 - as every call does first
    golden = compact(capture_golden.capture(tokenizer, texts, calls=calls))
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    golden["model"] = {
        part: digest(json.dumps(model[part], sort_keys=True))
        for part in ("vocab", "merges")
        if part in model
    }
    return golden


def digest(text: str) -> str:
    """Give the first half of a sha256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def compact(golden: dict) -> dict:
    """Put a digest in the place of the character map, which is long."""
    for step in steps(golden["pipeline"]["normalizer"]):
        if "precompiled_charsmap" in step:
            step["precompiled_charsmap"] = digest(step["precompiled_charsmap"])
    del golden["pipeline"]["added_tokens"]  # golden["added_tokens"] says the same
    return golden


def steps(normalizer: dict | None) -> list[dict]:
    """Give the steps of a normalizer: none, one or several."""
    return [] if normalizer is None else normalizer.get("normalizers", [normalizer])


if __name__ == "__main__":
    sys.exit(main())
