"""A model on the torch kit is at home in torch: what users do to an ``nn.Module`` works on it."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
from family_sizes import sized

from hubloader.architectures import ENCODER, SEQUENCE_CLASSIFICATION, find, supported
from hubloader.errors import UnfitLength
from hubloader.nn import get_kit

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "pad_token_id": 1,
}
IDS = torch.tensor(np.random.default_rng(0).integers(5, 60, (3, 12)))
MASK = torch.ones(3, 12, dtype=torch.long)
MASK[1, 7:] = 0


def weights(shapes, seed=0):
    rng = np.random.default_rng(seed)
    drawn = {n: rng.standard_normal(s).astype(np.float32) * 0.3 for n, s in shapes.items()}
    return {n: a + 1 if "LayerNorm.weight" in n else a for n, a in drawn.items()}


def model(family="bert", task=SEQUENCE_CLASSIFICATION, kit_name="torch", **options):
    kit, architecture = get_kit(kit_name), find(family)
    raw = {**SIZES, **sized(family, SIZES["hidden_size"]), "num_labels": 3}
    config = architecture.config.from_json(raw)
    module = kit.build(architecture.tasks[task], config)
    kit.load(module, weights(kit.parameters(module)), **options)
    return module


def test_it_is_a_module_whose_leaves_are_torchs_own():
    module = model()
    assert isinstance(module, torch.nn.Module)
    assert type(module).__name__ == "BertForSequenceClassification"
    query = module.get_submodule("bert.encoder.layer.0.attention.self.query")
    assert type(query) is torch.nn.Linear
    assert not module.training


def test_building_allocates_nothing_however_large():
    bert, kit = find("bert"), get_kit("torch")
    huge = bert.config.from_json({"vocab_size": 2**26, "hidden_size": 12 * 2**10})
    module = kit.build(bert.tasks[ENCODER], huge)
    assert {p.device.type for p in module.parameters()} == {"meta"}
    assert kit.parameters(module)["embeddings.word_embeddings.weight"] == (2**26, 12 * 2**10)


@pytest.mark.parametrize("family", supported())
def test_after_loading_nothing_is_left_on_meta(family):
    module = model(family)
    tensors = [*module.parameters(), *module.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}


def test_a_writable_array_is_used_in_place():
    kit, bert = get_kit("torch"), find("bert")
    module = kit.build(bert.tasks[SEQUENCE_CLASSIFICATION], bert.config.from_json(SIZES))
    tensors = weights(kit.parameters(module))
    kit.load(module, tensors)
    assert all(
        parameter.data_ptr() == tensors[name].ctypes.data
        for name, parameter in module.named_parameters()
    )
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_it_computes_in_the_dtype_asked_for(dtype):
    module, exact = model(dtype=dtype), model()
    logits = module(IDS, MASK)
    assert logits.dtype == getattr(torch, dtype)
    assert torch.allclose(logits.float(), exact(IDS, MASK), atol=0.1)


def test_hooks_fire_on_leaves_and_blocks():
    module, fired = model(), []
    for name in ("bert.encoder.layer.1", "bert.encoder.layer.0.attention.self.query"):
        hook = lambda *_, name=name: fired.append(name)  # noqa: E731 - named by its argument
        module.get_submodule(name).register_forward_hook(hook)
    module(IDS, MASK)
    assert sorted(fired) == [
        "bert.encoder.layer.0.attention.self.query",
        "bert.encoder.layer.1",
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_its_linears_can_be_quantized():
    module = model()
    quantized = torch.ao.quantization.quantize_dynamic(
        copy.deepcopy(module), {torch.nn.Linear}, dtype=torch.qint8
    )
    linears = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
    replaced = [m for m in quantized.modules() if "quantized.dynamic" in type(m).__module__]
    assert len([m for m in replaced if type(m).__name__ == "Linear"]) == len(linears)
    assert torch.allclose(quantized(IDS, MASK), module(IDS, MASK), atol=0.5)


def test_it_learns():
    torch.manual_seed(0)  # dropout draws
    module = model()
    get_kit("torch").train(module)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    labels, losses = torch.tensor([0, 1, 2]), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = get_kit("torch").cross_entropy(module(IDS, MASK), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_lora_finds_its_targets_by_name():
    peft = pytest.importorskip("peft")
    module = model()
    config = peft.LoraConfig(r=4, target_modules=["query", "value"], modules_to_save=["classifier"])
    tuned = peft.get_peft_model(copy.deepcopy(module), config)
    trainable = [name for name, p in tuned.named_parameters() if p.requires_grad]
    assert len([name for name in trainable if "lora_A" in name]) == 4
    assert torch.allclose(tuned(IDS, MASK), module(IDS, MASK), atol=1e-6)


def test_the_whole_module_can_be_saved():
    module, file = model(), io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert type(loaded) is type(module)
    assert torch.equal(loaded(IDS, MASK), module(IDS, MASK))


def test_a_compiled_graph_serves_other_lengths():
    module = model()
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    for ids, mask in ((IDS, MASK), (IDS[:2, :9], MASK[:2, :9]), (IDS[:, :5], MASK[:, :5])):
        assert torch.allclose(compiled(ids, mask), module(ids, mask), atol=1e-6)
    torch.compiler.reset()


def test_an_export_keeps_batch_and_length_open():
    module = model()
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", max=32)
    shapes = {"input_ids": {0: batch, 1: tokens}, "attention_mask": {0: batch, 1: tokens}}
    exported = torch.export.export(
        module, (), {"input_ids": IDS, "attention_mask": MASK}, dynamic_shapes=shapes
    ).module()
    short = {"input_ids": IDS[:2, :9], "attention_mask": MASK[:2, :9]}
    assert torch.allclose(exported(**short), module(**short), atol=1e-6)


def test_tables_move_with_the_module():
    module = model("mpnet", ENCODER)
    assert "encoder.buckets" not in module.state_dict()
    assert module.to("meta").encoder.buckets.device.type == "meta"


def test_a_sequence_longer_than_the_positions_is_refused():
    with pytest.raises(UnfitLength, match=r"33 tokens is longer than the 32 positions"):
        model()(torch.ones(1, 33, dtype=torch.long))
