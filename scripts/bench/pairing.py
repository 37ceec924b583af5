"""Time commands side by side: the same work by several programs, in turns, in one run.

On a shared machine single timings vary by tens of percent; what stands is the ratio of medians of
runs that alternate. Every benchmark here prints such ratios and, with ``--json FILE``, leaves the
figures with a description of the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Timing:
    """One program's runs. Times are seconds of the whole process, memory MB at its highest."""

    name: str
    seconds: tuple[float, ...]
    peak_mb: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def run_once(command: list[str], env: dict[str, str], *, cpu: bool = False) -> tuple[float, float]:
    """Seconds, by the clock or of the processor, and peak resident MB of one run."""
    start = time.perf_counter()
    child = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    errors = child.stderr.read() if child.stderr else ""
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(command)} failed:\n{errors}")
    if cpu:
        seconds = usage.ru_utime + usage.ru_stime
    return seconds, usage.ru_maxrss / 1024


def compare(
    programs: dict[str, list[str]],
    *,
    rounds: int,
    env: dict[str, str] | None = None,
    cpu: bool = False,
) -> list[Timing]:
    """Run every program once unmeasured, then ``rounds`` times in turns.

    ``cpu`` counts the processor's seconds, which other work on the machine hardly changes.
    """
    with byte_code_kept() as surroundings:
        return _in_turns(programs, rounds, {**surroundings, **(env or {})}, cpu=cpu)


@contextlib.contextmanager
def byte_code_kept() -> Iterator[dict[str, str]]:
    """An environment in which every program finds its byte code, as that of an installed package.

    Where this environment has Python write none, the first, unmeasured run of a program leaves it
    in a folder of its own.
    """
    with tempfile.TemporaryDirectory() as byte_code:
        surroundings = dict(os.environ)
        if surroundings.pop("PYTHONDONTWRITEBYTECODE", ""):
            surroundings["PYTHONPYCACHEPREFIX"] = byte_code
        yield surroundings


def _in_turns(
    programs: dict[str, list[str]], rounds: int, surroundings: dict[str, str], *, cpu: bool
) -> list[Timing]:
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    peaks: dict[str, float] = dict.fromkeys(programs, 0.0)
    for turn in range(rounds + 1):
        for name, command in programs.items():
            took, peak = run_once(command, surroundings, cpu=cpu)
            if turn:
                seconds[name].append(took)
                peaks[name] = max(peaks[name], peak)
    return [Timing(name, tuple(seconds[name]), peaks[name]) for name in programs]


def report(title: str, timings: list[Timing], *, base: str) -> None:
    """Print the medians and each one's ratio to ``base``."""
    reference = next(t.median for t in timings if t.name == base)
    print(f"\n{title}")
    width = max(len(t.name) for t in timings)
    for t in timings:
        spread = f"{min(t.seconds) * 1000:.0f}-{max(t.seconds) * 1000:.0f}"
        print(
            f"  {t.name:<{width}}  {t.median * 1000:8.1f} ms  ({spread})"
            f"  {t.median / reference:6.2f} x {base}  {t.peak_mb:6.0f} MB"
        )


def machine() -> dict[str, object]:
    """What the figures were taken on, and with which versions."""
    packages = ("huggingface_hub", "numpy", "tensorflow", "tokenizers", "torch", "transformers")
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "versions": versions,
    }


def save(path: Path | None, name: str, results: dict[str, list[Timing]]) -> None:
    """Leave the figures as JSON."""
    if path is None:
        return
    rows = {title: [asdict(t) for t in timings] for title, timings in results.items()}
    path.write_text(
        json.dumps({"benchmark": name, "machine": machine(), "results": rows}, indent=1)
    )
