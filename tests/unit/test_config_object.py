from __future__ import annotations

import copy
import json
import pickle

import pytest

from hubloader.auto.config import AutoConfig, read_config
from hubloader.errors import CorruptFile, EntryNotFound, UnknownArchitecture, UnsafeFile
from hubloader.resolve.files import DirectoryFiles

RAW = {
    "model_type": "distilbert",
    "dim": 48,
    "n_heads": 4,
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
    "torch_dtype": "float16",
    "sinusoidal_pos_embds": False,
    "auto_map": {"AutoModel": "x.Y"},
    "_attn_implementation_internal": "evil/repo",
    "model_max_length": 10**30,
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(RAW))
    return tmp_path


@pytest.fixture
def config(folder):
    return AutoConfig.from_pretrained(folder)


def test_attributes_have_config_jsons_names_and_the_familys_aliases(config):
    assert type(config).__name__ == "DistilBertConfig"
    assert config.dim == config.hidden_size == 48
    assert config.n_layers == 6
    assert config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
    assert config.num_labels == 2
    assert config.dtype == config.torch_dtype == "float16"
    assert config.sinusoidal_pos_embds is False
    assert config.model_max_length == 10**30
    assert config.output_attentions is False


def test_a_misspelt_attribute_names_the_nearest(config):
    with pytest.raises(AttributeError, match="'n_layers'"):
        _ = config.n_layer


def test_what_names_code_is_not_kept(config):
    kept = config.to_dict()

    assert not {"auto_map", "_attn_implementation_internal"} & kept.keys()


def test_setting_num_labels_makes_new_labels_and_the_same_number_keeps_them(config):
    config.num_labels = 2
    assert config.id2label[1] == "POSITIVE"

    config.num_labels = 3
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert config.label2id["LABEL_2"] == 2


def test_setting_id2label_sets_label2id_and_num_labels(config):
    config.id2label = {0: "a", 1: "b", 2: "c"}

    assert config.num_labels == 3
    assert config.label2id == {"a": 0, "b": 1, "c": 2}


def test_a_value_that_cannot_be_is_refused_where_it_is_set(config):
    with pytest.raises(CorruptFile, match="dim"):
        config.dim = "wide"

    assert config.dim == 48


def test_overrides_are_taken_and_unknown_keywords_refused_with_the_nearest(folder):
    assert AutoConfig.from_pretrained(folder, num_labels=5, hidden_size=96).dim == 96
    with pytest.raises(TypeError, match="did you mean 'num_labels'"):
        AutoConfig.from_pretrained(folder, num_label=5)


def test_unused_keywords_come_back_when_asked_for(folder):
    config, unused = AutoConfig.from_pretrained(
        folder, num_labels=3, foo=1, return_unused_kwargs=True
    )

    assert config.num_labels == 3
    assert unused == {"foo": 1}


def test_what_is_saved_is_loaded_again(config, tmp_path):
    config.problem_type = "multi_label_classification"

    config.save_pretrained(tmp_path / "new")

    again = AutoConfig.from_pretrained(tmp_path / "new")
    assert again == config
    saved = json.loads((tmp_path / "new" / "config.json").read_text())
    assert saved["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert saved["model_type"] == "distilbert"
    assert str(tmp_path) not in json.dumps(saved)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_config_can_be_copied_and_pickled(config, twin):
    assert twin(config) == config
    assert type(twin(config)) is type(config)


def test_a_config_is_made_by_its_class_name_too():
    import hubloader

    config = hubloader.BertConfig(hidden_size=24, num_attention_heads=2)

    assert config.hidden_size == 24
    assert config.vocab_size == 30522
    assert AutoConfig.for_model("bert", hidden_size=24, num_attention_heads=2) == config


def test_the_problem_that_labels_were_taken_for_is_in_the_config(config):
    config.infer_problem_type("regression")

    assert config.problem_type == config.to_dict()["problem_type"] == "regression"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"null", "not a JSON object but NoneType"),
        (b"[]", "list"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"\xff\xfe{\x00}\x00", "JSON"),
        (b'{"\xe9": 1}', "JSON"),
        (b'{"a":' * 100_000, "JSON"),
    ],
)
def test_a_malformed_file_is_corrupt_and_named(tmp_path, text, says):
    (tmp_path / "config.json").write_bytes(text)

    with pytest.raises(CorruptFile, match=says) as caught:
        read_config(DirectoryFiles(tmp_path))

    assert caught.value.filename == "config.json"


def test_a_byte_order_mark_and_repeated_equal_keys_are_forgiven(tmp_path):
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"a": 1, "a": 1, "b": NaN}')

    assert read_config(DirectoryFiles(tmp_path))["a"] == 1


def test_a_file_larger_than_any_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_bytes(b" " * 1_000_001)

    with pytest.raises(UnsafeFile, match="larger"):
        read_config(DirectoryFiles(tmp_path))


def test_no_config_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(EntryNotFound) as caught:
        AutoConfig.from_pretrained(tmp_path)

    assert caught.value.filename == "config.json"


def test_an_unknown_architecture_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "foobar"}')

    with pytest.raises(UnknownArchitecture, match="foobar"):
        AutoConfig.from_pretrained(tmp_path)
