"""Runs the code blocks of one page, in order, as a reader would; started by test_docs.py.

Reads the blocks as JSON on stdin and writes what each printed as JSON on stdout. Python blocks
share one namespace, shell blocks are one ``bash`` each, in the folder and environment given. A
shell block that starts a program in the background is waited for until that program's first line.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import traceback


def run_python(code, where, namespace):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, where, "exec"), namespace)
    return printed.getvalue()


def run_bash(code):
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    return finished.stdout


def start_in_background(code, running):
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"{code}\nwait"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    running.append(process)
    return process.stdout.readline()


def run_block(block, namespace, running):
    if block["language"] == "python":
        return run_python(block["code"], block["where"], namespace)
    if block["code"].rstrip().endswith("&"):
        return start_in_background(block["code"], running)
    return run_bash(block["code"])


def main():
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints past sys.stdout must not end up in the answer
    namespace = {"__name__": "__main__"}
    running, outputs = [], []
    failure = None
    try:
        for block in json.load(sys.stdin):
            try:
                outputs.append(run_block(block, namespace, running))
            except BaseException:  # noqa: BLE001 - whatever a page raises is the finding
                failure = f"{block['where']}:\n{block['code']}\n{traceback.format_exc()}"
                break
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=300)
    json.dump({"outputs": outputs, "failure": failure}, answer)
    answer.close()


if __name__ == "__main__":
    main()
