"""A signal ends a run wherever it is, also where Python itself would wait."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hubloader.cli._ending import Ending, watched
from hubloader.cli._failing import told_by_system

BEGIN = """
import ctypes, signal
from hubloader.cli import _ending
mutex, libc = ctypes.create_string_buffer(256), ctypes.CDLL(None)
libc.pthread_mutex_lock(mutex)
begun = []
with _ending.watched(_ending.Ending(as_json={as_json})):
    while True:
        try:
            begun or print("begun", flush=begun.append(1) is None)
            {then}
        except KeyboardInterrupt:
            pass  # what a callback of a library may do
"""
DEAF = "libc.pthread_mutex_lock(mutex)"  # waits in C for good: Python's handler has no turn


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("then", "as_json"), [(DEAF, False), (DEAF, True), ("signal.pause()", False)]
)
def test_a_run_that_does_not_hear_a_signal_is_left(
    number: signal.Signals, then: str, as_json: bool
) -> None:
    code = BEGIN.format(as_json=as_json, then=then)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"

    process.send_signal(number)
    out, err = process.communicate(timeout=120)

    assert process.returncode == 128 + number
    if as_json:
        document = json.loads(out)
        assert (document["ok"], document["exit_code"]) == (False, 128 + number)
        assert document["errors"][0]["kind"] == "Interrupted"
    else:
        assert err.startswith("error: interrupted\n")


def test_all_is_as_it_was_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with watched(Ending(as_json=False)):
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_thread_that_runs_a_command_leaves_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with watched(Ending(as_json=False)):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert seen == [before]


def test_the_version_is_printed_without_what_commands_need() -> None:
    code = "import sys; from hubloader.cli.main import run; run(['--version']); print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    version, modules = done.stdout.splitlines()
    assert version.startswith("hubloader ")
    assert {"click", "hubloader.settings", "hubloader.errors"} & set(modules.split()) == set()
    option = subprocess.run(
        [sys.executable, "-m", "hubloader", "-q", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert option.stdout.splitlines() == [version]


IMPORTING = """
import sys
from hubloader.cli.main import main

class Slow:
    def find_spec(self, name, *_):
        if name == {module!r}:
            class Field:
                def __set_name__(self, *_):  # as dataclasses, enums and cached properties have it
                    raise KeyboardInterrupt
            class Settings:
                field = Field()

sys.meta_path.insert(0, Slow())
main(["env"])
"""


@pytest.mark.parametrize("module", ["hubloader.cli._commands", "hubloader.cli.env"])
def test_an_interrupt_that_python_wraps_while_a_class_is_made_is_one(module: str) -> None:
    code = IMPORTING.format(module=module)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr.startswith("error: interrupted\n")
    assert done.returncode == 128 + signal.SIGINT


def test_an_interrupt_while_a_dataclass_writes_its_methods_has_its_own_code(tmp_path: Path) -> None:
    (tmp_path / "ended.py").write_text("""
import sys
from hubloader.cli._ending import Ending
try:
    exec("raise KeyboardInterrupt")  # as it comes while dataclasses run the text of a method
except KeyboardInterrupt:
    sys.exit(Ending(as_json=False).tell())
""")

    done = subprocess.run([sys.executable, "-m", "ended"], cwd=tmp_path, check=False)

    assert done.returncode == 128 + signal.SIGINT


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["env"], ["ls", "--json"], ["--help"]])
def test_a_result_that_finds_no_room_is_8_and_no_traceback(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hubloader", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.stderr.startswith("error: there is no room: No space left on device\n")
    assert done.returncode == 8


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.ENOSPC, 8, "there is no room at out.tar"),
        (errno.EDQUOT, 8, "there is no room at out.tar"),
        (errno.ENOTDIR, 1, "the system refuses at out.tar: Not a directory"),
        (errno.EACCES, 1, "the system refuses at out.tar: Permission denied"),
    ],
)
def test_what_the_system_refuses_is_told_in_its_words(number: int, code: int, said: str) -> None:
    told = told_by_system(OSError(number, os.strerror(number), "out.tar"))

    assert str(told).startswith(said)
    assert getattr(told, "exit_code", 1) == code


def test_what_is_no_answer_of_the_systems_is_a_fault_of_ours() -> None:
    assert told_by_system(OSError(errno.EBADF, "Bad file descriptor")) is None
    assert told_by_system(ValueError("x")) is None
