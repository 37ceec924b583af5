from __future__ import annotations

import pytest

from hubloader.auto.names import Rules, Source, map_names

BERT = Rules(
    "bert",
    renames=((r"^bert\.old\.", "bert.new."),),
    tied={"bert.head.weight": "bert.embeddings.word.weight"},
    ignored_missing=(r"pooler\.",),
    ignored_unexpected=(r"^cls\.",),
)
CLASSIFIER = (
    "bert.embeddings.word.weight",
    "bert.layer.0.LayerNorm.weight",
    "bert.layer.0.LayerNorm.bias",
    "bert.layer.0.query.weight",
    "bert.pooler.dense.weight",
    "classifier.weight",
)
ENCODER = tuple(n.removeprefix("bert.") for n in CLASSIFIER if n.startswith("bert."))


def sources(names, parameters=CLASSIFIER, naming="pt", rank=2):
    return map_names(dict.fromkeys(names, rank), parameters, BERT, naming)


def test_equal_names_are_taken_as_they_are_and_in_the_models_order():
    found = sources(reversed(CLASSIFIER))

    assert list(found.sources) == list(CLASSIFIER)
    assert found.missing == found.unexpected == found.renamed == ()


def test_a_bare_encoders_checkpoint_fits_a_classifier():
    found = sources(ENCODER)

    assert found.sources["bert.layer.0.query.weight"] == Source("layer.0.query.weight")
    assert found.missing == ("classifier.weight",)
    assert ("layer.0.query.weight", "bert.layer.0.query.weight") in found.renamed


def test_a_classifiers_checkpoint_fits_a_bare_encoder():
    found = sources(CLASSIFIER, ENCODER)

    assert found.sources["layer.0.query.weight"] == Source("bert.layer.0.query.weight")
    assert found.unexpected == ("classifier.weight",)


def test_gamma_and_beta_are_weight_and_bias():
    found = sources(("bert.layer.0.LayerNorm.gamma", "bert.layer.0.LayerNorm.beta"))

    assert found.sources["bert.layer.0.LayerNorm.weight"].name == "bert.layer.0.LayerNorm.gamma"
    assert found.sources["bert.layer.0.LayerNorm.bias"].name == "bert.layer.0.LayerNorm.beta"


def test_a_data_parallel_wrapper_is_taken_off():
    found = sources([f"module.{name}" for name in CLASSIFIER])

    assert found.missing == found.unexpected == ()
    assert found.sources["classifier.weight"].name == "module.classifier.weight"


def test_one_name_that_begins_with_module_is_not_a_wrapper():
    found = sources((*CLASSIFIER[:-1], "module.classifier.weight"))

    assert found.unexpected == ("module.classifier.weight",)


def test_a_right_name_wins_over_one_that_a_rule_could_make_right():
    found = sources(("classifier.weight", "bert.classifier.weight"), ("classifier.weight",))

    assert found.sources["classifier.weight"].name == "classifier.weight"
    assert found.unexpected == ("bert.classifier.weight",)


def test_a_familys_own_renames_apply():
    found = sources(("bert.old.weight",), ("bert.new.weight",))

    assert found.sources["bert.new.weight"].name == "bert.old.weight"


def test_joined_arrays_are_taken_apart_in_equal_parts():
    rules = Rules("bert", splits=((r"\.qkv\.", (".query.", ".key.", ".value.")),))
    wanted = [f"bert.layer.0.{name}.weight" for name in ("query", "key", "value")]

    found = map_names({"layer.0.qkv.weight": 2}, wanted, rules, "pt")

    assert found.sources == {
        name: Source("layer.0.qkv.weight", part=(i, 3)) for i, name in enumerate(wanted)
    }
    assert found.missing == found.unexpected == ()


def test_a_joined_array_with_a_part_that_has_no_place_is_unexpected():
    rules = Rules("bert", splits=((r"\.qkv\.", (".query.", ".key.")),))

    found = map_names({"layer.0.qkv.weight": 2}, ["bert.layer.0.query.weight"], rules, "pt")

    assert found.unexpected == ("layer.0.qkv.weight",)
    assert found.missing == ("bert.layer.0.query.weight",)


def test_a_tied_parameter_comes_from_its_owner():
    found = sources(CLASSIFIER, (*CLASSIFIER, "bert.head.weight"))

    assert found.sources["bert.head.weight"].name == "bert.embeddings.word.weight"


def test_what_an_architecture_ignores_is_neither_missing_nor_unexpected():
    names = [n for n in CLASSIFIER if "pooler" not in n]

    found = sources([*names, "cls.predictions.bias", "bert.embeddings.position_ids"])

    assert found.missing == found.unexpected == ()


@pytest.mark.parametrize(
    ("stored", "parameter", "axes"),
    [
        ("classifier/tf_bert_for_x/classifier/kernel:0", "classifier.weight", (1, 0)),
        ("bert/tf_bert/bert/layer_._0/query/kernel:0", "bert.layer.0.query.weight", (1, 0)),
        ("bert/tf_bert/bert/embeddings/word/embeddings:0", "bert.embeddings.word.weight", None),
        ("bert/tf_bert/bert/embeddings/word/weight:0", "bert.embeddings.word.weight", None),
        ("bert/x/bert/layer_._0/LayerNorm/gamma:0", "bert.layer.0.LayerNorm.weight", None),
        ("bert/x/bert/layer_._0/LayerNorm/beta:0", "bert.layer.0.LayerNorm.bias", None),
        ("bert/layer_._0/query/kernel:0", "bert.layer.0.query.weight", (1, 0)),
        ("layer_._0/query/kernel:0", "bert.layer.0.query.weight", (1, 0)),
        ("bert//layer_._0//query/kernel:0", "bert.layer.0.query.weight", (1, 0)),
        ("bert/scope___layer_._0/query/kernel:0", "bert.layer.0.query.weight", (1, 0)),
    ],
)
def test_keras_names_are_translated_and_kernels_turned(stored, parameter, axes):
    found = sources((stored,), naming="tf")

    assert found.sources == {parameter: Source(stored, axes)}


@pytest.mark.parametrize(
    ("stored", "parameter", "axes"),
    [
        ("bert/layer/0/query/kernel", "bert.layer.0.query.weight", (1, 0)),
        ("bert/layer/0/LayerNorm/scale", "bert.layer.0.LayerNorm.weight", None),
        ("bert/embeddings/word/embedding", "bert.embeddings.word.weight", None),
        ("params/classifier/kernel", "classifier.weight", (1, 0)),
    ],
)
def test_flax_names_are_translated_and_kernels_turned(stored, parameter, axes):
    found = sources((stored,), naming="flax")

    assert found.sources == {parameter: Source(stored, axes)}


def test_a_convolutions_kernel_is_turned_in_all_its_axes():
    found = sources(("classifier/kernel:0",), naming="tf", rank=3)

    assert found.sources["classifier.weight"].axes == (2, 1, 0)
    assert found.sources["classifier.weight"].shape((9, 8, 7)) == (7, 8, 9)
