"""A loaded PyTorch model is at home in PyTorch: every tool finds what it looks for."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hubloader

pytestmark = pytest.mark.torch

torch = pytest.importorskip("torch")

IDS = torch.tensor([[101, 5, 6, 102], [101, 9, 102, 0]])
MASK = (IDS != 0).long()
TARGETS = {"bert": ["query", "value"], "distilbert": ["q_lin", "v_lin"]}


@pytest.fixture(params=["fixtures/bert-tiny-sentiment", "distilbert"])
def folder(request, fixture_hub):
    if request.param != "distilbert":
        return fixture_hub / request.param
    return fixture_hub / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english"


@pytest.fixture
def model(folder):
    return hubloader.AutoModelForSequenceClassification.from_pretrained(folder)


@pytest.fixture
def logits(model):
    with torch.no_grad():
        return model(IDS, MASK).logits


def test_it_is_a_module_of_plain_linear_layers(model):
    assert isinstance(model, torch.nn.Module)
    leaves = {type(m) for m in model.modules() if not list(m.children())}
    assert torch.nn.Linear in leaves
    assert {cls.__module__.split(".")[0] for cls in leaves} == {"torch"}


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_it_can_be_copied_and_pickled(model, logits, twin):
    other = twin(model)

    assert torch.equal(other(IDS, MASK).logits, logits)
    assert type(other) is type(model)
    assert other.config == model.config


def test_its_state_dict_goes_into_a_model_of_random_weights(model, logits):
    other = type(model)(model.config)

    other.load_state_dict(model.state_dict())

    assert torch.equal(other.eval()(IDS, MASK).logits, logits)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output_hidden_states": True, "output_attentions": True},
        {"labels": torch.tensor([1, 0])},
    ],
    ids=["plain", "traced", "labelled"],
)
def test_it_compiles_into_one_graph(model, logits, options):
    compiled = torch.compile(model, fullgraph=True, backend="eager")

    out = compiled(IDS, MASK, **options)

    assert type(out).__name__ == "SequenceClassifierOutput"
    assert torch.allclose(out.logits, logits, atol=1e-6)


def test_it_is_exported_with_its_output_type(model, logits):
    program = torch.export.export(model, (IDS, MASK))

    out = program.module()(IDS, MASK)

    assert type(out).__name__ == "SequenceClassifierOutput"
    assert torch.allclose(out.logits, logits, atol=1e-6)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("plain", [False, True], ids=["mapping", "tuple"])
def test_it_is_traced_by_torchscript(model, logits, plain):
    model.config.return_dict = not plain
    traced = torch.jit.trace(model, (IDS, torch.ones_like(MASK)), strict=plain)

    found = traced(IDS, MASK)[0 if plain else "logits"]  # the mask is not that of the trace

    assert torch.allclose(found, logits, atol=1e-6)
    shorter = traced(IDS[1:, :3], MASK[1:, :3])[0 if plain else "logits"]
    assert torch.allclose(shorter, logits[1:], atol=1e-6)


def test_hooks_fire_on_leaves(model):
    seen = []
    model.classifier.register_forward_hook(lambda *_: seen.append(True))

    model(IDS, MASK)

    assert seen == [True]


@pytest.mark.filterwarnings("ignore")
def test_dynamic_quantization_replaces_every_linear(model):
    linears = [name for name, m in model.named_modules() if type(m) is torch.nn.Linear]

    small = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

    kinds = {type(small.get_submodule(name)) for name in linears}
    assert kinds == {torch.ao.nn.quantized.dynamic.Linear}
    assert small(IDS, MASK).logits.shape[0] == 2


@pytest.mark.filterwarnings("ignore")
def test_lora_trains_adapters_only_and_starts_where_the_model_is(model, logits):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=TARGETS[model.config.model_type])

    adapted = peft.get_peft_model(model, config)
    loss = adapted(input_ids=IDS, attention_mask=MASK, labels=torch.tensor([1, 0])).loss
    loss.backward()

    trained = {name for name, p in adapted.named_parameters() if p.grad is not None}
    assert trained
    assert all("lora" in name or "classifier" in name for name in trained)
    adapted.eval()
    assert torch.allclose(adapted(input_ids=IDS, attention_mask=MASK).logits, logits, atol=1e-6)


def test_prompt_tuning_puts_learned_words_before_the_text(fixture_hub):
    peft = pytest.importorskip("peft")
    model = hubloader.AutoModelForSequenceClassification.from_pretrained(
        fixture_hub / "fixtures/bert-tiny-sentiment"
    )
    prompts = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3)

    adapted = peft.get_peft_model(model, prompts)
    out = adapted(input_ids=IDS, attention_mask=MASK, labels=torch.tensor([1, 0]))
    out.loss.backward()

    trained = [name for name, p in adapted.named_parameters() if p.grad is not None]
    assert any("prompt_encoder" in name for name in trained)
    assert out.logits.shape == (2, model.config.num_labels)


def test_on_the_meta_device_it_is_built_without_values(folder, model, logits):
    with torch.device("meta"):
        empty = type(model).from_config(model.config)
        other = type(model)(model.config)

    assert {p.device.type for p in [*empty.parameters(), *other.parameters()]} == {"meta"}
    empty.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(empty.eval()(IDS, MASK).logits, logits)
    assert type(model).from_pretrained(folder, device_map="meta").device.type == "meta"


def test_its_table_of_words_grows_and_is_saved_so(model, logits, tmp_path):
    rows = model.config.vocab_size

    table = model.resize_token_embeddings(rows + 3)
    model.resize_token_embeddings()

    assert table is model.get_input_embeddings()
    assert table.weight.shape[0] == model.config.vocab_size == rows + 3
    assert torch.equal(model(IDS, MASK).logits, logits)
    model(IDS.clamp_min(rows + 2), MASK)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(again.get_input_embeddings().weight, table.weight)
    assert model.resize_token_embeddings(rows, pad_to_multiple_of=64).weight.shape[0] % 64 == 0


@pytest.mark.filterwarnings("ignore:.*does not use")
def test_an_encoder_can_be_had_without_its_pooler(fixture_hub):
    encoder = hubloader.AutoModel.from_pretrained(
        fixture_hub / "fixtures/bert-tiny-sentiment", add_pooling_layer=False
    )

    assert encoder(IDS, MASK).get("pooler_output") is None
    assert not any("pooler" in name for name in encoder.state_dict())


def test_another_threads_words_are_its_own(model, logits):
    from concurrent.futures import ThreadPoolExecutor

    words = torch.zeros(2, 4, model.get_input_embeddings().embedding_dim)
    expected = model(inputs_embeds=words, attention_mask=MASK).logits

    def either(n):
        given = {"inputs_embeds": words} if n % 2 else {"input_ids": IDS}
        with torch.no_grad():
            return model(**given, attention_mask=MASK).logits

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(either, range(24)))

    assert all(
        torch.allclose(f, expected if n % 2 else logits, atol=1e-5) for n, f in enumerate(found)
    )


def test_layers_can_be_computed_again_instead_of_kept(model):
    labels = torch.tensor([1, 0])
    model(IDS, MASK, labels=labels).loss.backward()
    kept = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    for module in model.modules():  # dropout would draw anew
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    asked = []
    first = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))[0]
    next(m for m in first.modules() if isinstance(m, torch.nn.Linear)).register_forward_hook(
        lambda *_: asked.append(1)
    )

    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    model.train()
    model(IDS, MASK, labels=labels).loss.backward()

    assert len(asked) == 2  # on the way there and on the way back
    grads = {name: p.grad for name, p in model.named_parameters()}
    assert all(torch.allclose(grads[name], kept[name], atol=1e-6) for name in kept)
    model.gradient_checkpointing_disable()
    model.eval()(IDS, MASK)
    assert len(asked) == 3


@pytest.mark.parametrize("kind", ["LoraConfig", "IA3Config"])
def test_adapters_know_the_task_of_an_encoder_too(folder, kind):
    peft = pytest.importorskip("peft")
    encoder = hubloader.AutoModel.from_pretrained(folder)
    before = encoder(IDS, MASK).last_hidden_state
    targets = TARGETS[encoder.config.model_type]
    options = {"feedforward_modules": []} if kind == "IA3Config" else {}

    adapted = peft.get_peft_model(
        encoder,
        getattr(peft, kind)(task_type="FEATURE_EXTRACTION", target_modules=targets, **options),
    ).eval()

    after = adapted(input_ids=IDS, attention_mask=MASK).last_hidden_state
    assert torch.allclose(after, before, atol=1e-6)


@pytest.mark.oracle
def test_the_trainer_of_transformers_trains_it(model, tmp_path):
    transformers = pytest.importorskip("transformers")
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, label in zip(IDS, MASK, torch.tensor([1, 0]), strict=True)
    ]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(
            str(tmp_path), max_steps=2, report_to=[], save_strategy="no", use_cpu=True
        ),
        train_dataset=rows,
    )

    trainer.train()

    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_training_changes_the_model_and_not_its_file(folder, model, logits):
    before = (folder / "model.safetensors").read_bytes()
    labels = torch.tensor([1, 0])
    untrained = model.eval()(IDS, MASK, labels=labels).loss
    torch.manual_seed(0)  # dropout draws
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    for _ in range(20):
        optimizer.zero_grad()
        model.train()(IDS, MASK, labels=labels).loss.backward()
        optimizer.step()

    assert model.eval()(IDS, MASK, labels=labels).loss < untrained
    assert not torch.allclose(model.eval()(IDS, MASK).logits, logits, atol=1e-3)
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system shows no maps")
def test_the_weights_are_mapped_not_copied(folder):
    model = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)
    lines = Path("/proc/self/maps").read_text().splitlines()
    mapped = [line.split() for line in lines if "model.safetensors" in line]
    spans = [tuple(int(end, 16) for end in line[0].split("-")) for line in mapped]

    places = [p.data_ptr() for p in model.parameters()]

    assert all(any(low <= place < high for low, high in spans) for place in places)


def test_it_says_where_it_lies_and_what_it_is(model):
    assert model.device == torch.device("cpu")
    assert model.dtype == torch.float32
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size
    assert model.base_model is getattr(model, model.base_model_prefix)
    assert model.num_parameters(only_trainable=True) == sum(p.numel() for p in model.parameters())


def test_eager_and_fused_attention_agree(folder, logits):
    eager = hubloader.AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager"
    )

    assert torch.allclose(eager(IDS, MASK).logits, logits, atol=1e-5)
    with pytest.raises(ValueError, match="flash"):
        hubloader.AutoModelForSequenceClassification.from_pretrained(
            folder, attn_implementation="flash"
        )


def test_a_device_can_be_named(folder, logits):
    load = hubloader.AutoModelForSequenceClassification.from_pretrained
    for options in ({"device": "cpu"}, {"device_map": "cpu"}, {"device_map": {"": "cpu"}}):
        assert torch.equal(load(folder, **options)(IDS, MASK).logits, logits)
    assert load(folder, device="meta").device.type == "meta"
    with pytest.raises(ValueError, match="not both"):
        load(folder, device="cpu", device_map="cpu")


def test_new_weights_repeat_with_numpys_seed():
    config = hubloader.AutoConfig.for_model("bert", hidden_size=12, vocab_size=9)

    made = []
    for _ in range(2):
        np.random.seed(7)  # noqa: NPY002  the generator that makes new weights
        made.append(hubloader.AutoModel.from_config(config).state_dict())

    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not made[0]["encoder.layer.0.output.dense.bias"].any()
    assert (made[0]["embeddings.LayerNorm.weight"] == 1).all()


def test_a_load_does_not_import_torchs_compiler(folder):
    code = (
        "import sys, torch, hubloader; "
        f"hubloader.AutoModelForSequenceClassification.from_pretrained({str(folder)!r}); "
        "print('torch._dynamo' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_nothing_is_noted_for_gradients_in_inference(model):
    with model.nn.inference():
        assert not model(IDS, MASK).logits.requires_grad
    assert model(IDS, MASK).logits.requires_grad


def test_a_given_state_dict_is_saved_instead_of_the_models(model, tmp_path):
    state = {name: value * 0 for name, value in model.state_dict().items()}

    model.save_pretrained(tmp_path, state_dict=state)

    again = hubloader.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert not again(IDS, MASK).logits.any()


def test_a_model_is_saved_in_shards_and_loaded_again(model, logits, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="100KB")

    assert (tmp_path / "model.safetensors.index.json").exists()
    again = hubloader.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again(IDS, MASK).logits, logits)


def test_data_parallel_joins_outputs(model, logits):
    from torch.utils import _pytree

    leaves, spec = _pytree.tree_flatten(model(IDS, MASK))
    again = _pytree.tree_unflatten(leaves, spec)

    assert [leaf.shape for leaf in leaves] == [logits.shape]
    assert type(again).__name__ == "SequenceClassifierOutput"


def test_parts_can_lie_on_devices_of_their_own(folder, model, logits):
    parts = {model.base_model_prefix: "cpu"}
    parts |= {name: "cpu" for name, _ in model.named_children() if name != model.base_model_prefix}

    placed = hubloader.AutoModelForSequenceClassification.from_pretrained(
        folder, device_map={**parts, "classifier": "meta"}
    )

    assert placed.classifier.weight.is_meta
    assert placed.base_model.embeddings.word_embeddings.weight.device.type == "cpu"
    assert placed(IDS, MASK).logits.is_meta
