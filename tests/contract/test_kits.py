"""Every op and layer of every kit, against plain numpy in float64."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from hubloader.nn import Kit, Layer, Trace, get_kit

TOLERANCE = 2e-6
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 8)).astype(np.float32) * 3
IDS = RNG.integers(0, 7, (2, 5))
Q, K, V = (RNG.standard_normal((2, 3, 5, 4)).astype(np.float32) for _ in range(3))
BIAS = RNG.standard_normal((1, 3, 5, 5)).astype(np.float32)
MASK = RNG.random((2, 1, 5, 5)) > 0.4
MASK[0, 0, 2] = False  # a row that may see nothing
MASK[1, 0] = True
KITS = [
    "numpy",
    pytest.param("torch", marks=pytest.mark.torch),
    pytest.param("torch-eager", marks=pytest.mark.torch),
    pytest.param("tf", marks=pytest.mark.tensorflow),
]


@pytest.fixture(params=KITS)
def kit(request) -> Kit:
    pytest.importorskip({"numpy": "numpy", "tf": "tensorflow"}.get(request.param, "torch"))
    return get_kit(request.param)


def native(kit: Kit, array: Any) -> Any:
    if kit.name == "numpy":
        return np.asarray(array)
    if kit.name == "tf":
        import tensorflow as tf

        return tf.constant(array)
    import torch

    return torch.tensor(np.asarray(array))


def plain(value: Any) -> np.ndarray:
    return value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(mask=None, bias=None, scale=None, softcap=None) -> np.ndarray:
    scores = Q.astype(float) @ K.astype(float).swapaxes(-1, -2) * (scale or 4**-0.5)
    scores = scores if softcap is None else np.tanh(scores / softcap) * softcap
    scores = scores if bias is None else scores + bias
    if mask is not None:
        scores = np.where(mask, scores, -1e30)
    return softmax(scores) @ V


def phi(x: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda v: 0.5 * (1 + math.erf(v / math.sqrt(2))))(x.astype(float))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    x = x.astype(float)
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def cross_entropy() -> float:
    logits, labels = X[:, 0].astype(float), np.array([3, 6])
    return float(-np.log(softmax(logits)[[0, 1], labels]).mean())


def depthwise() -> np.ndarray:
    padded = np.pad(X.astype(float), ((0, 0), (1, 1), (0, 0)))
    return sum(padded[:, tap : tap + 5] * TAPS[:, tap] for tap in range(3))


TAPS = RNG.standard_normal((8, 3)).astype(np.float32)
SIGMOID = 1 / (1 + np.exp(-X.astype(float)))
WIDE = np.linspace(-30, 30, 40_001, dtype=np.float32)  # more than one piece of the numpy kit
INDEX = RNG.integers(0, 8, (5, 6))
TARGETS = (X > 0).astype(np.float32)

# op -> what it is called with (arrays become the kit's own), and what must come out
ROWS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any], Any]]] = {
    "reshape": [((X, (2, -1, 4)), {}, X.reshape(2, -1, 4))],
    "transpose": [((X, (2, 0, 1)), {}, X.transpose(2, 0, 1))],
    "concat": [(([X, X + 1], 1), {}, np.concatenate([X, X + 1], 1))],
    "split": [((X, 2), {}, np.stack(np.split(X, 2, -1)))],
    "arange": [((4, X), {}, np.arange(4))],
    "zeros_like": [((IDS,), {}, np.zeros((2, 5)))],
    "cumsum": [((IDS, 1), {}, IDS.cumsum(1))],
    "cast_int": [((TARGETS,), {}, TARGETS.astype(int))],
    "cast_bool": [((IDS,), {}, IDS != 0)],
    "cast_like": [((IDS, X), {}, IDS.astype(np.float32))],
    "clip": [((IDS, 2, 4), {}, IDS.clip(2, 4))],
    "take": [((X[0], IDS % 5), {}, X[0][IDS % 5])],
    "choose": [
        ((True, lambda: 1, lambda: 2), {}, 1),
        ((False, lambda: 1, lambda: 2), {}, 2),
    ],
    "detached": [((X,), {}, X)],
    "add": [((X, X), {}, X + X), ((X.astype(np.float16), X), {}, X.astype(np.float16) + X)],
    "depthwise": [((X, TAPS), {}, depthwise())],
    "fourier": [((X,), {}, np.fft.fft2(X.astype(float)).real)],
    "take_along": [
        ((X, INDEX), {}, np.take_along_axis(X, np.broadcast_to(INDEX, (2, 5, 6)), -1)),
    ],
    "top": [((X, 3), {}, np.stack([np.sort(X)[..., :-4:-1], np.argsort(X)[..., :-4:-1]]))],
    "gelu": [((X,), {}, X * phi(X)), ((WIDE,), {}, WIDE * phi(WIDE))],
    "gelu_tanh": [((X,), {}, gelu_tanh(X)), ((WIDE,), {}, gelu_tanh(WIDE))],
    "relu": [((X,), {}, np.maximum(X, 0))],
    "silu": [((X,), {}, X * SIGMOID)],
    "sigmoid": [((X,), {}, SIGMOID), ((WIDE,), {}, 1 / (1 + np.exp(-WIDE.astype(float))))],
    "softplus": [((X,), {}, np.log1p(np.exp(X.astype(float))))],
    "tanh": [((X,), {}, np.tanh(X.astype(float)))],
    "cos": [((X,), {}, np.cos(X.astype(float)))],
    "sin": [((X,), {}, np.sin(X.astype(float)))],
    "sum": [((X, 1), {}, X.astype(float).sum(1))],
    "softmax": [((X,), {}, softmax(X.astype(float)))],
    "log_softmax": [((X,), {}, np.log(softmax(X.astype(float))))],
    "masks_nothing": [((MASK,), {}, False), ((MASK | True,), {}, True)],
    "attention": [
        ((Q, K, V), {}, attend()),
        ((Q, K, V, MASK), {}, attend(MASK)),
        ((Q, K, V, None, BIAS), {}, attend(bias=BIAS)),
        ((Q, K, V, MASK[:, :, :1]), {"scale": 0.3}, attend(MASK[:, :, :1], scale=0.3)),
        ((Q, K, V, MASK, BIAS[:, :, :1]), {}, attend(MASK, BIAS[:, :, :1])),
        ((Q, K, V, MASK), {"softcap": 0.5}, attend(MASK, softcap=0.5)),
    ],
    "cross_entropy": [((X[:, 0], np.array([3, 6])), {}, cross_entropy())],
    "mse": [((X, TARGETS), {}, ((X - TARGETS).astype(float) ** 2).mean())],
    "bce_with_logits": [
        (
            (X, TARGETS),
            {},
            -(TARGETS * np.log(SIGMOID) + (1 - TARGETS) * np.log(1 - SIGMOID)).mean(),
        ),
    ],
}
NOT_OPS = {
    *("bind", "make", "stack", "build", "load", "parameters", "export", "buffer", "train"),
    *("weight", "unembed"),
    *("arrays", "holds_values", "inference", "register", "as_weights"),
}


@pytest.mark.parametrize("op", ROWS)
def test_an_op_gives_what_numpy_gives(kit, op):
    for arguments, options, expected in ROWS[op]:
        given = [
            [native(kit, a) for a in x]
            if isinstance(x, list)
            else native(kit, x)
            if isinstance(x, np.ndarray)
            else x
            for x in arguments
        ]
        result = getattr(kit, op)(*given, **options)
        if op in {"split", "top"}:
            result = np.stack(list(map(plain, result)))
        assert plain(result).shape == np.shape(expected)
        np.testing.assert_allclose(plain(result), expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_every_op_has_its_row():
    methods = {n for n, _ in inspect.getmembers(Kit, inspect.isfunction) if n[0] != "_"}
    assert methods - NOT_OPS - {"shape"} == set(ROWS)


def test_a_shape_is_known_as_numbers(kit):
    assert kit.shape(native(kit, X)) == (2, 5, 8)


def test_attention_with_mask_and_bias_leaves_a_blind_row_uniform(kit):
    out = plain(kit.attention(*(native(kit, a) for a in (Q, K, V, MASK, BIAS))))
    seeing = np.delete(np.arange(5), 2)
    expected = attend(MASK, BIAS)
    np.testing.assert_allclose(out[:, :, seeing], expected[:, :, seeing], atol=TOLERANCE)
    np.testing.assert_allclose(out[0, :, 2], V[0].mean(1), atol=TOLERANCE)


def test_attention_keeps_its_probabilities_when_asked(kit):
    trace = Trace(attentions=True)
    out = kit.attention(*(native(kit, a) for a in (Q, K, V, MASK)), trace=trace)
    (probabilities,) = map(plain, trace.kept_attentions)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=TOLERANCE)
    np.testing.assert_allclose(probabilities @ V, plain(out), atol=TOLERANCE)


def test_cross_entropy_does_not_count_minus_100(kit):
    logits, labels = native(kit, X[:, 0]), native(kit, np.array([3, -100]))
    expected = -np.log(softmax(X[:1, 0].astype(float))[0, 3])
    assert plain(kit.cross_entropy(logits, labels)) == pytest.approx(expected, abs=TOLERANCE)


def test_cross_entropy_of_half_precision_is_taken_in_float32(kit):
    half = X[:, 0].astype(np.float16)
    expected = -np.log(softmax(half.astype(float))[[0, 1], [3, 6]]).mean()
    found = plain(kit.cross_entropy(native(kit, half), native(kit, np.array([3, 6]))))
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_label_outside_of_the_classes_is_an_error(kit):
    for wrong in (-1, X.shape[-1]):
        with pytest.raises(Exception, match=f"{wrong}|between 0 and {X.shape[-1] - 1}"):
            plain(kit.cross_entropy(native(kit, X[:, 0]), native(kit, np.array([3, wrong]))))


def test_labels_are_as_many_as_the_rows_they_are_for(kit):
    few = native(kit, np.array([3]))
    with pytest.raises(Exception, match=r"(?i)batch_size|rows|incompatible|dimension"):
        plain(kit.cross_entropy(native(kit, X[:, 0]), few))


class Everything(Layer):
    """One of each layer a kit has."""

    def __init__(self, width: int) -> None:
        super().__init__()
        nn = self.nn
        self.words = nn.Embedding(7, width, padding_idx=0)
        self.norm = nn.LayerNorm(width, eps=1e-3)
        self.bare_norm = nn.LayerNorm(width, eps=1e-3, bias=False)
        self.root_norm = nn.RMSNorm(width, eps=1e-2)
        self.raised_norm = nn.RMSNorm(width, eps=1e-2, offset=1.0)
        self.wide = nn.Linear(width, 12)
        self.bare = nn.Linear(12, width, bias=False)
        self.conv = nn.Conv1d(width, 6, 3, groups=2)
        self.drop = nn.Dropout(0.5)
        self.same = nn.Identity()
        self.many = nn.ModuleList([nn.Linear(6, 6) for _ in range(2)])
        nn.buffer(self, "table", np.arange(6, dtype=np.float32))
        nn.weight(self, "own", (2, 3))
        self.channels = nn.Conv1d(6, 6, 3, groups=6, bias=False)

    def forward(self, ids: Any) -> Any:
        x = self.raised_norm(self.root_norm(self.bare_norm(self.norm(self.words(ids)))))
        x = self.conv(self.same(self.drop(self.bare(self.wide(x)))))
        for layer in self.many:
            x = layer(x)
        return self.channels(x) + self.table + self.nn.reshape(self.own, (6,))


WEIGHTS = {
    "own": RNG.standard_normal((2, 3)),
    "words.weight": RNG.standard_normal((7, 8)),
    "norm.weight": RNG.standard_normal(8),
    "norm.bias": RNG.standard_normal(8),
    "bare_norm.weight": RNG.standard_normal(8),
    "root_norm.weight": RNG.standard_normal(8),
    "raised_norm.weight": RNG.standard_normal(8),
    "wide.weight": RNG.standard_normal((12, 8)),
    "wide.bias": RNG.standard_normal(12),
    "bare.weight": RNG.standard_normal((8, 12)),
    "conv.weight": RNG.standard_normal((6, 4, 3)),
    "conv.bias": RNG.standard_normal(6),
    "many.0.weight": RNG.standard_normal((6, 6)),
    "many.0.bias": RNG.standard_normal(6),
    "many.1.weight": RNG.standard_normal((6, 6)),
    "many.1.bias": RNG.standard_normal(6),
    "channels.weight": RNG.standard_normal((6, 1, 3)),
}
WEIGHTS = {name: (value * 0.3).astype(np.float32) for name, value in WEIGHTS.items()}


def everything() -> np.ndarray:
    w = {name: value.astype(float) for name, value in WEIGHTS.items()}

    def normed(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)

    x = normed(w["words.weight"][IDS]) * w["norm.weight"] + w["norm.bias"]
    x = normed(x) * w["bare_norm.weight"]
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-2) * w["root_norm.weight"]
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-2) * (1 + w["raised_norm.weight"])
    x = (x @ w["wide.weight"].T + w["wide.bias"]) @ w["bare.weight"].T
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    y = np.zeros((2, 5, 6)) + w["conv.bias"]
    for out in range(6):
        part = slice(0, 4) if out < 3 else slice(4, 8)
        for tap in range(3):
            y[..., out] += padded[:, tap : tap + 5, part] @ w["conv.weight"][out, :, tap]
    for i in "01":
        y = y @ w[f"many.{i}.weight"].T + w[f"many.{i}.bias"]
    padded = np.pad(y, ((0, 0), (1, 1), (0, 0)))
    y = sum(padded[:, tap : tap + 5] * w["channels.weight"][:, 0, tap] for tap in range(3))
    return y + np.arange(6) + w["own"].reshape(6)


def test_the_layers_compute_what_their_weights_say(kit):
    module = kit.build(Everything, 8)
    assert kit.parameters(module) == {name: value.shape for name, value in WEIGHTS.items()}
    report = kit.load(module, WEIGHTS)
    assert report.loaded == tuple(WEIGHTS)
    np.testing.assert_allclose(plain(module(native(kit, IDS))), everything(), atol=1e-5)
    assert kit.export(module).keys() == WEIGHTS.keys()


class Fixed(Layer):
    """A weight that training leaves as it is, beside one that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.nn.weight(self, "fixed", (1, 3), trained=False)
        self.nn.weight(self, "free", (1, 3))

    def forward(self, x: Any) -> Any:
        return (x + self.fixed) * self.free


def test_a_weight_that_is_not_trained_is_loaded_and_exported_like_any(kit):
    module = kit.build(Fixed)
    stored = {"fixed": X[:1, 0, :3], "free": X[:1, 1, :3]}
    assert set(kit.load(module, stored).loaded) == set(stored)
    assert kit.export(module).keys() == stored.keys()
    found = plain(module(native(kit, X[:1, 2, :3])))
    np.testing.assert_allclose(found, (X[:1, 2, :3] + stored["fixed"]) * stored["free"], atol=1e-6)
    if kit.name.startswith("torch"):
        assert list(dict(module.named_parameters())) == ["free"]
    if kit.name == "tf":
        assert len(module.trainable_variables) == 1
        assert len(module.variables) == 2


def test_a_table_of_words_scores_them(kit):
    module = kit.build(Everything, 8)
    for dtype in ("float32", "float16"):
        stored = {**WEIGHTS, "words.weight": WEIGHTS["words.weight"].astype(dtype)}
        kit.load(module, stored, dtype="float32")
        scores = plain(kit.unembed(native(kit, X), module.words))
        expected = X.astype(float) @ stored["words.weight"].astype(float).T
        np.testing.assert_allclose(scores, expected, atol=TOLERANCE)


def test_loading_reports_what_does_not_fit_and_loads_the_rest(kit):
    module = kit.build(Everything, 8)
    tensors = {**WEIGHTS, "wide.bias": WEIGHTS["norm.bias"], "other": WEIGHTS["norm.bias"]}
    del tensors["norm.weight"]
    report = kit.load(module, tensors)
    assert report.missing == ("norm.weight",)
    assert report.unexpected == ("other",)
    assert report.mismatched == (("wide.bias", (8,), (12,)),)
    assert set(report.loaded) == set(WEIGHTS) - {"norm.weight", "wide.bias"}


def test_bfloat16_travels_through_load_and_export(kit):
    bits = (WEIGHTS["wide.weight"].view(np.uint32) >> 16).astype(np.uint16)
    stored = bits.view(np.dtype([("bfloat16", "<u2")]))
    exact = (bits.astype(np.uint32) << 16).view(np.float32)
    module = kit.build(Everything, 8)
    kit.load(module, {**WEIGHTS, "wide.weight": stored})
    exported = kit.export(module)["wide.weight"]
    if kit.name == "numpy":
        np.testing.assert_array_equal(exported, exact)
    else:
        np.testing.assert_array_equal(exported, stored)


def test_tensors_become_arrays_bfloat16_too(kit):
    bits = (X.view(np.uint32) >> 16).astype(np.uint16)
    module = kit.build(Everything, 8)
    stored = bits[0, 0].view(np.dtype([("bfloat16", "<u2")]))
    kit.load(module, {**WEIGHTS, "norm.bias": stored})
    arrays = kit.arrays({"plain": native(kit, X), "ours": module.norm.bias})
    np.testing.assert_array_equal(arrays["plain"], X)
    if kit.name != "numpy":
        np.testing.assert_array_equal(arrays["ours"], stored)


def test_nothing_is_noted_for_gradients_during_inference(kit):
    module = kit.build(Everything, 8)
    kit.load(module, WEIGHTS)
    with kit.inference():
        result = module(native(kit, IDS))
    assert not getattr(result, "requires_grad", False)


def test_weights_take_the_wanted_dtype(kit):
    module = kit.build(Everything, 8)
    kit.load(module, WEIGHTS, dtype="float16")
    expected = np.float32 if kit.name == "numpy" else np.float16
    assert {a.dtype for a in kit.export(module).values()} == {np.dtype(expected)}


def test_numbers_of_any_other_kind_become_float32(kit):
    module = kit.build(Everything, 8)
    kit.load(module, {**WEIGHTS, "norm.weight": np.arange(8)})
    assert kit.export(module)["norm.weight"].dtype == np.float32


def test_a_read_only_or_unaligned_array_can_be_loaded(kit):
    frozen = WEIGHTS["norm.weight"].copy()
    frozen.flags.writeable = False
    odd = np.frombuffer(b"." + WEIGHTS["norm.bias"].tobytes(), np.float32, offset=1)
    module = kit.build(Everything, 8)
    kit.load(module, {**WEIGHTS, "norm.weight": frozen, "norm.bias": odd})
    np.testing.assert_allclose(plain(module(native(kit, IDS))), everything(), atol=1e-5)


def test_an_id_outside_the_table_is_an_error(kit):
    module = kit.build(Everything, 8)
    kit.load(module, WEIGHTS)
    errors = [IndexError]
    if kit.name == "tf":
        import tensorflow as tf

        errors.append(tf.errors.InvalidArgumentError)
    for bad in (-1, 7):
        with pytest.raises(tuple(errors)):
            module(native(kit, np.array([[1, bad]])))


@pytest.mark.tensorflow
def test_a_row_that_a_table_has_not_is_no_number_where_xla_would_take_the_nearest():
    tf = pytest.importorskip("tensorflow")
    table = tf.constant(X[0])
    taken = tf.function(get_kit("tf").take, jit_compile=True)(table, tf.constant([[4, 5, -1, 0]]))
    np.testing.assert_array_equal(taken[0], np.stack([X[0, 4], *[[np.nan] * 8] * 2, X[0, 0]]))


def test_a_class_is_bound_once_and_keeps_its_name(kit):
    class Before:
        def forward(self, ids: Any) -> Any:
            return super().forward(ids) + 100

    assert kit.bind(Everything) is kit.bind(Everything)
    bound = kit.bind(Everything, Before, name="TFEverything")
    assert bound.__name__ == "TFEverything"
    assert bound.__mro__[1:3] == (Before, Everything)
    module = kit.build(Everything, 8, mixin=Before)
    kit.load(module, WEIGHTS)
    np.testing.assert_allclose(plain(module(native(kit, IDS))), everything() + 100, atol=1e-4)


def test_training_is_off_until_asked_for(kit):
    module = kit.build(Everything, 8)
    assert not module.training
    if kit.name == "numpy":
        with pytest.raises(ValueError, match="do not train"):
            kit.train(module)
        return
    kit.train(module)
    assert module.drop.training
    kit.train(module, False)
    assert not module.drop.training


def test_dropout_works_in_training_only(kit):
    if kit.name == "numpy":
        pytest.skip("numpy does not train")
    module = kit.build(Everything, 8)
    kit.load(module, WEIGHTS)
    kit.train(module)
    assert np.abs(plain(module(native(kit, IDS))) - everything()).max() > 0.01
    dropped = plain(kit.attention(*(native(kit, a) for a in (Q, K, V)), dropout=0.5))
    assert np.abs(dropped - attend()).max() > 0.01
