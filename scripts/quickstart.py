"""Show the main job: cold, warm, and offline, in a cache made for the occasion.

``scripts/quickstart`` prepares ``.venv`` and runs this. It stands on the standard library alone;
what it shows is ``scripts/quickstart_job.py``, run in fresh processes as a user would.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
JOB = ROOT / "scripts" / "quickstart_job.py"
NAME = "distilbert-base-uncased-finetuned-sst-2-english"

IDS = [
    [101, 2057, 2024, 2200, 3407, 2000, 2265, 2017, 1996, 100, 19081, 3075, 1012, 102],
    [101, 2057, 3246, 2017, 2123, 1005, 1056, 5223, 2009, 1012, 102, 0, 0, 0],
]
MASK = [[1] * 14, [1] * 11 + [0] * 3]
# Of the real weights. Source: the quick tour of transformers, "under the hood".
PUBLISHED_LOGITS = [[-4.0833, 4.3364], [0.0818, -0.0418]]
PUBLISHED_TOLERANCE = 1e-3
SAME = 1e-5  # the largest difference between frameworks


class Failed(Exception):
    """A step did not give what it should; the message says which."""


@contextlib.contextmanager
def embedded_hub() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``hubloader serve`` on a free loopback port; yields its address and the process."""
    command = [sys.executable, "-m", "hubloader", "serve", "--root", "cache_fixtures/hub"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        first = server.stdout.readline() if server.stdout else ""
        if not first.startswith("listening on "):
            raise Failed(f"the Hub did not start: it said {first!r}")
        yield first.removeprefix("listening on ").strip(), server
    finally:
        stop(server)


def stop(server: subprocess.Popen[str]) -> None:
    """End the embedded Hub and wait until it is gone."""
    server.terminate()
    server.wait(timeout=30)


def run_job(framework: str, environ: dict[str, str]) -> dict[str, Any]:
    """One fresh process; adds its wall time as ``seconds``."""
    start = time.perf_counter()
    finished = subprocess.run(
        [sys.executable, str(JOB), framework],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"} | environ,
        stdout=subprocess.PIPE,
        # TensorFlow speaks of GPUs before anyone can ask it not to; shown when it fails.
        stderr=subprocess.PIPE if framework == "tensorflow" else None,
        text=True,
        check=False,
    )
    if finished.returncode:
        print(finished.stderr or "", end="", file=sys.stderr)
        raise Failed(f"the job on {framework} ended with {finished.returncode}")
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result | {"seconds": time.perf_counter() - start}


def check_ids(result: dict[str, Any]) -> None:
    """Compare token ids with the quick tour's, number for number."""
    expected = {"input_ids": IDS[0], "attention_mask": MASK[0]}
    if result["single"] != expected or list(result["single"]) != list(expected):
        raise Failed(f"one text gave {result['single']}")
    if result["batch"] != {"input_ids": IDS, "attention_mask": MASK}:
        raise Failed(f"the batch gave {result['batch']}")


def difference(one: list[list[float]], other: list[list[float]]) -> float:
    """The largest difference between two matrices."""
    pairs = zip(one, other, strict=True)
    return max(abs(a - b) for row, col in pairs for a, b in zip(row, col, strict=True))


def softmax(row: list[float]) -> list[float]:
    """Logits of one text -> probabilities."""
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def show_step(name: str, result: dict[str, Any]) -> None:
    """One line of times, in seconds."""
    print(
        f"  {name:<34} {result['seconds']:6.2f} s   "
        f"(loading {result['load_seconds']:.2f}, two sentences {result['forward_seconds']:.2f})"
    )


def show_files(cache: Path) -> None:
    """List what the cache holds now."""
    pointers = sorted(p for p in cache.glob("models--*/snapshots/*/**/*") if p.is_file())
    total = sum(p.stat().st_size for p in pointers)
    print(f"\nFetched, {len(pointers)} files, {total:,} bytes:")
    for pointer in pointers:
        print(f"  {pointer.stat().st_size:>12,}  {pointer.name}")


def show_result(result: dict[str, Any]) -> None:
    """Print ids, labels and scores."""
    rows = zip(
        result["texts"],
        result["batch"]["input_ids"],
        result["labels"],
        result["logits"],
        strict=True,
    )
    for text, ids, label, logits in rows:
        print(f"\n{text}")
        print(f"  input_ids  {ids}")
        print(f"  logits     {[round(value, 4) for value in logits]}")
        print(f"  {label} {max(softmax(logits)):.4f}")


def show_frameworks(frameworks: list[str], numpy: dict[str, Any], environ: dict[str, str]) -> None:
    """Run the others on the same cache and compare their logits with numpy's."""
    print("\nThe same checkpoint, from the cache:")
    print(f"  {'numpy':<12} {numpy['logits']}")
    for framework in frameworks:
        result = run_job(framework, environ)
        check_ids(result)
        worst = difference(result["logits"], numpy["logits"])
        print(
            f"  {framework:<12} {result['logits']}   largest difference {worst:.1e}, "
            f"{result['seconds']:.1f} s"
        )
        if worst > SAME:
            raise Failed(f"{framework} differs from numpy by {worst}")


def tour(endpoint: str | None, home: Path, frameworks: list[str], stop_hub: Any) -> dict[str, Any]:
    """Cold, warm, offline; returns what came out. ``stop_hub`` is called before the last."""
    cache = home / "hub"
    online = {"HF_HOME": str(home), "HF_HUB_CACHE": str(cache)}
    if endpoint:
        online |= {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    offline = {**online, "HF_HUB_OFFLINE": "1"}
    print(
        f"\nEach step is a fresh process that loads {NAME}\nand classifies two sentences, on numpy:"
    )
    cold = run_job("numpy", online)
    show_step("cold: nothing cached", cold)
    warm = run_job("numpy", online)
    show_step("warm: asks whether it changed", warm)
    stop_hub()
    off = run_job("numpy", offline)
    show_step("offline" if not endpoint else "offline, the Hub stopped", off)
    for result in (cold, warm, off):
        check_ids(result)
        if result["logits"] != cold["logits"]:
            raise Failed("cold, warm and offline do not give the same logits")
    show_files(cache)
    show_result(off)
    if frameworks:
        show_frameworks(frameworks, off, offline)
    return off


def compare_with(whose: str, logits: list[list[float]], result: Any, tolerance: float) -> None:
    """Print how far the logits are from someone else's."""
    worst = difference(result["logits"], logits)
    print(f"\n{whose}: {logits}\n  largest difference {worst:.1e}")
    if worst > tolerance:
        raise Failed(f"the logits differ by {worst}")


def transformers_logits() -> list[list[float]]:
    """What transformers made of the fixture, when it was made."""
    text = (ROOT / "cache_fixtures" / "quick_tour.json").read_text(encoding="utf-8")
    logits: list[list[float]] = json.loads(text)["repos"][f"distilbert/{NAME}"]["logits"]
    return logits


def main() -> int:
    """Run the tour; 0 when everything came out right."""
    sys.stdout.reconfigure(line_buffering=True)  # in order with what the jobs write
    parser = argparse.ArgumentParser(description="Show hubloader's main job.")
    parser.add_argument("frameworks", nargs="*", metavar="torch|tensorflow")
    parser.add_argument("--hub", action="store_true", help="use the real Hub")
    arguments = parser.parse_args()
    if not {"torch", "tensorflow"}.issuperset(arguments.frameworks):
        parser.error("the frameworks are torch and tensorflow")
    with tempfile.TemporaryDirectory(prefix="hubloader-") as home:
        try:
            if arguments.hub:
                result = tour(None, Path(home), arguments.frameworks, lambda: None)
                compare_with("Published", PUBLISHED_LOGITS, result, PUBLISHED_TOLERANCE)
            else:
                with embedded_hub() as (endpoint, server):
                    print(f"The embedded Hub serves cache_fixtures/hub at {endpoint}")
                    result = tour(endpoint, Path(home), arguments.frameworks, lambda: stop(server))
                    compare_with("transformers", transformers_logits(), result, SAME)
        except Failed as failure:
            print(f"error: {failure}", file=sys.stderr)
            return 1
    print("\nAll as it should be.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
