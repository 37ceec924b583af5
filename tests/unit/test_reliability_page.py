"""The page that says which faults are proved names tests that exist, and leaves none out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)


def rows() -> dict[int, list[str]]:
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    return {int(number): re.findall(r"`(\w+)`", tests) for number, tests in ROW.findall(page)}


def test_each_fault_of_the_network_has_a_row():
    assert list(rows()) == list(range(1, 41))
    assert all(rows().values())


def test_every_test_that_is_named_exists():
    source = "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("tests/fault/test_network_*"))
    defined = set(re.findall(r"^def (test_\w+)", source, re.MULTILINE))

    assert {name for tests in rows().values() for name in tests} <= defined
