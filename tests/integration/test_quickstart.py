"""``scripts/quickstart``, from where its environment is made: the first thing a newcomer runs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def quickstart(tmp_path, *arguments):
    """Run it with an empty home."""
    environ = {**os.environ, "HOME": str(tmp_path)}
    environ.pop("HF_HOME", None)
    return subprocess.run(
        [sys.executable, "scripts/quickstart.py", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_goes_cold_warm_and_offline_and_leaves_nothing_behind(tmp_path):
    finished = quickstart(tmp_path)

    assert finished.returncode == 0, finished.stderr
    assert "cold" in finished.stdout
    assert "warm" in finished.stdout
    assert "offline, the Hub stopped" in finished.stdout
    assert "model.safetensors" in finished.stdout
    assert "[101, 2057, 2024, 2200, 3407, 2000, 2265, 2017, 1996, 100, 19081" in finished.stdout
    assert "POSITIVE" in finished.stdout
    assert finished.stdout.endswith("All as it should be.\n")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.torch
@pytest.mark.tensorflow
def test_the_frameworks_give_the_same_logits(tmp_path):
    if find_spec("torch") is None or find_spec("tensorflow") is None:
        pytest.skip("needs both frameworks")

    finished = quickstart(tmp_path, "torch", "tensorflow")

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("largest difference") == 3  # two frameworks, transformers


def test_without_a_network_the_real_hub_fails_with_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # what --hub would ask, if not this
    monkeypatch.setenv("HUBLOADER_RETRY_BUDGET", "0")

    finished = quickstart(tmp_path, "--hub")

    assert finished.returncode == 1
    assert "error: the job on numpy ended with 1" in finished.stderr
    assert "hint: check the network" in finished.stderr
    assert "Traceback" not in finished.stderr
