#!/usr/bin/env python3
"""What the command line costs before it does anything, and how soon a signal ends it.

    scripts/bench/cli.py [--rounds 20] [--cpu] [--json FILE]

Goals: `hubloader --version` within 80 ms, `--help` within 120 ms, a `sync` that finds nothing to do
within 150 ms, each as a whole process on a quiet machine (elsewhere --cpu tells more); a signal
ends a `sync` within a second. Beside them stand `python -c pass`, which none can be below, and
huggingface_hub's `hf --version`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pairing import Timing, compare, report, save

from hubloader.mirror import MirrorServer

ROOT = Path(__file__).resolve().parents[2]
GOALS = {"hubloader --version": 0.080, "hubloader --help": 0.120, "hubloader sync": 0.150}
TOML = """
[models.sentiment]
repo = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
[models.tiny]
repo = "fixtures/bert-tiny-sentiment"
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def script(name: str) -> str:
    """The command as it is installed beside this Python."""
    return str(Path(sys.executable).parent / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, MirrorServer(ROOT / "cache_fixtures/hub") as hub:
        project = Path(folder) / "models.toml"
        project.write_text(TOML)
        env = {"HF_HOME": f"{folder}/home", "HF_ENDPOINT": hub.url}
        sync = [script("hubloader"), "sync", "-q", "-f", str(project)]
        subprocess.run(sync, env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL)
        results = {
            "start": start(options, env, sync),
            "from a signal to the end of a sync": [ends(options.rounds, folder, env, sync)],
        }
    save(options.json, "cli", results)


def start(options: argparse.Namespace, env: dict[str, str], sync: list[str]) -> list[Timing]:
    programs = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "hubloader --version": [script("hubloader"), "--version"],
        "hubloader --help": [script("hubloader"), "--help"],
        "hubloader sync": sync,
        "hf --version": [script("hf"), "--version"],
    }
    timings = compare(programs, rounds=options.rounds, env=env, cpu=options.cpu)
    report("the whole process", timings, base="python -c pass")
    for timing in timings:
        if timing.name in GOALS:
            best, goal = min(timing.seconds), GOALS[timing.name]
            verdict = "within" if best <= goal else "ABOVE"
            print(f"  {timing.name}: {best * 1000:.0f} ms at best, {verdict} {goal * 1000:.0f} ms")
    return timings


def ends(rounds: int, folder: str, env: dict[str, str], sync: list[str]) -> Timing:
    """Begin a slow sync on an empty cache, and end it at some time."""
    seconds = []
    chance = random.Random(1)  # noqa: S311  # nothing to keep secret
    for number in range(rounds):
        own = {**os.environ, **env, "HF_HOME": f"{folder}/{number}"}
        process = subprocess.Popen(
            [*sync, "--limit-rate", "2MB"],
            env=own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.2, 1.2))
        process.send_signal(SIGNALS[number % 2])
        sent = time.perf_counter()
        process.wait()
        seconds.append(time.perf_counter() - sent)
    middle, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
    print(f"\nfrom a signal to the end of a sync\n  median {middle:.0f} ms, worst {worst:.0f} ms")
    return Timing("from a signal to the end", tuple(seconds), 0.0)


if __name__ == "__main__":
    main()
