"""Time the cache beside huggingface_hub: scan, planning of a prune, look-ups, warm loads.

    .venv/bin/python scripts/bench/cache.py [--repos 2000] [--files 25] [--rounds 7] [--json FILE]

One cache of so many repositories with so many files each is made in a temporary folder, in
huggingface_hub's layout; both libraries read the same one, in turns, in processes of their own.
Times are processor time of the call alone, without imports: the files are in memory, and other work
on the machine hardly changes it. The ratio of the medians is what stands.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COMMIT = "a1" * 20
SCANS = {
    "hubloader scan": "from hubloader.cache.report import scan\ndef work(): scan(root)",
    "hubloader scan and prune plan": (
        "import time\nfrom hubloader.cache.report import scan\n"
        "from hubloader.cache.prune import choose\n"
        "def work(): choose(scan(root), now=time.time(), max_size=1000, older_than=9.0)"
    ),
    "huggingface_hub scan_cache_dir": (
        "from huggingface_hub import scan_cache_dir\ndef work(): scan_cache_dir(root)"
    ),
}
LOOKUPS = {
    "hubloader try_to_load_from_cache": (
        "from hubloader import try_to_load_from_cache as load\n"
        "def work():\n  for _ in range(200): assert load('org/name7', 'file3.bin', root)"
    ),
    "huggingface_hub try_to_load_from_cache": (
        "from huggingface_hub import try_to_load_from_cache as load\n"
        "def work():\n  for _ in range(200): assert load('org/name7', 'file3.bin', root)"
    ),
}
CALLS = {
    "snapshot_download of all files, offline": "load('org/name7', {where}, local_files_only=True)",
    "snapshot_download of all files, by commit": "load('org/name7', {where}, revision='{commit}')",
    "hf_hub_download of one file, offline": (
        "get('org/name7', 'file3.bin', {where}, local_files_only=True)"
    ),
    "hf_hub_download of one file, by commit": (
        "get('org/name7', 'file3.bin', {where}, revision='{commit}')"
    ),
}
LOADED = """
from {library} import hf_hub_download as get, snapshot_download as load
def work():
  for _ in range(20): {call}
"""
LOADS = [
    {
        f"{library} {what}": LOADED.format(
            library=library, call=call.format(where="cache_dir=root", commit=COMMIT)
        )
        for library in ("hubloader", "huggingface_hub")
    }
    for what, call in CALLS.items()
]
TIMED = """
import sys, time
root = sys.argv[1]
{code}
work()
start = time.process_time()
work()
print(time.process_time() - start)
"""


def make_cache(root: Path, repos: int, files: int) -> None:
    """Write the cache: small contents, two of each repository's in common with the others."""
    for number in range(repos):
        repo = root / f"models--org--name{number}"
        snapshot = repo / "snapshots" / COMMIT
        for folder in (repo / "blobs", repo / "refs", snapshot, repo / "trees"):
            folder.mkdir(parents=True)
        listing = {}
        for index in range(files):
            data = f"{index if index < 2 else number} {index}".encode()
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
            (repo / "blobs" / blob).write_bytes(data)
            os.symlink(f"../../blobs/{blob}", snapshot / f"file{index}.bin")
            listing[f"file{index}.bin"] = {"size": len(data), "blob_id": blob}
        text = json.dumps({"format_version": 1, "files": listing})
        (repo / "trees" / f"{COMMIT}.json").write_text(text, encoding="utf-8")
        (repo / "refs" / "main").write_text(COMMIT, encoding="utf-8")


def compare(programs: dict[str, str], root: Path, rounds: int) -> dict[str, list[float]]:
    """Run the programs in turns; seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, code in programs.items():
            command = [sys.executable, "-c", TIMED.format(code=code), str(root)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            times[name].append(float(done.stdout.splitlines()[-1]))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repos", type=int, default=2000)
    parser.add_argument("--files", type=int, default=25, help="in each repository")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "hub"
        make_cache(root, options.repos, options.files)
        for programs in (SCANS, LOOKUPS, *LOADS):
            times = compare(programs, root, options.rounds)
            theirs = statistics.median(list(times.values())[-1])
            for name, seconds in times.items():
                median = statistics.median(seconds)
                figures[name] = {"seconds": median, "of_theirs": median / theirs}
                print(f"{name:57} {median * 1000:10.2f} ms   {median / theirs:6.2f} of theirs")
    if options.json:
        facts = {"repos": options.repos, "files": options.files, "figures": figures}
        Path(options.json).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
