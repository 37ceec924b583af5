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
    listed = re.findall(r"`(test_\w+)` \|$", PAGE, re.MULTILINE)
    names = {
        path.name: re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        for path in (ROOT / "tests/conformance").glob("test_*.py")
    }

    assert len(listed) >= 10
    assert set(names["test_tokenizer_differences.py"]) <= set(listed)
    assert set(listed) <= {name for tests in names.values() for name in tests}
