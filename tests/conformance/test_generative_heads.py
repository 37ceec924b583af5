"""The other heads of decoders and encoder-decoders as users hold them: loading, losses, outputs.

What they compute is in ``test_heads.py``.
"""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest
import test_families_through_auto as suite
from generative_variants import RELATIVES, REPRESENTATIVES

import hubloader
from hubloader.architectures import MASKED_LM, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, find

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

SUFFIXES = {
    TOKEN_CLASSIFICATION: "ForTokenClassification",
    QUESTION_ANSWERING: "ForQuestionAnswering",
    MASKED_LM: "ForMaskedLM",
}
HEADS = [
    pytest.param(family, task, id=f"{family}-{task}")
    for family in sorted(REPRESENTATIVES | RELATIVES)
    for task in SUFFIXES
    if task in find(family).tasks
]
ONE_OF_EACH = [
    ("gpt2", TOKEN_CLASSIFICATION),
    ("llama", QUESTION_ANSWERING),
    ("t5", TOKEN_CLASSIFICATION),
    ("t5", QUESTION_ANSWERING),
    ("bart", MASKED_LM),
    ("mbart", MASKED_LM),
]
PREFIXES = {"torch": "", "numpy": "Np", "tf": "TF"}
BACKENDS = ["torch", "numpy", pytest.param("tf", marks=pytest.mark.tensorflow)]
IDS, MASK = suite.IDS, suite.MASK
TARGETS = {
    TOKEN_CLASSIFICATION: {"labels": np.where(MASK == 1, IDS % 3, -100)},
    QUESTION_ANSWERING: {"start_positions": np.array([1, 0, 9]), "end_positions": [3, 1, 2]},
    MASKED_LM: {"labels": np.where((IDS % 2 == 1) & (MASK == 1), IDS + 1, -100)},
}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Transformers' model of a family with a head, and the folder that it was saved into."""

    def make(family, task, cls=None, **options):
        labels = 2 if task == QUESTION_ANSWERING else 3
        monkeypatch.setattr(suite, "SMALL", {**suite.SMALL, "num_labels": labels, **options})
        model = suite.made(family, cls or f"AutoModel{SUFFIXES[task]}")
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
        folder = tmp_path / f"{cls}{task}"
        model.save_pretrained(folder)
        return model, folder

    return make


def facade(task, backend="torch"):
    return getattr(hubloader, f"{PREFIXES[backend]}AutoModel{SUFFIXES[task]}")


def given(task, backend="torch"):
    inputs = {"input_ids": IDS, "attention_mask": MASK, **TARGETS[task]}
    if backend == "torch":
        return {name: torch.tensor(value) for name, value in inputs.items()}
    return inputs


def same(ours, theirs):
    assert list(ours) == list(theirs)
    for name in theirs:
        several = isinstance(theirs[name], tuple)
        pairs = (ours[name], theirs[name]) if several else ([ours[name]], [theirs[name]])
        for mine, other in zip(*pairs, strict=True):
            np.testing.assert_allclose(np.asarray(mine), other.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "task", "backend"),
    [
        *(pytest.param(*case.values, "numpy", id=f"{case.id}-numpy") for case in HEADS),
        *((*case, "torch") for case in ONE_OF_EACH),
        *(pytest.param(*case, "tf", marks=pytest.mark.tensorflow) for case in ONE_OF_EACH),
    ],
)
@pytest.mark.filterwarnings("error::UserWarning:hubloader")
def test_a_head_is_loaded_answers_with_its_loss_and_is_saved_for_transformers(
    made, family, task, backend, tmp_path
):
    theirs, folder = made(family, task)
    with torch.no_grad():
        expected = theirs(**given(task), use_cache=False)
        model = facade(task, backend).from_pretrained(folder)
        found = model(**given(task, backend))
    same(found, expected)
    assert type(model).__name__ == f"{PREFIXES[backend]}{type(theirs).__name__}"
    assert model.config.num_labels == 3 or task != TOKEN_CLASSIFICATION
    model.save_pretrained(tmp_path / "ours")
    written = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert written["architectures"] == [type(theirs).__name__]
    back, info = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    with torch.no_grad():
        same(back(**given(task), use_cache=False), expected)


@pytest.mark.parametrize(("family", "task"), HEADS)
def test_a_bare_models_checkpoint_gets_a_new_head(made, family, task):
    _, folder = made(family, task, "AutoModel")
    if task == MASKED_LM:  # its words are the table's, and its biases nothing
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            facade(task, "numpy").from_pretrained(folder)
        return
    with pytest.warns(UserWarning, match="does not hold (score|classifier|qa_outputs).*made new"):
        model = facade(task, "numpy").from_pretrained(folder)
    body = [name for name in model.nn.parameters(model) if not name.startswith(HEAD_NAMES)]
    _, info = hubloader.NpAutoModel.from_pretrained(folder, output_loading_info=True)
    assert len(body) == len(info["report"].loaded) or task == TOKEN_CLASSIFICATION  # T5's encoder
    assert model(IDS, MASK)


@pytest.mark.parametrize("cls", ["AutoModelForSeq2SeqLM", "AutoModelForSequenceClassification"])
@pytest.mark.filterwarnings("ignore:.*made new")
def test_a_classifier_of_tokens_does_without_t5s_decoder_and_says_nothing(made, cls):
    _, folder = made("t5", TOKEN_CLASSIFICATION, cls)
    _, theirs = transformers.T5ForTokenClassification.from_pretrained(
        folder, output_loading_info=True
    )
    _, ours = hubloader.NpT5ForTokenClassification.from_pretrained(folder, output_loading_info=True)
    assert ours["unexpected_keys"] == set(theirs["unexpected_keys"])
    assert ours["missing_keys"] == set(theirs["missing_keys"])


HEAD_NAMES = ("score.", "classifier.", "qa_outputs.")


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "smollm3"])
@pytest.mark.filterwarnings("ignore:.*(made new|does not use)")
def test_a_body_is_found_where_another_heads_checkpoint_has_it(made, family):
    _, answers = made(family, QUESTION_ANSWERING)
    _, words = made(family, QUESTION_ANSWERING, "AutoModelForCausalLM")
    batch = {"input_ids": IDS, "attention_mask": MASK}
    for folder in (answers, words):
        hidden = hubloader.NpAutoModel.from_pretrained(folder)(**batch).last_hidden_state
        for task in (TOKEN_CLASSIFICATION, QUESTION_ANSWERING):
            model = facade(task, "numpy").from_pretrained(folder)
            body = getattr(model, model.base_model_prefix)
            assert model.base_model_prefix == (
                "transformer" if task == QUESTION_ANSWERING else "model"
            )
            np.testing.assert_array_equal(body(**batch), hidden)


@pytest.mark.parametrize(("family", "task"), ONE_OF_EACH[:-1])
def test_a_head_gives_hidden_states_and_attentions_on_request(made, family, task):
    theirs, folder = made(family, task)
    ours = facade(task).from_pretrained(folder)
    asked = {"output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        found, expected = ours(**given(task), **asked), theirs(**given(task), **asked)
    assert type(found).__name__ == type(expected).__name__
    same(found, {name: value for name, value in expected.items() if name != "past_key_values"})


@pytest.mark.parametrize("backend", ["torch", pytest.param("tf", marks=pytest.mark.tensorflow)])
@pytest.mark.parametrize(("family", "task"), [ONE_OF_EACH[i] for i in (0, 1, 3, 4)])
def test_a_heads_gradients_are_those_of_transformers(made, family, task, backend):
    theirs, folder = made(family, task)
    theirs(**given(task)).loss.backward()
    expected = {n: p.grad.numpy() for n, p in theirs.named_parameters() if p.grad is not None}
    model = facade(task, backend).from_pretrained(folder)
    if backend == "torch":
        model(**given(task)).loss.backward()
        ours = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
    else:
        ours = keras_gradients(model, given(task, backend))
    assert ours.keys() == expected.keys()
    assert max(np.abs(ours[name] - expected[name]).max() for name in ours) <= 2e-5


def keras_gradients(model, inputs):
    import tensorflow as tf

    variables, seen = {}, set()
    for slot in model.module.slots():  # a table that both halves share goes by its first name
        variable = getattr(slot.owner, slot.attribute)
        if slot.trained and id(variable) not in seen:
            seen.add(id(variable))
            variables[slot.name] = variable
    with tf.GradientTape() as tape:
        loss = model(**inputs)["loss"]
    found = tape.gradient(loss, variables)
    return {
        name: tf.convert_to_tensor(value).numpy()
        for name, value in found.items()
        if value is not None
    }


@pytest.mark.parametrize(
    "family", [case.values[0] for case in HEADS if case.values[1] == TOKEN_CLASSIFICATION]
)
def test_a_token_classifiers_dropout_is_that_of_transformers(made, family):
    for options in ({}, {"hidden_dropout": 0.25}, {"classifier_dropout": 0.5}):
        theirs, folder = made(family, TOKEN_CLASSIFICATION, **options)
        ours = facade(TOKEN_CLASSIFICATION).from_pretrained(folder)
        assert ours.dropout.p == theirs.dropout.p


@pytest.mark.parametrize(
    ("family", "task"), [("gpt2", TOKEN_CLASSIFICATION), *ONE_OF_EACH[1:2], ("bart", MASKED_LM)]
)
def test_the_trainer_of_transformers_trains_and_evaluates_a_head(made, family, task, tmp_path):
    theirs, folder = made(family, task)
    rows = [{name: value[i] for name, value in given(task).items()} for i in range(len(IDS))]
    losses, predictions = [], []
    for model in (theirs, facade(task).from_pretrained(folder)):
        trainer = transformers.Trainer(
            model.eval(),
            transformers.TrainingArguments(
                str(tmp_path / "out"), max_steps=1, report_to=[], save_strategy="no", use_cpu=True
            ),
            train_dataset=rows,
        )
        losses.append(trainer.evaluate(rows)["eval_loss"])
        predictions.append(trainer.predict(rows).label_ids)
        assert trainer.train().training_loss > 0
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    np.testing.assert_array_equal(predictions[1], predictions[0])  # beginnings before ends


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_a_decoder_is_given_its_text_by_place(made, backend):
    theirs, folder = made("bart", MASKED_LM)
    ours = facade(MASKED_LM, backend).from_pretrained(folder)
    texts = [IDS, MASK, IDS[:, :3]]
    native = [torch.tensor(text) for text in texts]
    given = native if backend == "torch" else texts
    with torch.no_grad():
        found = ours(*given, None, None).logits  # what is None may be of any place
        np.testing.assert_allclose(found, theirs(*native, use_cache=False).logits, atol=1e-5)
    with pytest.raises(TypeError, match="takes 4 inputs by place"):
        ours(*given, *given)


# --- masked words of an encoder and a decoder ---------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", ["bart", "mbart"])
def test_the_decoder_reads_the_text_the_labels_or_what_it_is_given(made, family, backend):
    theirs, folder = made(family, MASKED_LM)
    ours = facade(MASKED_LM, backend).from_pretrained(folder)
    read = {"decoder_input_ids": np.array([[2, 7, 8, 9], [2, 5, 6, 0], [2, 9, 9, 9]])}
    text = {"input_ids": IDS, "attention_mask": MASK}
    labels = TARGETS[MASKED_LM]
    told = {"labels": np.where(read["decoder_input_ids"] > 6, 8, -100)}
    for inputs in (text, {**text, **labels}, {**text, **read}, {**text, **read, **told}):
        native = {name: torch.tensor(value) for name, value in inputs.items()}
        with torch.no_grad():
            expected = theirs(**native, use_cache=False)
            same(ours(**(native if backend == "torch" else inputs)), expected)


def test_biases_of_words_are_loaded_and_saved_and_left_as_they_are_by_training(made, tmp_path):
    from safetensors.numpy import load_file

    theirs, folder = made("bart", MASKED_LM)
    ours = hubloader.BartForConditionalGeneration.from_pretrained(folder)

    assert "final_logits_bias" not in dict(ours.named_parameters())
    assert ours.num_parameters() == theirs.num_parameters()
    mapped = hubloader.NpBartForConditionalGeneration.from_pretrained(folder)
    assert mapped.num_parameters() == theirs.num_parameters()
    but_tables = {"exclude_embeddings": True}
    assert ours.num_parameters(**but_tables) == theirs.num_parameters(**but_tables)
    optimizer = torch.optim.SGD(ours.parameters(), lr=1.0)
    ours(**given(MASKED_LM)).loss.backward()
    optimizer.step()
    ours.save_pretrained(tmp_path / "trained")
    stored = load_file(tmp_path / "trained" / "model.safetensors")
    assert np.array_equal(stored["final_logits_bias"], theirs.final_logits_bias.numpy())
    assert "lm_head.weight" not in stored
    assert not np.array_equal(stored["model.shared.weight"], theirs.model.shared.weight.detach())


@pytest.mark.tensorflow
def test_keras_leaves_biases_of_words_as_they_are(made):
    theirs, folder = made("bart", MASKED_LM)
    ours = hubloader.TFBartForConditionalGeneration.from_pretrained(folder)

    assert [w.name for w in ours.non_trainable_weights] == ["final_logits_bias"]
    assert ours.num_parameters() == theirs.num_parameters()
    assert ours.num_parameters(only_trainable=True) == theirs.num_parameters()


@pytest.mark.parametrize("family", ["bart", "mbart"])
def test_a_table_of_its_own_may_score_words(made, family):
    theirs, folder = made(family, MASKED_LM)
    config = theirs.config.to_dict() | {"tie_word_embeddings": False}
    torch.manual_seed(1)
    theirs = type(theirs)(type(theirs.config).from_dict(config)).eval()
    with torch.no_grad():  # the halves read one table here
        for half in (theirs.model.encoder, theirs.model.decoder):
            half.embed_tokens.weight.copy_(theirs.model.shared.weight)
    theirs.save_pretrained(folder)
    ours = facade(MASKED_LM).from_pretrained(folder)
    assert "lm_head.weight" in dict(ours.named_parameters())
    with torch.no_grad():
        same(ours(**given(MASKED_LM)), theirs(**given(MASKED_LM), use_cache=False))


@pytest.mark.tensorflow
def test_keras_fits_answers_to_both_ends_by_name(made):
    import keras

    theirs, folder = made("gpt2", QUESTION_ANSWERING)
    model = facade(QUESTION_ANSWERING, "tf").from_pretrained(folder)
    ends = {"start_logits": np.array([1, 0, 2]), "end_logits": np.array([3, 1, 2])}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    texts = {"input_ids": IDS, "attention_mask": MASK}
    told = {name.replace("logits", "positions"): torch.tensor(x) for name, x in ends.items()}
    with torch.no_grad():
        native = {name: torch.tensor(value) for name, value in texts.items()}
        expected = 2 * float(theirs(**native, **told).loss)  # Keras adds, transformers averages
    before = model.evaluate(texts, ends, verbose=0)  # of both, of each
    assert before[0] == pytest.approx(expected, abs=1e-4)
    keras.utils.set_random_seed(0)  # dropout and the order of the batches
    model.fit(texts, ends, epochs=3, verbose=0)
    assert model.evaluate(texts, ends, verbose=0)[0] < expected


@pytest.mark.tensorflow
def test_a_head_of_gpt2_is_served_as_a_saved_model(made, tmp_path):
    import tensorflow as tf

    _, folder = made("gpt2", TOKEN_CLASSIFICATION)
    model = facade(TOKEN_CLASSIFICATION, "tf").from_pretrained(folder)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    inputs = {"input_ids": tf.constant(IDS, tf.int32), "attention_mask": tf.constant(MASK, "int32")}
    expected = model(**inputs)["logits"]
    np.testing.assert_allclose(served.serve(inputs)["logits"], expected, atol=1e-5)


# --- pipelines ----------------------------------------------------------------------------------

TEXTS = ["I love New York, and it me.", "terrible", "We show you the library."]
TOKENIZERS = {
    "gpt2": ("gpt2", "GPT2Tokenizer"),
    "llama": ("spm-llama", "LlamaTokenizer"),
    "t5": ("spm-t5", "T5Tokenizer"),
    "bart": ("roberta", "BartTokenizer"),
    "mbart": ("spm-fairseq", "MBartTokenizer"),
}


@pytest.fixture
def with_tokenizer(made, fixture_hub, tmp_path):
    """A folder with a model and a tokenizer that suits it."""

    def make(family, task, cls=None):
        folder, name = TOKENIZERS[family]
        source = shutil.copytree(fixture_hub.parent / "tokenizers" / folder, tmp_path / family)
        more = {"src_lang": "en_XX"} if family == "mbart" else {}
        (source / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **more}))
        tokenizer = hubloader.AutoTokenizer.from_pretrained(source)
        sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 64}
        _, model = made(family, task, cls, **sizes)
        tokenizer.save_pretrained(model)
        file = model / "tokenizer_config.json"  # of no class: both libraries read it as it stands
        raw = {**json.loads(file.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"}
        if family == "gpt2":  # the others know of no token types, whatever the tokenizer tells
            raw["model_input_names"] = ["input_ids", "attention_mask"]
        file.write_text(json.dumps(raw))
        return str(model), hubloader.AutoTokenizer.from_pretrained(model)

    return make


def alike(ours, theirs):
    if isinstance(theirs, (list, dict)):
        assert len(ours) == len(theirs)
        for key in theirs if isinstance(theirs, dict) else range(len(theirs)):
            alike(ours[key], theirs[key])
    elif isinstance(theirs, (float, np.floating)):
        assert ours == pytest.approx(float(theirs), abs=1e-5)
    else:
        assert ours == theirs


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_tokens_are_labelled_as_by_transformers_with_padding_or_without(with_tokenizer, family):
    folder, tokenizer = with_tokenizer(family, TOKEN_CLASSIFICATION)
    assert (tokenizer.pad_token is None) == (family != "t5")
    ours = hubloader.pipeline("token-classification", model=folder, framework="np")
    theirs = transformers.pipeline("token-classification", model=folder, device="cpu")
    alike(ours(TEXTS), theirs(TEXTS))
    alike(ours(TEXTS[0]), theirs(TEXTS[0]))


def test_texts_are_classified_without_a_padding_token(with_tokenizer):
    folder, _ = with_tokenizer("gpt2", TOKEN_CLASSIFICATION, "AutoModelForSequenceClassification")
    ours = hubloader.pipeline("text-classification", model=folder, framework="np", top_k=None)
    theirs = transformers.pipeline("text-classification", model=folder, device="cpu", top_k=None)
    alike(ours(TEXTS), theirs(TEXTS))


@pytest.mark.parametrize("family", ["bart", "mbart"])
def test_masked_words_are_those_of_transformers(with_tokenizer, family):
    folder, tokenizer = with_tokenizer(family, MASKED_LM)
    ours = hubloader.pipeline("fill-mask", model=folder, framework="np")
    theirs = transformers.pipeline("fill-mask", model=folder, device="cpu")
    texts = [f"I love {tokenizer.mask_token}.", f"{tokenizer.mask_token} it is {TEXTS[0]}"]
    alike(ours(texts), theirs(texts))


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "bart"])
def test_questions_are_answered_out_of_the_text(with_tokenizer, family):
    folder, tokenizer = with_tokenizer(family, QUESTION_ANSWERING)
    answer = hubloader.pipeline("question-answering", model=folder, framework="np")
    question, text = "What do I love?", TEXTS[0]
    found = answer(question=question, context=text, align_to_words=False)
    assert found["answer"] == text[found["start"] : found["end"]]
    asked_first = tokenizer.padding_side == "right"
    texts = (question, text) if asked_first else (text, question)
    encoded = tokenizer(*texts, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    theirs = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    with torch.no_grad():
        both = theirs(**encoded).to_tuple()[:2]
    inside = torch.tensor([side == int(asked_first) for side in encoded.sequence_ids(0)])
    none = encoded["input_ids"][0] == tokenizer.cls_token_id  # says that there is no answer
    start, end = (x[0].masked_fill(~(inside | none), -1e4).softmax(0) * inside for x in both)
    scores = torch.outer(start, end).triu().tril(14)
    first, last = divmod(int(scores.argmax()), len(inside))
    assert (found["start"], found["end"]) == (offsets[first][0], offsets[last][1])
    assert found["score"] == pytest.approx(float(scores.max()), abs=1e-5)
