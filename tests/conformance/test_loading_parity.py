"""Loading and saving against transformers 5.23, live, on tiny models with random weights."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

import hubloader

pytestmark = [pytest.mark.oracle, pytest.mark.torch]

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

IDS = [[5, 6, 7, 8, 9], [9, 10, 11, 0, 0], [0, 0, 12, 13, 14]]
MASK = [[int(i != 0) for i in row] for row in IDS]
FAMILIES = {
    "bert": lambda **more: transformers.BertConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
        initializer_range=0.3,
        **more,
    ),
    "distilbert": lambda **more: transformers.DistilBertConfig(
        vocab_size=32,
        dim=16,
        n_layers=2,
        n_heads=2,
        hidden_dim=24,
        max_position_embeddings=12,
        initializer_range=0.3,
        **more,
    ),
}
FACADES = {
    "torch": "AutoModelForSequenceClassification",
    "numpy": "NpAutoModelForSequenceClassification",
    "tf": "TFAutoModelForSequenceClassification",
}


@pytest.fixture(params=sorted(FAMILIES))
def family(request):
    return request.param


@pytest.fixture(params=["torch", "numpy", pytest.param("tf", marks=pytest.mark.tensorflow)])
def backend(request):
    if request.param == "tf" and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("tensorflow is not installed")
    return request.param


def made(family, cls="AutoModelForSequenceClassification", seed=0, **config):
    torch.manual_seed(seed)
    model = getattr(transformers, cls).from_config(FAMILIES[family](**config))
    return model.eval()


def theirs(model, ids=IDS, mask=MASK, **more):
    with torch.no_grad():
        return model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), **more)


def reloaded(folder, **options):
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager", dtype="float32", **options
    ).eval()


def ours(backend, folder, **options):
    model = getattr(hubloader, FACADES[backend]).from_pretrained(folder, **options)
    ids, mask = np.array(IDS), np.array(MASK)
    if backend == "torch":
        with torch.no_grad():
            return model(torch.tensor(ids), torch.tensor(mask)).logits.float().numpy()
    if backend == "tf":
        return np.asarray(model({"input_ids": ids, "attention_mask": mask}).logits)
    return model(ids, mask).logits


def distance(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("seed", [0, 1])
def test_logits_agree_from_every_stored_dtype(tmp_path, family, backend, dtype, seed):
    made(family, seed=seed, num_labels=3).to(getattr(torch, dtype)).save_pretrained(tmp_path)

    logits = ours(backend, tmp_path, dtype="float32")

    assert distance(logits, theirs(reloaded(tmp_path)).logits) < 1e-5


def test_logits_agree_from_a_sharded_checkpoint(tmp_path, family, backend):
    made(family).save_pretrained(tmp_path, max_shard_size="5KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()

    assert distance(ours(backend, tmp_path), theirs(reloaded(tmp_path)).logits) < 1e-5


@pytest.mark.parametrize("legacy", [False, True])
def test_logits_agree_from_a_pickled_checkpoint(tmp_path, family, backend, legacy):
    model = made(family)
    model.config.save_pretrained(tmp_path)
    torch.save(
        model.state_dict(),
        tmp_path / "pytorch_model.bin",
        _use_new_zipfile_serialization=not legacy,
    )

    assert distance(ours(backend, tmp_path), theirs(model).logits) < 1e-5


def test_a_sharded_pickled_checkpoint_is_read(tmp_path, family, backend):
    model = made(family)
    model.config.save_pretrained(tmp_path)
    state = list(model.state_dict().items())
    weight_map = {}
    for number, part in enumerate((state[:7], state[7:]), 1):
        name = f"pytorch_model-0000{number}-of-00002.bin"
        torch.save(dict(part), tmp_path / name)
        weight_map.update(dict.fromkeys(dict(part), name))
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))

    assert distance(ours(backend, tmp_path), theirs(model).logits) < 1e-5


def test_names_of_before_2019_are_read(tmp_path, backend):
    model = made("bert")
    model.config.save_pretrained(tmp_path)
    old = {
        n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): t
        for n, t in model.state_dict().items()
    }
    torch.save(old, tmp_path / "pytorch_model.bin")

    assert distance(ours(backend, tmp_path), theirs(model).logits) < 1e-5


def test_a_data_parallel_checkpoint_is_read(tmp_path, family, backend):
    model = made(family)
    model.config.save_pretrained(tmp_path)
    torch.save(torch.nn.DataParallel(model).state_dict(), tmp_path / "pytorch_model.bin")

    assert distance(ours(backend, tmp_path), theirs(model).logits) < 1e-5


@pytest.mark.parametrize("cls", ["AutoModel", "AutoModelForMaskedLM"])
def test_the_encoder_agrees_from_a_checkpoint_of_another_head(tmp_path, family, cls):
    made(family, cls).save_pretrained(tmp_path)
    reference = transformers.AutoModel.from_pretrained(tmp_path, attn_implementation="eager")

    model = hubloader.AutoModel.from_pretrained(tmp_path)

    with torch.no_grad():
        got = model(torch.tensor(IDS), torch.tensor(MASK)).last_hidden_state
    assert distance(got, theirs(reference.eval()).last_hidden_state) < 1e-5


def test_what_every_backend_saves_is_loaded_by_transformers(tmp_path, family, backend):
    reference = made(family, num_labels=4)
    reference.save_pretrained(tmp_path / "theirs")
    model = getattr(hubloader, FACADES[backend]).from_pretrained(tmp_path / "theirs")

    model.save_pretrained(tmp_path / "ours")

    back, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "ours", attn_implementation="eager", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(back) is type(reference)
    assert back.config.architectures == reference.config.architectures
    assert back.config.id2label == reference.config.id2label
    same = reloaded(tmp_path / "theirs")  # which attends by the same steps, to the last bit
    assert distance(theirs(back.eval()).logits, theirs(same).logits) < 1e-6


def test_the_state_dict_has_transformers_names_and_shapes(tmp_path, family):
    reference = made(family)
    reference.save_pretrained(tmp_path)

    model = hubloader.AutoModelForSequenceClassification.from_pretrained(tmp_path)

    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes == {name: tuple(v.shape) for name, v in reference.state_dict().items()}
    assert model.num_parameters() == reference.num_parameters()


def drawn(seed):
    return torch.rand(3, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("problem", "labels"),
    [
        (None, torch.tensor([1, 0, 2])),
        ("single_label_classification", torch.tensor([1, 0, 2])),
        ("multi_label_classification", drawn(1)),
        (None, drawn(2)),
        ("regression", drawn(3)),
    ],
)
def test_losses_and_gradients_agree(tmp_path, family, problem, labels):
    made(family, num_labels=3, problem_type=problem).save_pretrained(tmp_path)
    reference = reloaded(tmp_path)
    model = hubloader.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, attn_implementation="eager"
    )

    expected = reference(torch.tensor(IDS), torch.tensor(MASK), labels=labels).loss
    loss = model(torch.tensor(IDS), torch.tensor(MASK), labels=labels).loss
    expected.backward()
    loss.backward()

    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert model.config.problem_type == reference.config.problem_type
    wanted = {name: p.grad for name, p in reference.named_parameters()}
    for name, parameter in model.named_parameters():
        assert distance(parameter.grad, wanted[name]) < 1e-5, name


@pytest.mark.parametrize(
    "labels",
    [[1, -100, 2], [0, -1, 2], [-100, -100, -100], [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0] * 3]],
    ids=["one-left-out", "minus-one", "none", "shares"],
)
@pytest.mark.parametrize("kind", ["deberta", "deberta-v2"])
def test_debertas_loss_of_a_problem_without_a_name_agrees(tmp_path, kind, labels, backend):
    config = transformers.AutoConfig.for_model(
        kind,
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
        num_labels=3,
    )
    reference = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    reference.save_pretrained(tmp_path)
    model = getattr(hubloader, FACADES[backend]).from_pretrained(tmp_path)

    expected = reference(torch.tensor(IDS), labels=torch.tensor(labels)).loss.item()
    native = torch.tensor if backend == "torch" else np.array
    loss = model(input_ids=native(IDS), labels=native(labels)).loss

    found = float(loss.detach() if backend == "torch" else loss)
    assert found == pytest.approx(expected, abs=1e-6)
    assert model.config.problem_type is None  # as transformers leaves it


def test_hidden_states_and_attentions_agree(tmp_path, family):
    made(family).save_pretrained(tmp_path)
    asked = {"output_hidden_states": True, "output_attentions": True}
    expected = theirs(reloaded(tmp_path), **asked)

    model = hubloader.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with torch.no_grad():
        out = model(torch.tensor(IDS), torch.tensor(MASK), **asked)

    assert len(out.hidden_states) == len(expected.hidden_states) == 3
    assert len(out.attentions) == len(expected.attentions) == 2
    pairs = zip(
        (*out.hidden_states, *out.attentions),
        (*expected.hidden_states, *expected.attentions),
        strict=True,
    )
    assert all(distance(a, b) < 1e-5 for a, b in pairs)
    assert list(out) == list(expected)


@pytest.mark.parametrize(
    ("options", "stored", "dtype"),
    [
        ({}, "float16", torch.float16),
        ({"dtype": "auto"}, "bfloat16", torch.bfloat16),
        ({"dtype": torch.float32}, "float16", torch.float32),
        ({"dtype": "float16"}, "float32", torch.float16),
        ({"torch_dtype": torch.bfloat16}, "float32", torch.bfloat16),
    ],
)
def test_the_dtype_is_chosen_as_transformers_does(tmp_path, family, options, stored, dtype):
    made(family).to(getattr(torch, stored)).save_pretrained(tmp_path)

    model = hubloader.AutoModelForSequenceClassification.from_pretrained(tmp_path, **options)

    reference = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, **options)
    assert model.dtype == reference.dtype == dtype
    assert {p.dtype for p in model.parameters()} == {dtype}


def test_what_is_missing_and_unexpected_is_what_transformers_says(tmp_path, family):
    made(family, "AutoModelForMaskedLM").save_pretrained(tmp_path)
    _, expected = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )

    with pytest.warns(UserWarning, match="made new"):
        _, info = hubloader.AutoModelForSequenceClassification.from_pretrained(
            tmp_path, output_loading_info=True
        )

    assert info["missing_keys"] <= expected["missing_keys"]
    new = {name for name in expected["missing_keys"] if "pooler" not in name}
    assert info["missing_keys"] >= new
