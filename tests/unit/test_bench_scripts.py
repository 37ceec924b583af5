"""The benchmark whose name is that of a module of Python's own hides nothing."""

import subprocess
import sys
import sysconfig
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "bench"


def run(*arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True).stdout


def test_a_script_beside_the_tokenizers_benchmark_gets_pythons_own_tokenize():
    found = run("-c", "import tokenize; print(tokenize.__file__)").strip()
    assert Path(found) == Path(sysconfig.get_path("stdlib")) / "tokenize.py"


def test_the_tokenizers_benchmark_runs_by_its_name():
    assert run("tokenize.py", "--help").startswith("usage: tokenize.py")
