#!/usr/bin/env python3
"""Write docs/families.md: every architecture, and how far it is from transformers, measured.

    .venv/bin/python scripts/generate_families.py             every family
    .venv/bin/python scripts/generate_families.py bert t5     these; the others' rows stay

The difference is the largest between logits of ours and of transformers' eager attention in
float32, over the tiny random models of tests/conformance/test_architectures.py: every variant of
the family, padding on either side, in the middle, nowhere, and nothing but padding. Needs
transformers, torch and TensorFlow; takes some minutes. ``tests/unit/test_families_page.py``
holds the page's list to the folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "families.md"
FOLDER = ROOT / "hubloader" / "architectures"
BACKENDS = {"numpy": "numpy", "torch": "torch", "torch-eager": "torch, eager", "tf": "TensorFlow"}
HEAD = """# Families

The architectures that hubloader implements, each written once for numpy, PyTorch and TensorFlow.
Any other one is handed to an installed transformers, on PyTorch ([models](concepts/models.md)).
*Heads* are the tasks that a family has a model for: `encoder` is the bare model, of decoders too.

*Difference* is the largest between hubloader's logits and those of transformers {version} (eager
attention, float32): tiny random models of every variant below, padding on either side, in the
middle, nowhere, and a text of nothing but padding. Falcon's ALiBi is compared with transformers'
sdpa attention: its eager one adds it twice, unlike the training. *Lines* are those of the family's
file in `hubloader/architectures/`.

This page is made by `scripts/generate_families.py`.

"""


def main(chosen: list[str]) -> None:
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "conformance")]
    import test_architectures as suite
    import transformers

    from hubloader.architectures import SEQUENCE_CLASSIFICATION, find, supported

    measured = {} if not chosen else already_measured()
    heading = ["family", "heads", "classes", "lines"]
    heading += [f"difference, {backend}" for backend in BACKENDS.values()]
    rows = [heading, ["---"] * 3 + ["---:"] * (len(BACKENDS) + 1)]
    tried = []
    for family in supported():
        architecture = find(family)
        variants = ["plain", *suite.VARIANTS.get(family, {})]
        if family not in measured or family in chosen:
            worst = dict.fromkeys(BACKENDS, 0.0)
            for variant in variants:
                case = suite.oracle(family, variant, SEQUENCE_CLASSIFICATION)
                batch = case.batch()
                expected = case.reference(batch).logits
                for kit in BACKENDS:
                    ours = suite.run(kit, case.build(kit), batch)
                    worst[kit] = max(worst[kit], suite.difference(ours, expected))
            measured[family] = [f"{x:.1e}" for x in worst.values()]
            print(family, worst, file=sys.stderr)
        heads = ", ".join(architecture.tasks)
        names = " ".join(f"`{name}`" for name in architecture.class_names.values())
        lines = (FOLDER / f"{family.replace('-', '_')}.py").read_text().count("\n")
        rows.append([f"`{family}`", heads, names, str(lines), *measured[family]])
        tried.append(f"- `{family}`: {'; '.join(variants)}")
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = HEAD.format(version=transformers.__version__) + table
    text += "\n\nOn TensorFlow the classes begin with `TF`, on numpy with `Np`.\n"
    text += "\n## Variants measured\n\n"
    PAGE.write_text(text + "\n".join(tried) + "\n", encoding="utf-8")


def already_measured() -> dict[str, list[str]]:
    """The page's own numbers, by family."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) > len(BACKENDS):
            found[cells[0].strip("`")] = cells[-len(BACKENDS) :]
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
