#!/usr/bin/env python3
"""What it costs to get from a checkpoint on disk to logits: time and memory, beside transformers.

    .venv/bin/python scripts/bench/load.py [--rounds 7] [--cpu] [--json FILE]

The checkpoint is a DistilBERT of the size that the quick tour's has (268 MB), with random weights,
made for the run unless ``--checkpoint`` names a folder. ``--cpu`` counts the processor's seconds on
one thread instead of the clock's, for a machine that others use too. Three groups:

* from the start of a process to the logits of two sentences, peak memory beside it;
* the load alone, in a process that has imported everything: mapped, not copied;
* what the process holds after it: memory of its own, and the file's pages that it has mapped, which
  are the page cache's.

What stands is the ratio of medians of runs in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pairing import Timing, compare, report, save

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "cache_fixtures/hub/distilbert/distilbert-base-uncased-finetuned-sst-2-english"
SENTENCES = ["We are very happy to show you the library.", "We hope you don't hate it."]
QUIET = {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "TRANSFORMERS_VERBOSITY": "error"}

MAKE = """
import sys
from hubloader import DistilBertConfig, NpAutoModelForSequenceClassification as Model
Model.from_config(DistilBertConfig()).save_pretrained(sys.argv[1])
"""
START = f"""
import sys
from {{library}} import AutoTokenizer, {{model}} as Model
batch = AutoTokenizer.from_pretrained(sys.argv[1])(
    {SENTENCES!r}, padding=True, return_tensors="{{kind}}"
)
Model.from_pretrained(sys.argv[1])(**batch).logits
"""
# The limit on torch: its import, the tensors, and a forward that somebody else has written.
LIMIT = """
import sys, torch
from safetensors.torch import load_file
w = load_file(sys.argv[1] + "/model.safetensors")
f, ids = torch.nn.functional, torch.tensor([[101, 2057, 2024, 2200, 3407, 102]] * 2)
def linear(x, name): return f.linear(x, w[name + ".weight"], w[name + ".bias"])
def norm(x, name): return f.layer_norm(x, (768,), w[name + ".weight"], w[name + ".bias"], 1e-12)
e = "distilbert.embeddings."
x = w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][: ids.shape[1]]
x = norm(x, e + "LayerNorm")
for i in range(6):
    p = f"distilbert.transformer.layer.{i}."
    parts = (linear(x, f"{p}attention.{n}_lin") for n in "qkv")
    q, k, v = (part.view(2, -1, 12, 64).transpose(1, 2) for part in parts)
    a = f.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
    x = norm(linear(a, p + "attention.out_lin") + x, p + "sa_layer_norm")
    h = linear(f.gelu(linear(x, p + "ffn.lin1")), p + "ffn.lin2")
    x = norm(h + x, p + "output_layer_norm")
linear(f.relu(linear(x[:, 0], "pre_classifier")), "classifier")
"""
# Prints seconds of the load, and MB: at the peak, of the process' own, of files mapped.
LOAD = """
import json, sys, time
{imports}
def memory():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [int(status[name].split()[0]) / 1024 for name in ("VmHWM", "RssAnon", "RssFile")]
before = memory()
clock = getattr(time, sys.argv[2])
start = clock()
{load}
seconds = clock() - start
print(json.dumps([seconds, before, memory()]))
"""


def load_program(imports: str, load: str) -> str:
    return LOAD.format(imports=imports, load=load)


def loads() -> dict[str, str]:
    """In-process loads, the limit first."""
    ours = "from hubloader import {0} as Model; Model.__mro__"
    call = "model = Model.from_pretrained(sys.argv[1])"
    return {
        "safetensors into torch": load_program(
            "import torch; from safetensors.torch import load_file",
            'model = load_file(sys.argv[1] + "/model.safetensors")',
        ),
        "hubloader, torch": load_program(
            "import torch; " + ours.format("AutoModelForSequenceClassification"), call
        ),
        "transformers, torch": load_program(
            "import torch, transformers.models.distilbert.modeling_distilbert; "
            "from transformers import AutoModelForSequenceClassification as Model",
            call,
        ),
        "hubloader, numpy": load_program(
            "import numpy; " + ours.format("NpAutoModelForSequenceClassification"), call
        ),
        "hubloader, TensorFlow": load_program(
            "import tensorflow; " + ours.format("TFAutoModelForSequenceClassification"), call
        ),
    }


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    clock = "process_time" if options.cpu else "perf_counter"
    if options.cpu:
        QUIET.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.checkpoint or make_checkpoint(Path(scratch))
        results = {"start": starts(str(folder), options.rounds, cpu=options.cpu)}
        results["load"] = only_loads(str(folder), options.rounds, clock)
    save(options.json, "load", results)


def make_checkpoint(folder: Path) -> Path:
    """A checkpoint of the real one's size and layout; its tokenizer is the fixture's."""
    subprocess.run(python(MAKE, str(folder)), check=True)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(FIXTURE / name, folder / name)
    return folder


def starts(folder: str, rounds: int, *, cpu: bool) -> list[Timing]:
    classifier = "AutoModelForSequenceClassification"
    programs = {
        "import numpy": python("import numpy"),
        "hubloader, numpy": python(
            START.format(library="hubloader", model=f"Np{classifier}", kind="np"), folder
        ),
        "import torch, load, forward": python(LIMIT, folder),
        "hubloader, torch": python(
            START.format(library="hubloader", model=classifier, kind="pt"), folder
        ),
        "transformers, torch": python(
            START.format(library="transformers", model=classifier, kind="pt"), folder
        ),
    }
    timings = compare(programs, rounds=rounds, env=QUIET, cpu=cpu)
    title = "process start -> logits of two sentences (whole process, peak memory)"
    report(title, timings, base="import torch, load, forward")
    by_name = {t.name: t for t in timings}
    theirs = by_name["transformers, torch"].median
    for name in ("hubloader, numpy", "hubloader, torch"):
        print(f"  {name}: {theirs / by_name[name].median:.1f} x as fast as transformers")
    weights = os.path.getsize(f"{folder}/model.safetensors") / 2**20
    over = by_name["hubloader, numpy"].peak_mb - weights
    print(f"  numpy's peak memory: weights ({weights:.0f} MB) {over:+.0f} MB")
    return timings


def only_loads(folder: str, rounds: int, clock: str) -> list[Timing]:
    programs = loads()
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    before: dict[str, list[float]] = {}
    after: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            took, before[name], after[name] = run_load(program, folder, clock)
            if turn:
                seconds[name].append(took)
    timings = [Timing(name, tuple(seconds[name]), after[name][0]) for name in programs]
    report("the load alone, after imports (first of its process)", timings, base=timings[0].name)
    print("\nmemory of that process, MB: at its peak | its own, before -> after | mapped files")
    for name in programs:
        own = f"{before[name][1]:.0f} -> {after[name][1]:.0f}"
        mapped = f"{before[name][2]:.0f} -> {after[name][2]:.0f}"
        print(f"  {name:<22}  {after[name][0]:5.0f} | {own:>12} | {mapped:>12}")
    slowest = max(statistics.median(seconds[n]) for n in ("hubloader, torch", "hubloader, numpy"))
    print(f"  slower of torch and numpy: {slowest:.3f} s (goal: 0.2 s)")
    return timings


def run_load(program: str, folder: str, clock: str) -> tuple[float, list[float], list[float]]:
    finished = subprocess.run(
        python(program, folder, clock),
        env={**os.environ, **QUIET},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    took, before, after = json.loads(finished.stdout)
    return took, before, after


if __name__ == "__main__":
    main()
