"""Decoders and encoder-decoders as users hold them: losses, outputs, tables that layers share."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from family_sizes import has, sized

import hubloader

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

SMALL = {
    "vocab_size": 40,
    "max_position_embeddings": 24,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
IDS = np.array([[5, 6, 7, 8, 2], [9, 10, 2, 0, 0]])
MASK = (IDS != 0).astype(int)
BATCH = {"input_ids": torch.tensor(IDS), "attention_mask": torch.tensor(MASK)}


@pytest.fixture
def made(tmp_path):
    """Transformers' model of a family, and the folder that it was saved into."""

    def make(family, cls="AutoModelForSequenceClassification", **options):
        torch.manual_seed(0)
        plain = transformers.AutoConfig.for_model(family)
        known = {key: value for key, value in SMALL.items() if has(plain, key)}
        known |= sized(family, SMALL["hidden_size"]) | options
        config = transformers.AutoConfig.for_model(family, **known)
        model = getattr(transformers, cls).from_config(config, attn_implementation="eager")
        model.eval().save_pretrained(tmp_path)
        return model, tmp_path

    return make


def test_a_reward_model_has_one_score_and_learns_by_regression(made):
    theirs, folder = made("llama", num_labels=1)
    ours = hubloader.LlamaForSequenceClassification.from_pretrained(folder)
    labels = torch.tensor([0.5, -1.0])

    found, expected = ours(**BATCH, labels=labels), theirs(**BATCH, labels=labels)

    assert found.logits.shape == (2, 1)
    assert torch.allclose(found.loss, expected.loss, atol=1e-6)
    assert ours.config.problem_type == "regression"
    found.loss.backward()
    assert ours.score.weight.grad.abs().sum() > 0


def test_several_texts_without_a_padding_token_are_refused(made):
    _, folder = made("gpt2", pad_token_id=None)
    ours = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)

    with pytest.raises(ValueError, match="Cannot handle batch sizes > 1"):
        ours(IDS, MASK)
    assert ours(IDS[:1], MASK[:1]).logits.shape == (1, 2)


def test_padding_on_either_side_changes_nothing_where_distances_alone_count(made):
    _, folder = made("mistral", pad_token_id=0)
    ours = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)
    text = IDS[1, :3]
    alone = ours(text[None]).logits

    for ids in ([*text, 0, 0], [0, 0, *text]):
        batch = np.array([ids])
        np.testing.assert_allclose(ours(batch, (batch != 0) * 1).logits, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("gpt2", ["h.0.attn.bias", "h.1.attn.masked_bias"]),
        ("gpt_neox", ["layers.0.attention.bias", "layers.1.attention.rotary_emb.inv_freq"]),
        ("llama", ["layers.0.self_attn.rotary_emb.inv_freq"]),
        ("bart", ["encoder.version", "decoder.version"]),
    ],
)
def test_tables_that_old_checkpoints_hold_are_passed_over(made, family, names):
    from safetensors.numpy import load_file, save_file

    theirs, folder = made(family)
    file = folder / "model.safetensors"
    more = {f"{theirs.base_model_prefix}.{name}": np.ones((1, 1), np.float32) for name in names}
    save_file({**load_file(file), **more}, file)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize("asked", [False, True], ids=["plain", "traced"])
@pytest.mark.parametrize("family", ["bart", "t5"])
def test_an_encoder_and_a_decoder_both_show_what_they_made(made, family, asked):
    theirs, folder = made(family)
    ours = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)
    options = {"output_hidden_states": asked, "output_attentions": asked}
    with torch.no_grad():
        expected = theirs(**BATCH, **options, use_cache=False)
        found = ours(**BATCH, **options)
    assert type(found).__name__ == type(expected).__name__
    assert list(found) == list(expected)
    for name in found:
        pairs = (found[name], expected[name])
        for mine, other in zip(*pairs, strict=True) if asked and name != "logits" else [pairs]:
            assert torch.allclose(torch.as_tensor(mine), torch.as_tensor(other), atol=1e-5)


def test_a_new_gemma_starts_with_norms_that_change_nothing():
    sizes = {**SMALL, "num_key_value_heads": 1, "head_dim": 8}
    config = hubloader.AutoConfig.for_model("gemma", **sizes)
    model = hubloader.AutoModelForSequenceClassification.from_config(config)
    assert not model.model.norm.weight.any()


def test_a_bare_t5_is_told_what_its_decoder_reads(made):
    theirs, folder = made("t5", "AutoModel")
    ours = hubloader.T5Model.from_pretrained(folder)
    told = {**BATCH, "decoder_input_ids": torch.tensor([[0, 5], [0, 9]])}

    with torch.no_grad():
        expected = theirs(**told).last_hidden_state
        assert torch.allclose(ours(**told).last_hidden_state, expected, atol=1e-5)
    with pytest.raises(ValueError, match="decoder_input_ids"):
        ours(**BATCH)


@pytest.mark.parametrize("backend", ["", pytest.param("TF", marks=pytest.mark.tensorflow)])
@pytest.mark.parametrize("task", ["SequenceClassification", "TokenClassification"])
@pytest.mark.parametrize("family", ["t5", pytest.param("umt5", marks=pytest.mark.slow)])
def test_sums_beyond_float16_are_taken_in_float32_as_in_transformers(made, family, task, backend):
    theirs, folder = made(family, f"AutoModelFor{task}")
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            if "DenseReluDense" in name:
                weight.mul_(1000)
    theirs.save_pretrained(folder)
    half = type(theirs).from_pretrained(folder, dtype="float16").eval()
    cls = getattr(hubloader, f"{backend}AutoModelFor{task}")
    ours = cls.from_pretrained(folder, dtype="float16")
    with torch.no_grad():
        given = BATCH if not backend else {name: value.numpy() for name, value in BATCH.items()}
        found, expected = ours(**given).logits, half(**BATCH).logits
    assert expected.isfinite().all()
    assert "float16" in str(found.dtype)
    assert np.allclose(np.asarray(found), expected.numpy(), atol=1e-2)
    if not backend:
        dtypes = {name: value.dtype for name, value in ours.state_dict().items()}
        assert dtypes == {name: value.dtype for name, value in half.state_dict().items()}


def test_a_table_that_both_halves_share_stays_one(made):
    from safetensors.numpy import load_file

    theirs, folder = made("bart")
    ours = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)
    body = ours.model

    assert (
        body.shared.weight is body.encoder.embed_tokens.weight is body.decoder.embed_tokens.weight
    )
    assert ours.num_parameters() == theirs.num_parameters()
    optimizer = torch.optim.SGD(ours.parameters(), lr=1.0)
    ours(**BATCH, labels=torch.tensor([0, 1])).loss.backward()
    optimizer.step()
    ours.save_pretrained(folder / "trained")
    stored = load_file(folder / "trained" / "model.safetensors")
    assert [name for name in stored if "shared" in name or "tokens" in name] == [
        "model.shared.weight"
    ]
    again = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder / "trained")
    assert again.num_parameters() == theirs.num_parameters()
    with torch.no_grad():
        np.testing.assert_allclose(again(IDS, MASK).logits, ours(**BATCH).logits, atol=1e-5)


def test_a_checkpoint_may_hold_the_shared_table_by_another_of_its_names(made):
    from safetensors.numpy import load_file, save_file

    theirs, folder = made("bart")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["model.encoder.embed_tokens.weight"] = tensors.pop("model.shared.weight")
    save_file(tensors, file)

    ours = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)

    with torch.no_grad():
        assert torch.allclose(ours(**BATCH).logits, theirs(**BATCH).logits, atol=1e-5)


def test_parts_of_a_decoder_may_lie_on_devices_of_their_own(made):
    theirs, folder = made("llama")
    layers = {f"model.layers.{i}": "cpu" for i in range(2)}
    others = dict.fromkeys(("model.embed_tokens", "model.norm", "model.rotary", "score"), "cpu")
    ours = hubloader.AutoModelForSequenceClassification.from_pretrained(
        folder, device_map={**layers, **others}
    )
    with torch.no_grad():
        assert torch.allclose(ours(**BATCH).logits, theirs(**BATCH).logits, atol=1e-5)
