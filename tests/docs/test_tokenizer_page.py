"""The page on tokenizers says what is so: its table, and a test for each difference it lists."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/tokenizers.md").read_text(encoding="utf-8")


def test_the_table_of_families_is_up_to_date():
    finished = subprocess.run(
        [sys.executable, "scripts/generate_tokenizer_reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_every_difference_has_its_test_and_every_test_its_difference():
    tests = (ROOT / "tests/conformance/test_tokenizer_differences.py").read_text(encoding="utf-8")
    listed = re.findall(r"`(test_\w+)` \|$", PAGE, re.MULTILINE)

    assert len(listed) >= 10
    assert sorted(listed) == sorted(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
