"""The committed vocabularies are those that their manifest describes."""

import hashlib
import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "cache_fixtures" / "tokenizers"


def test_the_manifest_has_the_hash_of_every_vocabulary_it_describes():
    listed = json.loads((FOLDER / "MANIFEST.json").read_text(encoding="ascii"))["sha256"]
    folders = {name.partition("/")[0] for name in listed}
    there = {
        path.relative_to(FOLDER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in folders
        for path in (FOLDER / name).iterdir()
    }

    assert len(folders) >= 8
    assert there == listed
