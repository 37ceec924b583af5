"""Make ``cache_fixtures/older_trees/``: caches written by another version of huggingface_hub.

    python -m venv older && older/bin/pip install 'huggingface_hub<2'
    .venv/bin/python scripts/make_older_trees.py older/bin/python

Each tar is what a fresh process of that Python's huggingface_hub leaves behind after downloading
from the embedded Hub; MANIFEST.json says which version, and the sha256 of each.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fixtures.trees import TREES, download_script, pack

from hubloader.mirror import MirrorServer

FIXTURES = Path(__file__).parent.parent / "cache_fixtures"


def main(python: str) -> None:
    folder = FIXTURES / "older_trees"
    folder.mkdir(exist_ok=True)
    told = subprocess.run(
        [python, "-c", "import huggingface_hub; print(huggingface_hub.__version__)"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    version = told.stdout.strip()
    files = {}
    with MirrorServer(FIXTURES / "hub", "127.0.0.1", 0) as server:
        for name, extra in TREES.items():
            target = folder / name.replace("huggingface_hub-", f"huggingface_hub-{version}-")
            with tempfile.TemporaryDirectory() as home:
                environ = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
                environ |= {"HF_HOME": home, "HF_ENDPOINT": server.url, **extra}
                subprocess.run(
                    [python, "-c", download_script()], env=environ, check=True, umask=0o022
                )
                pack(Path(home) / "hub", target)
            digest = hashlib.sha256(target.read_bytes()).hexdigest()
            files[target.name] = {"size": target.stat().st_size, "sha256": digest}
    manifest = {
        "version": 1,
        "command": ".venv/bin/python scripts/make_older_trees.py PYTHON",
        "versions": {"huggingface_hub": version},
        "files": files,
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / "MANIFEST.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
