"""Models from a local folder, on whatever frameworks are installed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import hubloader
from hubloader.errors import (
    CorruptFile,
    EntryNotFound,
    RemoteCodeRefused,
    UnknownArchitecture,
    UnsupportedTask,
    WeightsMismatch,
)
from hubloader.formats import save_safetensors

BACKENDS = [
    pytest.param("numpy", id="numpy"),
    pytest.param("torch", id="torch", marks=pytest.mark.torch),
    pytest.param("tf", id="tf", marks=pytest.mark.tensorflow),
]
MODULES = {"numpy": "numpy", "torch": "torch", "tf": "tensorflow"}
PREFIXES = {"numpy": "Np", "torch": "", "tf": "TF"}
IDS = [[5, 6, 7, 8], [9, 10, 0, 0]]
MASK = [[1, 1, 1, 1], [1, 1, 0, 0]]
SMALL = {
    "bert": {
        "vocab_size": 20,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 12,
    },
    "distilbert": {
        "vocab_size": 20,
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 24,
        "max_position_embeddings": 12,
    },
}


class Backend:
    """One framework, as the tests need it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.classifier = getattr(hubloader, f"{PREFIXES[name]}AutoModelForSequenceClassification")
        self.encoder = getattr(hubloader, f"{PREFIXES[name]}AutoModel")

    def tensor(self, values):
        if self.name == "torch":
            import torch

            return torch.tensor(values)
        if self.name == "tf":
            import tensorflow as tf

            return tf.constant(values)
        return np.array(values)

    def batch(self):
        return {"input_ids": self.tensor(IDS), "attention_mask": self.tensor(MASK)}

    @staticmethod
    def array(tensor):
        return np.asarray(tensor.detach() if hasattr(tensor, "detach") else tensor)


@pytest.fixture(params=BACKENDS)
def backend(request):
    if importlib.util.find_spec(MODULES[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    return Backend(request.param)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder for each family, with a classifier of three labels made on numpy."""
    root = tmp_path_factory.mktemp("models")
    np.random.seed(0)  # noqa: NPY002  the generator that makes new weights
    for model_type, sizes in SMALL.items():
        config = hubloader.AutoConfig.for_model(
            model_type, **sizes, id2label={0: "bad", 1: "good", 2: "odd"}, initializer_range=0.3
        )
        model = hubloader.NpAutoModelForSequenceClassification.from_config(config)
        model.save_pretrained(root / model_type)
    return root


@pytest.fixture(params=sorted(SMALL))
def folder(request, made):
    return made / request.param


def test_logits_are_read_by_attribute_key_and_index(backend, folder):
    model = backend.classifier.from_pretrained(folder)

    out = model(**backend.batch())

    assert tuple(out.logits.shape) == (2, 3)
    assert out["logits"] is out[0] is out.logits
    assert out.loss is None


def test_all_backends_give_the_same_logits(backend, folder):
    reference = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)

    logits = backend.classifier.from_pretrained(folder)(**backend.batch()).logits

    wanted = reference(IDS, MASK).logits
    assert np.abs(backend.array(logits) - wanted).max() < 1e-5


def test_a_model_is_of_transformers_class_and_in_eval_mode(backend, folder):
    model = backend.classifier.from_pretrained(folder)

    family = {"bert": "Bert", "distilbert": "DistilBert"}[folder.name]
    name = f"{PREFIXES[backend.name]}{family}ForSequenceClassification"
    assert type(model).__name__ == name
    assert type(model) is getattr(hubloader, name)
    assert type(model.config).__name__ == f"{family}Config"
    assert not getattr(model, "training", False)


def test_labels_give_the_loss(backend, folder):
    model = backend.classifier.from_pretrained(folder)
    logits = backend.array(model(**backend.batch()).logits)

    out = model(**backend.batch(), labels=backend.tensor([1, 0]))

    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(shares[[0, 1], [1, 0]]).mean()
    assert float(backend.array(out.loss)) == pytest.approx(expected, abs=1e-5)
    assert out[0] is out.loss
    assert model.config.problem_type == "single_label_classification"


def test_float_labels_are_several_yes_or_no_questions(backend, folder):
    model = backend.classifier.from_pretrained(folder)
    logits = backend.array(model(**backend.batch()).logits)
    labels = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], np.float32)

    loss = model(**backend.batch(), labels=backend.tensor(labels.tolist())).loss

    chance = 1 / (1 + np.exp(-logits))
    expected = -(labels * np.log(chance) + (1 - labels) * np.log(1 - chance)).mean()
    assert float(backend.array(loss)) == pytest.approx(expected, abs=1e-5)


def test_one_label_is_regression(backend, folder):
    with pytest.warns(UserWarning, match="made new"):
        model = backend.classifier.from_pretrained(
            folder, num_labels=1, ignore_mismatched_sizes=True
        )
    logits = backend.array(model(**backend.batch()).logits)

    loss = model(**backend.batch(), labels=backend.tensor([0.5, 2.0])).loss

    expected = ((logits[:, 0] - [0.5, 2.0]) ** 2).mean()
    assert float(backend.array(loss)) == pytest.approx(expected, abs=1e-5)


def test_hidden_states_and_attentions_come_on_request(backend, folder):
    model = backend.classifier.from_pretrained(folder)

    out = model(**backend.batch(), output_hidden_states=True, output_attentions=True)

    assert [tuple(h.shape) for h in out.hidden_states] == [(2, 4, 16)] * 3
    assert [tuple(a.shape) for a in out.attentions] == [(2, 2, 4, 4)] * 2
    assert np.allclose(backend.array(out.attentions[0]).sum(-1), 1, atol=1e-5)
    assert model(**backend.batch()).hidden_states is None


def test_the_config_can_ask_for_hidden_states(backend, folder):
    model = backend.classifier.from_pretrained(folder, output_hidden_states=True)

    assert len(model(**backend.batch()).hidden_states) == 3
    assert model(**backend.batch(), output_hidden_states=False).hidden_states is None


def test_a_tuple_comes_when_no_dictionary_is_wanted(backend, folder):
    model = backend.classifier.from_pretrained(folder)

    out = model(**backend.batch(), return_dict=False)

    assert type(out) is tuple
    assert len(out) == 1


def test_an_argument_that_the_model_does_not_take_is_an_error_with_the_nearest(backend, folder):
    model = backend.classifier.from_pretrained(folder)

    with pytest.raises(TypeError, match="did you mean 'attention_mask'"):
        model(input_ids=backend.tensor(IDS), attention_msk=backend.tensor(MASK))


def test_what_is_saved_is_loaded_again_with_pytorchs_names(backend, folder, tmp_path):
    model = backend.classifier.from_pretrained(folder)

    model.save_pretrained(tmp_path)

    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.json", "model.safetensors"}
    raw = (tmp_path / "model.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert header["__metadata__"] == {"format": "pt"}
    assert "classifier.weight" in header
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["architectures"] == [type(model).__name__.removeprefix(PREFIXES[backend.name])]
    assert saved["dtype"] == "float32"
    again = backend.classifier.from_pretrained(tmp_path)(**backend.batch()).logits
    assert np.array_equal(backend.array(again), backend.array(model(**backend.batch()).logits))


def test_another_number_of_labels_does_not_fit_and_every_shape_is_named(backend, folder):
    with pytest.raises(WeightsMismatch, match=r"classifier\.weight") as caught:
        backend.classifier.from_pretrained(folder, num_labels=5)

    assert {name for name, _, _ in caught.value.report.mismatched} == {
        "classifier.weight",
        "classifier.bias",
    }
    assert isinstance(caught.value, RuntimeError)


def test_a_head_that_does_not_fit_is_made_new_when_that_is_allowed(backend, folder):
    with pytest.warns(UserWarning, match=r"in another shape: classifier\.weight is \(3, 16\)"):
        model, info = backend.classifier.from_pretrained(
            folder, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
        )

    assert model(**backend.batch()).logits.shape[1] == 5
    assert {name for name, _, _ in info["mismatched_keys"]} == {
        "classifier.weight",
        "classifier.bias",
    }
    assert info["missing_keys"] == set()


def test_an_encoders_checkpoint_gets_a_new_head_and_one_warning(backend, folder, tmp_path):
    hubloader.NpAutoModel.from_pretrained(folder).save_pretrained(tmp_path)

    with pytest.warns(UserWarning, match="made new") as caught:
        model = backend.classifier.from_pretrained(tmp_path, num_labels=4)

    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert model(**backend.batch()).logits.shape[1] == 4


def test_the_bare_encoder_gives_hidden_states(backend, folder):
    reference = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)

    out = backend.encoder.from_pretrained(folder)(**backend.batch())

    last = reference(IDS, MASK, output_hidden_states=True).hidden_states[-1]
    assert np.abs(backend.array(out.last_hidden_state) - last).max() < 1e-5
    assert (out.get("pooler_output") is not None) == (folder.name == "bert")


def test_dtype_is_the_checkpoints_unless_told(backend, folder, tmp_path):
    weights = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)
    half = {n: a.astype(np.float16) for n, a in weights.nn.export(weights).items()}
    save_safetensors(half, tmp_path / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config.pop("dtype")
    (tmp_path / "config.json").write_text(json.dumps(config))

    auto = backend.classifier.from_pretrained(tmp_path)
    full = backend.classifier.from_pretrained(tmp_path, dtype="float32")

    expected = "float32" if backend.name == "numpy" else "float16"
    assert expected in str(auto(**backend.batch()).logits.dtype)
    assert "float32" in str(full(**backend.batch()).logits.dtype)


def test_a_batch_encoding_is_taken_as_it_is(backend, folder):
    from hubloader.tokenizers.batch import BatchEncoding

    model = backend.classifier.from_pretrained(folder)
    batch = BatchEncoding(backend.batch())

    out = model(batch) if backend.name == "tf" else model(**batch)

    assert tuple(out.logits.shape) == (2, 3)


def test_warnings_are_silent_where_everything_fits(backend, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        backend.classifier.from_pretrained(folder)


# what does not depend on the framework


@pytest.fixture
def numpy_model():
    return hubloader.NpAutoModelForSequenceClassification


@pytest.fixture
def broken(made, tmp_path):
    """A folder of the BERT model to be broken."""
    for path in (made / "bert").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_an_unknown_keyword_is_an_error_with_the_nearest(numpy_model, made):
    with pytest.raises(TypeError, match="did you mean 'revision'"):
        numpy_model.from_pretrained(made / "bert", revisoin="main")
    with pytest.raises(TypeError, match="did you mean 'num_labels'"):
        numpy_model.from_pretrained(made / "bert", num_label=3)


def test_a_body_without_its_weights_is_an_error(numpy_model, broken, made):
    other = hubloader.NpAutoModelForSequenceClassification.from_pretrained(made / "distilbert")
    other.nn.export(other)
    save_safetensors(other.nn.export(other), broken / "model.safetensors", {"format": "pt"})

    with pytest.raises(WeightsMismatch, match="the encoder lacks"):
        numpy_model.from_pretrained(broken)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"model_type": "foobar"}, UnknownArchitecture),
        ({"model_type": "foobar", "auto_map": {"AutoModel": "m.X"}}, RemoteCodeRefused),
        ({"num_hidden_layers": 10**6}, CorruptFile),
        ({"hidden_size": 10**9}, CorruptFile),
        ({"vocab_size": "abc"}, CorruptFile),
        ({"num_attention_heads": 0}, CorruptFile),
        ({"hidden_act": "os.system"}, CorruptFile),
        ({"dtype": "load"}, CorruptFile),
        ({"hidden_size": 32}, WeightsMismatch),
        ({"vocab_size": 2**27}, CorruptFile),
        ({"num_hidden_layers": 3}, WeightsMismatch),
        ({"id2label": {"x": "y"}}, CorruptFile),
    ],
)
def test_a_config_that_cannot_be_is_an_error_of_its_kind(numpy_model, broken, values, error):
    change(broken, **values)

    with pytest.raises(error) as caught:
        numpy_model.from_pretrained(broken)

    assert caught.value.repo_id == str(broken)


def test_nothing_large_is_made_for_a_config_that_claims_it(numpy_model, broken):
    change(broken, num_labels=2**20, id2label=None, label2id=None, hidden_size=16)

    with pytest.raises(WeightsMismatch):
        numpy_model.from_pretrained(broken)


def test_no_weights_is_an_error_that_names_them(numpy_model, broken):
    (broken / "model.safetensors").unlink()

    with pytest.raises(EntryNotFound, match=r"model\.safetensors"):
        numpy_model.from_pretrained(broken)


def test_a_class_refuses_another_architectures_checkpoint(made):
    with pytest.raises(UnsupportedTask, match="distilbert model, not bert"):
        hubloader.NpBertForSequenceClassification.from_pretrained(made / "distilbert")


def test_an_auto_class_is_not_made(numpy_model):
    with pytest.raises(TypeError, match="from_pretrained"):
        numpy_model()


def test_remote_code_cannot_be_asked_for(numpy_model, made):
    with pytest.raises(RemoteCodeRefused):
        numpy_model.from_pretrained(made / "bert", trust_remote_code=True)


def test_saving_a_pickle_is_refused(numpy_model, made, tmp_path):
    model = numpy_model.from_pretrained(made / "bert")

    with pytest.raises(ValueError, match="safetensors only"):
        model.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(TypeError, match="push"):
        model.save_pretrained(tmp_path, push=True)


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ({"input_ids": [5, 6, 7]}, "one text is a batch of one"),
        ({"input_ids": [[5, 6], [7]]}, "padding=True"),
        ({"input_ids": [[[5]]]}, "in rows of one length"),
        ({"input_ids": [[0.5, 1.0]]}, "whole numbers"),
        ({"input_ids": [[], []]}, "holds no token"),
        ({"input_ids": IDS, "attention_mask": [[1, 1, 1]]}, "does not fit input_ids"),
        ({"input_ids": IDS, "attention_mask": [1, 1, 1, 1]}, "does not fit input_ids"),
    ],
    ids=str,
)
def test_a_batch_that_is_none_is_told_what_is_wrong_with_it(numpy_model, made, batch, says):
    model = numpy_model.from_pretrained(made / "distilbert")

    with pytest.raises(ValueError, match=says):
        model(**batch)


def test_numpy_weights_lie_in_the_mapped_file(numpy_model, made):
    model = numpy_model.from_pretrained(made / "bert")

    weight = model.bert.encoder.layer
    query = next(iter(weight)).attention.self.query.weight
    assert not query.flags.owndata


def test_a_numpy_load_imports_no_framework_and_no_network_library(made):
    code = (
        "import sys, hubloader; from hubloader import NpAutoModelForSequenceClassification as N; "
        f"N.from_pretrained({str(made / 'bert')!r})([[1, 2]]); "
        "print([n for n in ('torch', 'tensorflow', 'keras', 'requests', 'transformers', 'h5py')"
        " if n in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
