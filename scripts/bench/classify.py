#!/usr/bin/env python3
"""How fast texts are classified once all is loaded, beside transformers with fused attention.

    .venv/bin/python scripts/bench/classify.py [--rounds 5] [--cpu] [--json FILE] [--only families]

One process, all cores, programs in turns: a padded batch through the model, and texts of mixed
length through ``pipeline``, which orders them by length. The checkpoint is load.py's. onnxruntime
takes part where it is installed with onnx and onnxscript, on the graph that ``torch.onnx`` exports
from the model. Then a padded batch through each of families.py, in float32 and with the attention
that transformers chooses by itself. ``--only`` names one of ``batch``, ``pipeline``, ``families``.
``--cpu`` counts the processor's seconds on one thread, for a machine that others use too. What
stands is the ratio of medians.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from families import FAMILIES, classifiers
from load import make_checkpoint
from pairing import Timing, report, save

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the libraries are imported

ROWS, TOKENS = 8, 128
TEXTS = 48
Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--only", choices=("batch", "pipeline", "families"))
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    if options.cpu:  # read when the libraries are imported
        os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        results = {}
        for title, make in works(options, Path(scratch)).items():
            results[title] = in_turns(make(), options.rounds, clock)
            report(title, results[title], base="transformers, torch")
            judge(results[title])
    save(options.json, "classify", results)


def works(options: argparse.Namespace, scratch: Path) -> dict[str, Callable[[], dict[str, Work]]]:
    """What is measured, by title; nothing is made before its turn."""
    found: dict[str, Callable[[], dict[str, Work]]] = {}
    if options.only != "families":
        folder = str(options.checkpoint or make_checkpoint(scratch))
        if options.only != "pipeline":
            title = f"a batch of {ROWS} x {TOKENS} tokens"
            found[title] = partial(batches, folder, scratch / "model.onnx")
        if options.only != "batch":
            found[f"{TEXTS} texts of 4 to 120 words, pipeline"] = partial(texts, folder)
    if options.only in (None, "families"):
        for family in FAMILIES:
            title = f"{family}, a batch of {ROWS} x {TOKENS} tokens"
            found[title] = partial(classifiers, family, scratch, ROWS, TOKENS)
    return found


def batches(folder: str, graph: Path) -> dict[str, Work]:
    """The same padded batch through each model."""
    import numpy as np
    import torch
    import transformers

    import hubloader

    rng = np.random.default_rng(0)
    ids = rng.integers(1000, 30000, (ROWS, TOKENS))
    mask = np.ones_like(ids)
    mask[::2, TOKENS * 3 // 4 :] = 0
    tensors = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
    ours = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)
    plain = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="sdpa"
    ).eval()

    def without_gradients(model: Callable[..., object]) -> Work:
        return torch.inference_mode()(lambda: model(**tensors))

    programs: dict[str, Work] = {
        "transformers, torch": without_gradients(theirs),
        "hubloader, torch": without_gradients(ours),
        "hubloader, numpy": lambda: plain(ids, mask),
    }
    session = onnx_session(theirs, tensors, graph)
    if session is not None:
        programs["onnxruntime"] = lambda: session.run(
            None, {"input_ids": ids, "attention_mask": mask}
        )
    return programs


def onnx_session(model, tensors, graph: Path):
    """The same model as onnxruntime runs it, or None where that is not installed."""
    lacking = [name for name in ("onnxruntime", "onnx", "onnxscript") if find_spec(name) is None]
    if lacking:
        print(f"onnxruntime does not take part: {', '.join(lacking)} not installed")
        return None
    import onnxruntime
    import torch

    model.config.return_dict = False
    torch.onnx.export(
        model,
        (tensors["input_ids"], tensors["attention_mask"]),
        graph,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamo=True,
        verbose=False,
    )
    model.config.return_dict = True
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def texts(folder: str) -> dict[str, Work]:
    """The same texts through each pipeline, 16 at a time."""
    import transformers

    import hubloader

    words = ("film", "nobody", "made", "and", "yet", "I", "was", "happy", "to", "see", "again")
    draw = random.Random(0)  # noqa: S311  texts, not secrets
    found = [" ".join(draw.choices(words, k=draw.randint(4, 120))) for _ in range(TEXTS)]
    common = {"task": "text-classification", "model": folder, "batch_size": 16}
    theirs = transformers.pipeline(**common)
    pipelines = {
        "transformers, torch": theirs,
        "hubloader, torch": hubloader.pipeline(**common, framework="pt"),
        "hubloader, numpy": hubloader.pipeline(**common, framework="np"),
    }
    return {name: (lambda classify=each: classify(found)) for name, each in pipelines.items()}


def in_turns(programs: dict[str, Work], rounds: int, clock: Callable[[], float]) -> list[Timing]:
    """Run each once unmeasured, then ``rounds`` times in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, work in programs.items():
            start = clock()
            work()
            if turn:
                seconds[name].append(clock() - start)
    return [Timing(name, tuple(times), 0) for name, times in seconds.items()]


def judge(timings: list[Timing]) -> None:
    """Say the two ratios that are promised."""
    median = {t.name: t.median for t in timings}
    ours, theirs = median["hubloader, torch"], median["transformers, torch"]
    print(f"  torch: {theirs / ours:.2f} x the throughput of transformers (goal: 1)")
    print(f"  numpy: {ours / median['hubloader, numpy']:.2f} x that of torch (goal: 0.5)")


if __name__ == "__main__":
    main()
