#!/usr/bin/env python3
"""What fetching costs, beside huggingface_hub, curl and aria2.

    scripts/bench/fetch.py [--rows small large slow many] [--rounds 3] [--json FILE]

Each row runs every program against the same local Hub in turns, each time into an empty cache. The
Hub is hubloader's own server in a process of its own; LFS files redirect to a second origin, as on
the real one. curl and aria2 fetch only the large file, by its plain address, and verify nothing;
they are left out where they are not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pairing import machine

HERE = Path(__file__).resolve().parent
MB = 1_000_000
OURS = "from hubloader import snapshot_download as get\nget({repo!r})"
THEIRS = "from huggingface_hub import snapshot_download as get\nget({repo!r})"


@dataclass(frozen=True)
class Row:
    """One comparison: what is served, how, and to how many processes at once."""

    title: str
    repo: str
    latency: float = 0.0
    rate: float | None = None
    processes: int = 1
    plain: str | None = None  # the file that curl and aria2 fetch


ROWS = {
    "small": Row("60 small files, 100 ms latency on each request", "bench/small", latency=0.1),
    "large": Row("1 GiB on loopback", "bench/large", plain="model.safetensors"),
    "slow": Row(
        "268 MB, each connection held to 20 MB/s",
        "bench/medium",
        rate=20 * MB,
        plain="model.safetensors",
    ),
    "many": Row("16 processes, cold, on one 91 MB repository", "bench/shared", processes=16),
}


def make_repositories(root: Path) -> None:
    """What is served: random bytes, so that nothing compresses or repeats."""
    small = root / "bench/small"
    small.mkdir(parents=True)
    for number in range(60):
        (small / f"part-{number:02}.json").write_bytes(secrets.token_bytes(4096))
    for name, size in (("large", 1 << 30), ("medium", 268 * MB), ("shared", 90 * MB)):
        folder = root / "bench" / name
        folder.mkdir(parents=True)
        with (folder / "model.safetensors").open("wb") as file:
            for start in range(0, size, 1 << 24):
                file.write(secrets.token_bytes(min(1 << 24, size - start)))
        (folder / "config.json").write_text("{}")


@contextlib.contextmanager
def slow_hub(root: Path, row: Row, count: Path):
    """The Hub of one run, with its count of requests and bytes left in ``count``."""
    command = [sys.executable, str(HERE / "slow_hub.py"), str(root), "--count", str(count)]
    command += ["--latency", str(row.latency)]
    command += ["--rate", str(row.rate)] if row.rate else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as hub:
        yield hub.stdout.readline().split()[-1]
        hub.send_signal(signal.SIGTERM)


def programs(row: Row) -> dict[str, list[str]]:
    chosen = {
        "hubloader": [sys.executable, "-c", OURS.format(repo=row.repo)],
        "huggingface_hub": [sys.executable, "-c", THEIRS.format(repo=row.repo)],
    }
    if row.plain:
        address = f"{{endpoint}}/{row.repo}/resolve/main/{row.plain}"
        if shutil.which("curl"):
            chosen["curl"] = ["curl", "-sSfL", "-o", "{home}/file", address]
        if shutil.which("aria2c"):
            chosen["aria2 -x16"] = [
                *("aria2c", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none"),
                *("-d", "{home}", "-o", "file", address),
            ]
    return chosen


def run_row(row: Row, root: Path, rounds: int) -> dict[str, dict[str, object]]:
    seconds: dict[str, list[float]] = {}
    counts: dict[str, dict[str, int]] = {}
    for turn in range(rounds + 1):
        for name, command in programs(row).items():
            with tempfile.TemporaryDirectory() as home:
                count = Path(home) / "count.json"
                with slow_hub(root, row, count) as endpoint:
                    took = timed(command, endpoint, home, row.processes)
                counts[name] = json.loads(count.read_text())
            if turn:
                seconds.setdefault(name, []).append(took)
    return {name: {"seconds": seconds[name], **counts[name]} for name in seconds}


def timed(command: list[str], endpoint: str, home: str, processes: int) -> float:
    filled = [part.replace("{endpoint}", endpoint).replace("{home}", home) for part in command]
    env = {
        **os.environ,
        "HF_HOME": f"{home}/hf",
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    start = time.perf_counter()
    running = [subprocess.Popen(filled, env=env) for _ in range(processes)]
    codes = [child.wait() for child in running]
    if any(codes):
        sys.exit(f"{filled} failed")
    return time.perf_counter() - start


def report(row: Row, figures: dict[str, dict[str, object]]) -> None:
    print(f"\n{row.title}")
    base = statistics.median(figures["hubloader"]["seconds"])
    for name, figure in figures.items():
        median = statistics.median(figure["seconds"])
        print(
            f"  {name:<16} {median:7.2f} s  {median / base:6.2f} x hubloader"
            f"  {figure['requests']:>5} requests  {figure['body_bytes'] / MB:8.1f} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_repositories(root)
        for name in options.rows:
            results[name] = run_row(ROWS[name], root, options.rounds)
            report(ROWS[name], results[name])
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=1))


if __name__ == "__main__":
    main()
