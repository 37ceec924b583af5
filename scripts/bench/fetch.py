#!/usr/bin/env python3
"""What fetching costs, beside huggingface_hub, curl and aria2.

    scripts/bench/fetch.py [--rows small large slow many warm] [--rounds 3] [--json FILE]

Each row runs every program against the same local Hub in turns, each time into an empty cache (that
of ``warm`` was filled before). The Hub is hubloader's own server in a process of its own; LFS files
redirect to a second origin, as on the real one. curl and aria2 fetch only the large file, by its
plain address, and verify nothing; they are left out where they are not installed.

A ratio is the median of the rounds' ratios, so that load which comes and goes hits both sides; the
goals are those of the row. In ``large`` and ``slow`` hubloader syncs nothing, as the others do not,
except where it says "durable": its peer is curl and one fsync of the file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
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

from pairing import byte_code_kept, machine

HERE = Path(__file__).resolve().parent
MB = 1_000_000
GET = "from {library} import snapshot_download as get\nget({repo!r})"
OURS, THEIRS, CURL, ARIA = "hubloader", "huggingface_hub", "curl", "aria2 -x16"
DURABLE, SYNCED = "hubloader, durable", "curl, fsync"


@dataclass(frozen=True)
class Goal:
    """``ours`` takes at most ``most`` times as long as ``peer``."""

    peer: str
    most: float
    ours: str = OURS


@dataclass(frozen=True)
class Row:
    """One comparison: what is served, how, and to how many processes at once."""

    title: str
    repo: str
    goals: tuple[Goal, ...] = ()
    most_seconds: float | None = None
    most_requests: int | None = None
    latency: float = 0.0
    rate: float | None = None
    processes: int = 1
    plain: str | None = None  # the file that curl and aria2 fetch
    durable: bool = True  # whether what is kept is also kept from a power cut
    warm: bool = False  # into a cache that has it already


ROWS = {
    "small": Row(
        "60 small files, 100 ms latency on each request",
        "bench/small",
        most_seconds=0.8,
        most_requests=61,
        latency=0.1,
    ),
    "large": Row(
        "1 GiB on loopback",
        "bench/large",
        goals=(Goal(CURL, 1.25), Goal(SYNCED, 1.25, DURABLE), Goal(THEIRS, 0.5)),
        plain="model.safetensors",
        durable=False,
    ),
    "slow": Row(
        "268 MB, each connection held to 20 MB/s",
        "bench/medium",
        goals=(Goal(ARIA, 1.2),),
        rate=20 * MB,
        plain="model.safetensors",
        durable=False,
    ),
    "many": Row(
        "16 processes, cold, on one 91 MB repository",
        "bench/shared",
        goals=(Goal(THEIRS, 0.67),),
        most_requests=25,
        processes=16,
    ),
    "warm": Row(
        "60 small files, cached, the branch asked for again",
        "bench/small",
        goals=(Goal(THEIRS, 1.0),),
        most_requests=1,
        warm=True,
    ),
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
        name: [sys.executable, "-c", GET.format(library=name, repo=row.repo)]
        for name in (OURS, THEIRS)
    }
    if not row.plain:
        return chosen
    address = f"{{endpoint}}/{row.repo}/resolve/main/{row.plain}"
    if shutil.which("curl"):
        chosen[CURL] = ["curl", "-sSfL", "-o", "{home}/file", address]
    if not row.durable:
        chosen[DURABLE] = chosen[OURS]
        if CURL in chosen:
            fetch = " ".join(chosen[CURL])
            chosen[SYNCED] = ["sh", "-c", f"{fetch} && sync {{home}}/file"]
    if shutil.which("aria2c"):
        chosen[ARIA] = [
            *("aria2c", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none"),
            *("-d", "{home}", "-o", "file", address),
        ]
    return chosen


def run_row(
    row: Row, root: Path, rounds: int, surroundings: dict[str, str]
) -> dict[str, dict[str, object]]:
    """Run every program in turns; give each one's seconds, and what it asked of the Hub."""
    seconds: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    counts: dict[str, dict[str, int]] = {}
    for turn in range(rounds + 1):
        for name, command in programs(row).items():
            with tempfile.TemporaryDirectory() as home:
                count = Path(home) / "count.json"
                if row.warm:
                    with slow_hub(root, row, count) as endpoint:
                        timed(name, command, row, Place(endpoint, home, surroundings))
                with slow_hub(root, row, count) as endpoint:
                    took, busy = timed(name, command, row, Place(endpoint, home, surroundings))
                counts[name] = json.loads(count.read_text())
            if turn:
                seconds.setdefault(name, []).append(took)
                cpu.setdefault(name, []).append(busy)
    return {name: {"seconds": seconds[name], "cpu": cpu[name], **counts[name]} for name in seconds}


@dataclass(frozen=True)
class Place:
    """Where a run finds the Hub, where it keeps what it fetches, and its other environment."""

    endpoint: str
    home: str
    surroundings: dict[str, str]

    def fill(self, part: str) -> str:
        return part.replace("{endpoint}", self.endpoint).replace("{home}", self.home)


def timed(name: str, command: list[str], row: Row, place: Place) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    filled = [place.fill(part) for part in command]
    env = {
        **place.surroundings,
        "HF_HOME": f"{place.home}/hf",
        "HF_ENDPOINT": place.endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HUBLOADER_DURABILITY": "batch" if row.durable or name == DURABLE else "none",
    }
    before, start = processor_seconds(), time.perf_counter()
    running = [subprocess.Popen(filled, env=env) for _ in range(row.processes)]
    codes = [child.wait() for child in running]
    if any(codes):
        sys.exit(f"{filled} failed")
    return time.perf_counter() - start, processor_seconds() - before


def processor_seconds() -> float:
    """Of the programs that have ended; the Hub of a run ends after them."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ratio(figures: dict[str, dict[str, object]], ours: str, peer: str) -> float:
    pairs = zip(figures[ours]["seconds"], figures[peer]["seconds"], strict=True)
    return statistics.median(our / their for our, their in pairs)


def report(row: Row, figures: dict[str, dict[str, object]]) -> None:
    print(f"\n{row.title}")
    for name, figure in figures.items():
        median = statistics.median(figure["seconds"])
        print(
            f"  {name:<18} {median:7.2f} s  {ratio(figures, name, OURS):6.2f} x hubloader"
            f"  {statistics.median(figure['cpu']):7.2f} s of the processor"
            f"  {figure['requests']:>5} requests  {figure['body_bytes'] / MB:8.1f} MB"
        )
    for goal in row.goals:
        if goal.peer in figures:
            told(f"{goal.ours} / {goal.peer}", ratio(figures, goal.ours, goal.peer), goal.most)
    if row.most_seconds is not None:
        told("seconds", statistics.median(figures[OURS]["seconds"]), row.most_seconds)
    if row.most_requests is not None:
        told("requests", figures[OURS]["requests"], row.most_requests)
    sys.stdout.flush()


def told(what: str, found: float, most: float) -> None:
    verdict = "reached" if found <= most else "MISSED"
    print(f"    goal: {what} at most {most}: {round(found, 2)}, {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder, byte_code_kept() as surroundings:
        root = Path(folder)
        make_repositories(root)
        for name in options.rows:
            results[name] = run_row(ROWS[name], root, options.rounds, surroundings)
            report(ROWS[name], results[name])
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=1))


if __name__ == "__main__":
    main()
