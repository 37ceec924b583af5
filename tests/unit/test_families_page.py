"""docs/families.md lists the architectures that there are, with their classes."""

from __future__ import annotations

import re
from pathlib import Path

from hubloader.architectures import find, supported

PAGE = Path(__file__).resolve().parents[2] / "docs" / "families.md"
ROW = re.compile(r"^\| `([^`]+)` \| [^|]+ \| (.+?) \|", re.MULTILINE)


def test_the_page_lists_every_architecture_and_its_classes():
    rows = {
        name: re.findall(r"`(\w+)`", classes) for name, classes in ROW.findall(PAGE.read_text())
    }

    assert rows == {name: list(find(name).class_names.values()) for name in supported()}, (
        "run scripts/generate_families.py"
    )


def test_every_measured_difference_is_below_what_is_promised():
    found = [float(x) for x in re.findall(r"\d\.\de[+-]\d+", PAGE.read_text())]

    assert len(found) == 4 * len(supported())
    assert max(found) <= 1e-5
