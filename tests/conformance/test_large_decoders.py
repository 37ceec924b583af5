"""A decoder of seven billion parameters: built without memory, its shards mapped and not read."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from hubloader.architectures import SEQUENCE_CLASSIFICATION, find
from hubloader.nn import get_kit

pytestmark = pytest.mark.torch

SEVEN_BILLION = {  # Mistral-7B's
    "model_type": "mistral",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_labels": 1,
    "pad_token_id": 2,
}
SHARDS = 3
KINDS = {"bfloat16": ("BF16", 2), "float32": ("F32", 4)}
PROGRAM = """
import resource, sys
import hubloader
{imported}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = hubloader.{facade}.from_pretrained(sys.argv[1])
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
print(model.num_parameters(), grown)
"""


def shapes() -> dict[str, tuple[int, ...]]:
    kit, mistral = get_kit("torch"), find("mistral")
    config = mistral.config.from_json(SEVEN_BILLION)
    return kit.parameters(kit.build(mistral.tasks[SEQUENCE_CLASSIFICATION], config))


def write_checkpoint(folder: Path, dtype: str) -> None:
    """Write a checkpoint of 14 or 28 GB that takes no room: its files are holes."""
    names, (word, width) = shapes(), KINDS[dtype]
    table = {}
    for number in range(SHARDS):
        file = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        header, offset = {}, 0
        for name in list(names)[number::SHARDS]:
            size = width * math.prod(names[name])
            header[name] = {
                "dtype": word,
                "shape": names[name],
                "data_offsets": [offset, offset + size],
            }
            offset += size
            table[name] = file
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / file, "wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            stream.truncate(8 + len(text) + offset)
    index = {"metadata": {}, "weight_map": table}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({**SEVEN_BILLION, "dtype": dtype}))


def test_building_one_allocates_nothing():
    pytest.importorskip("torch")
    assert 7.0e9 < sum(map(math.prod, shapes().values())) < 7.2e9


@pytest.mark.parametrize(
    ("facade", "framework", "dtype"),
    [
        ("AutoModelForSequenceClassification", "torch", "bfloat16"),
        ("NpAutoModelForSequenceClassification", "numpy", "float32"),
    ],
    ids=["torch", "numpy"],
)
def test_its_shards_are_mapped_and_not_read(tmp_path, facade, framework, dtype):
    pytest.importorskip("torch")
    write_checkpoint(tmp_path, dtype)
    program = PROGRAM.format(facade=facade, imported=f"import {framework}")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True
    )
    numbers, grown = map(int, done.stdout.split())
    whole = numbers * KINDS[dtype][1]
    assert numbers > 7.0e9
    assert grown < whole / 50, f"{grown} bytes of {whole} came into memory"
