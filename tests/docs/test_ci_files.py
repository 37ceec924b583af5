"""What the CI files and Dockerfiles of the how-to pages call hubloader with is run here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hubloader.mirror import MirrorServer

HOW_TO = Path(__file__).parents[2] / "docs/how-to"
BLOCK = re.compile(r"^```(?:yaml|dockerfile)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"\bhubloader ([a-z]+(?: [-\w./=]+)*)")
INSTALL = re.compile(r"pip install hubloader")


def calls():
    found = []
    for page in sorted(HOW_TO.glob("*.md")):
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            text = INSTALL.sub("", block)
            found += [(page.name, call) for call in CALL.findall(text)]
    return found


@pytest.fixture(scope="module")
def project(fixture_hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "models.toml").write_text(
        '[models.sentiment]\nrepo = "fixtures/bert-tiny-sentiment"\n'
    )
    with MirrorServer(fixture_hub) as hub:
        env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home")}
        subprocess.run([sys.executable, "-m", "hubloader", "lock"], cwd=folder, env=env, check=True)
        yield folder, env


def test_the_pages_show_such_files():
    assert {page for page, _ in calls()} >= {"ci.md", "docker.md"}
    assert len(calls()) >= 5


@pytest.mark.parametrize(("page", "call"), calls())
def test_a_command_of_a_ci_file_works(project, page, call):
    folder, env = project
    words = [str(folder / "out") if word == "/models" else word for word in shlex.split(call)]

    done = subprocess.run(
        [sys.executable, "-m", "hubloader", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, f"{page}: {call}\n{done.stderr}"
