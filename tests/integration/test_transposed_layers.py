"""GPT-2's linear layers lie the other way round: tools that know transformers' know ours."""

from __future__ import annotations

import copy
import pickle

import pytest

import hubloader

pytestmark = [pytest.mark.oracle, pytest.mark.torch]

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

SIZES = {"vocab_size": 40, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}
IDS = torch.tensor([[5, 6, 7, 8, 9], [3, 4, 5, 0, 0]])
INPUTS = {"input_ids": IDS, "attention_mask": (IDS != 0).long()}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        **SIZES, pad_token_id=0, bos_token_id=1, eos_token_id=2, initializer_range=0.3
    )
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def ours(folder):
    return hubloader.AutoModelForSequenceClassification.from_pretrained(folder)


@pytest.fixture
def theirs(folder):
    return transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()


@torch.no_grad()
def logits(model):
    return model(**INPUTS).logits


@pytest.mark.parametrize("targets", [["c_attn"], ["c_attn", "c_proj"], "all-linear"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_lora_adapts_and_merges_as_in_transformers(ours, theirs, targets):
    found = []
    for model in (theirs, ours):
        before = logits(model)
        torch.manual_seed(1)
        config = peft.LoraConfig(
            task_type="SEQ_CLS", target_modules=targets, init_lora_weights=False
        )
        adapted = peft.get_peft_model(model, config).eval()
        names = set(peft.get_peft_model_state_dict(adapted))
        apart = logits(adapted)
        assert not torch.allclose(apart, before, atol=1e-3)
        merged = adapted.merge_and_unload()
        assert torch.allclose(logits(merged), apart, atol=1e-5)
        found.append((apart, names, {name: w.shape for name, w in merged.state_dict().items()}))

    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    assert found[0][1:] == found[1][1:]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_what_lora_trains_has_gradients(ours):
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["c_attn"])
    adapted = peft.get_peft_model(ours, config)

    adapted(**INPUTS, labels=torch.tensor([1, 0])).loss.backward()

    trained = [name for name, p in adapted.named_parameters() if p.grad is not None]
    assert any("c_attn.lora_B" in name for name in trained)
    assert all("lora" in name or "score" in name for name in trained)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_of_our_own_class(ours, twin):
    other = twin(ours)

    layer = other.transformer.h[0].attn.c_attn
    assert isinstance(layer, transformers.pytorch_utils.Conv1D)
    assert type(layer) is type(ours.transformer.h[0].attn.c_attn)
    assert torch.equal(logits(other), logits(ours))


def test_it_still_compiles_and_exports(ours):
    compiled = torch.compile(ours, fullgraph=True, backend="eager")
    program = torch.export.export(ours, (), INPUTS)

    assert torch.allclose(logits(compiled), logits(ours), atol=1e-6)
    assert torch.allclose(logits(program.module()), logits(ours), atol=1e-6)


def test_on_numpy_it_stands_for_nothing(folder):
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)

    assert not isinstance(model.transformer.h[0].attn.c_attn, transformers.pytorch_utils.Conv1D)
