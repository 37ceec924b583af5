"""Time a tokenizer here against the engine beneath and transformers: see tokenizers_bench.py.

    .venv/bin/python scripts/bench/tokenize.py [--rounds N] [--json FILE]

A module of Python's own has this name, and scripts in this folder find this file first. Whoever
imports ``tokenize`` is therefore given Python's.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_HERE = os.path.dirname(os.path.realpath(__file__))
_ELSEWHERE = [path for path in sys.path if os.path.realpath(path) != _HERE]


def _pythons_own():
    spec = PathFinder.find_spec("tokenize", _ELSEWHERE)
    module = sys.modules["tokenize"] = module_from_spec(spec)
    spec.loader.exec_module(module)


_pythons_own()

if __name__ == "__main__":
    from tokenizers_bench import main

    main()
