"""Count faults: kill, refuse and unplug every cache operation at each of its steps, and look.

    scripts/faults              a bounded number, a few minutes
    scripts/faults --full       10,000 points and more
    … --write                   put the figures into docs/reliability.md

A point is one fault at one place: an operation is begun, hit, and looked at; then it is done again,
and looked at once more. The operations and what must hold are ``tests/fault/cache_world.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "fault"), str(ROOT / "tests")]

import pytest  # noqa: E402 - the proofs live with the tests
from cache_inject import CALLS, HOW, inject_every_call  # noqa: E402
from cache_world import (  # noqa: E402
    ERRORS,
    LASTING,
    Tally,
    cut_everywhere,
    hit_every_call,
    kill,
    operations,
    refuse,
    small_is_large,
)

_MEMORY = "/dev/shm"  # noqa: S108 - thousands of syncs, in a folder of its own there
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: scripts/faults --write -->", "<!-- end of figures -->"


def options(*, full: bool) -> list[dict[str, str]]:
    """The stores that faults hit."""
    usual = [{"durability": "batch"}]
    links = [{"durability": "batch", "link_mode": mode} for mode in ("hardlink", "copy")]
    return [*usual, {"durability": "full"}, {"durability": "none"}, *links] if full else usual


def killed(folder: Path, *, full: bool) -> Tally:
    """Kill -9 before each call that changes the disk."""
    tally = Tally()
    for each in options(full=full):
        for operation in operations(**each):
            tally.add(hit_every_call(operation, kill, folder))
    return tally


def refused(folder: Path, *, full: bool) -> Tally:
    """Have each call fail with an error of the system."""
    tally = Tally()
    for number, error in enumerate(ERRORS):
        for each in options(full=full)[:2]:
            for operation in operations(**each):
                stride = 1 if full else 4 + number
                lasting = LASTING.get(error, frozenset())
                tally.add(
                    hit_every_call(operation, refuse(error), folder, stride=stride, lasting=lasting)
                )
    return tally


def injected(folder: Path, *, full: bool) -> Tally:
    """Have the kernel do it, by strace: kill at, or refuse, each call of one kind."""
    tally = Tally()
    if shutil.which("strace") is None:
        return tally
    for operation in operations():
        if not full and operation.name != "update in small files":
            continue
        for call in CALLS:
            for how in HOW if full and call in {"rename", "fsync"} else HOW[:1]:
                tally.add(inject_every_call(operation, call, how, folder))
    return tally


def unplugged(folder: Path, *, full: bool) -> Tally:
    """Build what a power cut may leave after each step, in its harshest forms and by chance."""
    tally = Tally()
    with pytest.MonkeyPatch.context() as patch:
        for seed in range(30 if full else 1):
            for durability in ("batch", "full"):
                for operation in operations(durability=durability):
                    tally.add(cut_everywhere(operation, folder, patch, seed=seed))
    return tally


SERIES = {
    "killed (SIGKILL before the N-th call, for every N)": killed,
    f"refused ({', '.join(ERRORS)} at the N-th call; a full or read-only disk stays so)": refused,
    "killed, EIO or ENOSPC by the kernel (strace, at each rename, sync, link, …)": injected,
    "unplugged (states that a power cut may leave, by a model of the disk)": unplugged,
}


def measure(*, full: bool) -> dict[str, Tally]:
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    found = {}
    for name, series in SERIES.items():
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=memory) as folder, small_is_large():
            found[name] = series(Path(folder), full=full)
        seconds = time.perf_counter() - start
        print(f"{name}: {found[name].points} points in {seconds:.0f} s", file=sys.stderr)
    return found


def table(found: dict[str, Tally]) -> str:
    lines = [
        "| faults | points | wrong or torn reads | reruns that failed | bytes left over |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    total = Tally()
    for name, tally in found.items():
        total.add(tally)
        lines.append(_row(name, tally))
    lines.append(_row("**together**", total))
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return "\n".join([*lines, "", f"Measured on {system}, `{' '.join(_command())}`."])


def _row(name: str, tally: Tally) -> str:
    figures = (tally.points, len(tally.faults), len(tally.reruns_failed), tally.leaked)
    return f"| {name} | " + " | ".join(f"{figure:,}" for figure in figures) + " |"


def _command() -> list[str]:
    return ["scripts/faults", *(word for word in sys.argv[1:] if word == "--full")]


def write(text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="10,000 points and more")
    parser.add_argument("--write", action="store_true", help="into docs/reliability.md")
    parser.add_argument("--json", metavar="FILE", help="leave the figures there too")
    options = parser.parse_args()
    found = measure(full=options.full)
    text = table(found)
    print(text)
    if options.write:
        write(text)
    if options.json:
        figures = {name: vars(tally) for name, tally in found.items()}
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    wrong = [fault for tally in found.values() for fault in tally.wrong]
    if wrong:
        sys.exit("\n".join(["error: promises were broken:", *wrong[:50]]))


if __name__ == "__main__":
    main()
