"""Five families that stand for the others, small and with random weights, for classify.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Work = Callable[[], object]

WIDTH, LAYERS, HEADS, WORDS = 384, 4, 6, 8000
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_labels": 3}
_ENCODER = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 4 * WIDTH,
}
FAMILIES: dict[str, dict[str, object]] = {
    "bert": _ENCODER,
    "deberta-v2": {
        **_ENCODER,
        "relative_attention": True,
        "position_buckets": 64,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "modernbert": {**_ENCODER, "cls_token_id": 1, "sep_token_id": 2},
    "bart": {
        "vocab_size": WORDS,
        "d_model": WIDTH,
        "encoder_layers": LAYERS // 2,
        "decoder_layers": LAYERS // 2,
        "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS,
        "encoder_ffn_dim": 4 * WIDTH,
        "decoder_ffn_dim": 4 * WIDTH,
    },
    "llama": {**_ENCODER, "num_key_value_heads": HEADS // 2},
}


def classifiers(family: str, scratch: Path, rows: int, tokens: int) -> dict[str, Work]:
    """The same padded batch through one family's classifier, by each program.

    Args:
        family: a key of ``FAMILIES``.
        scratch: where its checkpoint is written.
        rows: texts of the batch; every other one is padded by a quarter.
        tokens: the batch's length.

    """
    import numpy as np
    import torch
    import transformers

    import hubloader

    transformers.utils.logging.disable_progress_bar()
    folder = scratch / family
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **_IDS, **FAMILIES[family])
    made = transformers.AutoModelForSequenceClassification.from_config(config)
    made.save_pretrained(folder)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    ).eval()
    ours = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)
    plain = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)

    rng = np.random.default_rng(0)
    ids = rng.integers(10, WORDS, (rows, tokens))
    mask = np.ones_like(ids)
    mask[::2, tokens * 3 // 4 :] = 0
    ids[mask == 0] = 0
    last = mask.sum(1) - 1
    ids[np.arange(rows), last] = 2  # by which an encoder-decoder classifies
    tensors = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}

    def without_gradients(model: Callable[..., object]) -> Work:
        return torch.inference_mode()(lambda: model(**tensors))

    programs: dict[str, Work] = {
        "transformers, torch": without_gradients(theirs),
        "hubloader, torch": without_gradients(ours),
        "hubloader, numpy": lambda: plain(ids, mask),
    }
    right = programs["transformers, torch"]().logits.numpy()
    for name, work in programs.items():  # the same answer, or its time says nothing
        np.testing.assert_allclose(np.asarray(work().logits), right, atol=1e-4, err_msg=name)
    return programs
