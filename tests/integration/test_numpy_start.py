"""A numpy classifier starts without what it does not need: frameworks, HTTP, other readers."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from hubloader import AutoTokenizer, NpAutoModelForSequenceClassification as Model
batch = AutoTokenizer.from_pretrained(sys.argv[1])(["happy"], return_tensors="np")
Model.from_pretrained(sys.argv[1])(**batch).logits
unwanted = {"torch", "tensorflow", "keras", "transformers", "requests", "huggingface_hub", "h5py",
            "importlib.metadata", "hubloader.formats.h5", "hubloader.formats.torch_pickle",
            "hubloader.formats.flax_msgpack", "hubloader.architectures.modernbert"}
print(*sorted(unwanted & sys.modules.keys()))
"""


def test_it_imports_what_it_computes_with_and_no_more(fixture_hub):
    folder = fixture_hub / "fixtures" / "bert-tiny-sentiment"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.split() == []
