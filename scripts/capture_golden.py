"""Capture what transformers 4.57 makes of the tokenizer fixtures.

Run it with a Python that has what golden-requirements.txt, beside it, lists (no framework)::

    goldens/bin/python scripts/capture_golden.py [CASE ...]

RoFormer's case alone wants rjieba. With names, only those cases are captured anew.
It writes cache_fixtures/goldens/tokenizers/*.json and MANIFEST.json beside them. The cases are in
cache_fixtures/goldens/tokenizer_cases.json, the texts in texts.json.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "cache_fixtures"
GOLDENS = FIXTURES / "goldens"

A = "We are very happy to show you the 🤗 Transformers library."
B = "We hope you don't hate it."
LONG = "Das Mädchen fährt über die Straße; naïve café, 3.14159 and quite a few more words here."

# (text, text_pair, arguments): every argument of a call in some combination.
CALLS = [
    (A, None, {}),
    (A, B, {}),
    ([A, B], None, {}),
    ([A, B], [B, A], {"return_token_type_ids": True}),
    ([[A, B], [B, LONG]], None, {"return_token_type_ids": True}),
    ([A, B, ""], None, {"padding": True}),
    ([A, B], None, {"padding": "max_length", "max_length": 20}),
    ([A, B], None, {"padding": "longest", "pad_to_multiple_of": 8}),
    ([A, B], None, {"padding": True, "padding_side": "left", "return_token_type_ids": True}),
    ([A, B], None, {"truncation": True, "max_length": 8}),
    ([A, B], None, {"max_length": 6}),
    ([A, B], [LONG, LONG], {"truncation": "longest_first", "max_length": 17,
        "return_token_type_ids": True}),
    ([A, B], [LONG, LONG], {"truncation": "only_second", "max_length": 24}),
    ([LONG, LONG], [A, B], {"truncation": "only_first", "max_length": 24}),
    ([LONG, B], None, {"truncation": True, "max_length": 9, "stride": 3,
        "return_overflowing_tokens": True}),
    ([LONG, A], [B, B], {"truncation": "only_first", "max_length": 19, "stride": 2,
        "return_overflowing_tokens": True, "return_offsets_mapping": True, "padding": True}),
    (LONG, None, {"truncation": True, "max_length": 9, "return_overflowing_tokens": True}),
    (A, None, {"add_special_tokens": False}),
    ([A, B], None, {"return_special_tokens_mask": True, "padding": True, "return_length": True}),
    ([A, B], None, {"return_offsets_mapping": True, "padding": True}),
    (["New", "York", "naïve", "don't"], None, {"is_split_into_words": True}),
    ([["New", "York"], ["café", "au", "lait"]], None, {"is_split_into_words": True, "padding": True,
        "return_offsets_mapping": True}),
    (["New", "York"], ["is", "big"], {"is_split_into_words": True, "return_token_type_ids": True}),
    (A, None, {"return_attention_mask": False, "return_token_type_ids": False}),
    ("hello [MASK] and <mask> or </s> there", None, {"split_special_tokens": True}),
    (A, "", {}),
    (None, None, {"text_target": B}),
    (A, None, {"text_target": B}),
]  # fmt: skip


def main() -> None:
    """Capture every case."""
    import tokenizers
    import transformers

    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    texts = json.loads((GOLDENS / "texts.json").read_text(encoding="ascii"))
    cases = json.loads((GOLDENS / "tokenizer_cases.json").read_text(encoding="utf-8"))
    out = GOLDENS / "tokenizers"
    only = sys.argv[1:]
    if not only:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(exist_ok=True)
    for name, case in cases.items():
        if only and name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            lay_out(case, Path(folder))
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            golden = capture(tokenizer, texts if case.get("texts", True) else texts[:3])
        (out / f"{name}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n", "ascii")
    manifest = {
        "command": "goldens/bin/python scripts/capture_golden.py",
        "python": platform.python_version(),
        "tokenizers": tokenizers.__version__,
        "transformers": transformers.__version__,
        "rjieba": "0.2.2, for roformer.json alone",
        "calls": "CALLS in scripts/capture_golden.py",
        "texts": "texts.json, by scripts/train_fixture_tokenizers.py",
    }
    (out / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n", "ascii")


def lay_out(case: dict, folder: Path) -> None:
    """Make the folder that a case describes."""
    for name, content in case["files"].items():
        if isinstance(content, str):
            shutil.copy(FIXTURES / content, folder / name)
        else:
            whole = _with_vocabulary(content) if name == "tokenizer.json" else content
            (folder / name).write_text(json.dumps(whole), encoding="utf-8")


def _with_vocabulary(parts: dict) -> dict:
    """Complete a tokenizer.json, whose model names the folder that its BPE's files are in."""
    model = dict(parts["model"])
    folder = FIXTURES / model.pop("files")
    model["vocab"] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    model["merges"] = [line.split() for line in lines if not line.startswith("#version")]
    return {**parts, "model": model}


def capture(tokenizer, texts: list[str], *, calls: bool = True) -> dict:
    """Take down everything that a tokenizer says of itself and of texts."""
    return {
        "class": type(tokenizer).__name__,
        "model_input_names": list(tokenizer.model_input_names),
        "model_max_length": tokenizer.model_max_length,
        "padding_side": tokenizer.padding_side,
        "special_tokens_map": tokenizer.special_tokens_map,
        "all_special_ids": tokenizer.all_special_ids,
        "vocab_size": tokenizer.vocab_size,
        "length": len(tokenizer),
        "added_tokens": {
            index: [token.content, token.lstrip, token.rstrip, token.single_word, token.normalized,
                    token.special]
            for index, token in sorted(tokenizer.added_tokens_decoder.items())
        },
        "pipeline": pipeline(tokenizer),
        "texts": [about_text(tokenizer, text) for text in texts] if calls else [],
        "calls": [call(tokenizer, *arguments) for arguments in CALLS] if calls else [],
    }  # fmt: skip


def pipeline(tokenizer) -> dict | None:
    """Give tokenizer.json without its vocabulary; None where a part of it is Python code."""
    try:
        parts = json.loads(tokenizer.backend_tokenizer.to_str())
    except Exception:  # noqa: BLE001 - the engine's own word for it: RoFormer's word splitter
        return None
    del parts["truncation"], parts["padding"], parts["model"]["vocab"]
    parts["model"].pop("merges", None)
    return parts


def about_text(tokenizer, text: str) -> dict:
    """Encode and decode one text."""
    encoded = tokenizer(text, return_offsets_mapping=True)
    return {
        "ids": encoded["input_ids"],
        "offsets": [list(span) for span in encoded["offset_mapping"]],
        "words": encoded.word_ids(),
        "decoded": tokenizer.decode(encoded["input_ids"]),
        "plain": tokenizer.decode(
            encoded["input_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=True
        ),
    }


def call(tokenizer, text, pair, arguments: dict) -> dict:
    """Make one call; an error is taken down by its class."""
    try:
        encoded = tokenizer(text, pair, **arguments)
    except BaseException as error:  # noqa: BLE001 - whatever it raises is the golden, panics too
        if hasattr(tokenizer, "set_infilling_processor"):
            tokenizer.set_infilling_processor(reset=True)  # Code Llama's is left as it was then
        return {"error": type(error).__name__}
    return dict(encoded.items())


if __name__ == "__main__":
    sys.exit(main())
