"""Every architecture here, from a checkpoint of transformers' through the Auto classes and back."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from family_sizes import has, sized

import hubloader
from hubloader.architectures import MASKED_LM, find, supported

pytestmark = [pytest.mark.oracle, pytest.mark.torch]

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# each text ends with 2, by which encoder-decoders classify
IDS = np.array([[5, 6, 7, 8, 2], [9, 10, 2, 0, 0], [12, 13, 14, 2, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
SMALL = {
    "vocab_size": 40,
    "max_position_embeddings": 24,
    "num_labels": 3,
    "hidden_size": 16,
    "dim": 16,
    "num_hidden_layers": 2,
    "n_layers": 2,
    "num_attention_heads": 2,
    "n_heads": 2,
    "intermediate_size": 24,
    "hidden_dim": 24,
    "embedding_size": 8,
    "input_embedding_size": 8,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
}
FACADES = {
    "torch": "AutoModelForSequenceClassification",
    "numpy": "NpAutoModelForSequenceClassification",
    "tf": "TFAutoModelForSequenceClassification",
}


def made(family, cls="AutoModelForSequenceClassification"):
    torch.manual_seed(0)
    plain = transformers.AutoConfig.for_model(family)
    known = {key: value for key, value in SMALL.items() if has(plain, key)}
    known |= sized(family, SMALL["hidden_size"])
    config = transformers.AutoConfig.for_model(family, **known)
    return getattr(transformers, cls).from_config(config, attn_implementation="eager").eval()


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor(IDS), attention_mask=torch.tensor(MASK)).logits.numpy()


@pytest.fixture(params=supported())
def family(request):
    return request.param


@pytest.fixture(params=["torch", "numpy", pytest.param("tf", marks=pytest.mark.tensorflow)])
def backend(request):
    if request.param == "tf" and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("tensorflow is not installed")
    return request.param


def ours(backend, folder):
    model = getattr(hubloader, FACADES[backend]).from_pretrained(folder)
    if backend == "torch":
        return model, logits(model)
    batch = {"input_ids": IDS, "attention_mask": MASK}
    return model, np.asarray((model(batch) if backend == "tf" else model(**batch)).logits)


@pytest.mark.filterwarnings("error::UserWarning:hubloader")
def test_a_checkpoint_is_loaded_answers_alike_and_is_saved_for_transformers(
    family, backend, tmp_path
):
    reference = made(family)
    reference.save_pretrained(tmp_path / "theirs")

    model, found = ours(backend, tmp_path / "theirs")
    model.save_pretrained(tmp_path / "ours")

    assert np.abs(found - logits(reference)).max() < 1e-5
    back, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "ours", attn_implementation="eager", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(back) is type(reference)
    assert np.abs(logits(back.eval()) - logits(reference)).max() < 1e-6
    name = type(model).__name__.removeprefix({"torch": "", "numpy": "Np", "tf": "TF"}[backend])
    assert name == type(reference).__name__


def test_embeddings_and_positions_mean_what_they_do_in_transformers(family, tmp_path):
    reference = made(family)
    reference.save_pretrained(tmp_path)
    model = hubloader.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    ids, mask = torch.tensor(IDS), torch.tensor(MASK)
    with torch.no_grad():
        words = reference.get_input_embeddings()(ids)
    batch = {"input_ids": ids, "attention_mask": mask}
    given = {"inputs_embeds": words, "attention_mask": mask}
    if "inputs_embeds" not in model.architecture.takes_besides:
        if "inputs_embeds" not in model.accepts:
            with pytest.raises(TypeError, match="does not take 'inputs_embeds'"):
                model(**given)
        return

    with torch.no_grad():
        assert (model(**given).logits - reference(**given).logits).abs().max() < 1e-5
        assert (model(**batch).logits - reference(**batch).logits).abs().max() < 1e-5
    with pytest.raises(ValueError, match="not both"):
        model(**batch, inputs_embeds=words)
    if "position_ids" not in model.architecture.takes_besides:
        return
    batch["position_ids"] = torch.arange(5).flip(0)[None] + 2
    with torch.no_grad():
        found, expected = model(**batch).logits, reference(**batch).logits
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.filterwarnings("ignore:.*made new")  # a pooler, which such a checkpoint lacks
def test_a_masked_language_models_checkpoint_gives_the_encoder(family, tmp_path):
    names = transformers.models.auto.modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if family not in names:
        pytest.skip(f"transformers has no masked language model of {family}")
    made(family, "AutoModelForMaskedLM").save_pretrained(tmp_path)
    reference = transformers.AutoModel.from_pretrained(tmp_path, attn_implementation="eager")

    model = hubloader.AutoModel.from_pretrained(tmp_path)

    inputs = {"input_ids": torch.tensor(IDS), "attention_mask": torch.tensor(MASK)}
    with torch.no_grad():
        found = model(**inputs).last_hidden_state
        expected = reference.eval()(**inputs).last_hidden_state
    size = max(1.0, float(expected.abs().max()))  # MobileBERT, without norms, reaches hundreds
    assert (found - expected).abs().max() < 1e-5 * size


def test_what_scores_words_scores_as_many_as_the_table_is_given(family, tmp_path):
    if MASKED_LM not in find(family).tasks:
        pytest.skip(f"{family} has no model of masked words")
    reference = made(family, "AutoModelForMaskedLM")
    reference.save_pretrained(tmp_path)
    model = hubloader.AutoModelForMaskedLM.from_pretrained(tmp_path)
    expected = logits(reference)

    model.resize_token_embeddings(45)
    assert logits(model).shape == (*expected.shape[:2], 45)
    assert np.abs(logits(model)[..., :40] - expected).max() < 1e-4
    model.resize_token_embeddings(30)
    assert np.abs(logits(model) - expected[..., :30]).max() < 1e-4
    model.save_pretrained(tmp_path)
    again = hubloader.NpAutoModelForMaskedLM.from_pretrained(tmp_path)
    assert again(IDS, MASK).logits.shape == (*expected.shape[:2], 30)


def test_an_encoders_checkpoint_gets_a_new_head(family, tmp_path):
    made(family, "AutoModel").save_pretrained(tmp_path)

    with pytest.warns(UserWarning, match="made new"):
        model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(
            tmp_path, num_labels=5
        )

    assert model(IDS, MASK).logits.shape == (3, 5)
