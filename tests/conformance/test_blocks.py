"""Tables and activations that architectures share, against transformers'."""

from __future__ import annotations

import numpy as np
import pytest

from hubloader.nn import get_kit
from hubloader.nn.blocks import (
    ACTIVATIONS,
    activate,
    log_bucket_table,
    mean_of_tokens,
    positions_after_padding,
    rotary_frequencies,
    t5_bucket_table,
    window_mask,
)

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

NUMPY = get_kit("numpy")


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("kit_name", ["numpy", "torch"])
def test_an_activation_is_transformers_of_that_name(name, kit_name):
    from transformers.activations import ACT2FN

    x = torch.linspace(-12, 12, 2_001)
    ours = activate(get_kit(kit_name), name, x.numpy() if kit_name == "numpy" else x)
    np.testing.assert_allclose(ours, ACT2FN[name](x), atol=4e-6)


def test_t5_buckets_are_transformers_at_every_distance():
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    distances = torch.arange(-2_000, 2_001)
    rows = np.clip(distances.numpy(), -128, 128) + 128
    theirs = MPNetEncoder.relative_position_bucket(-distances)
    np.testing.assert_array_equal(t5_bucket_table(32, 128)[rows], theirs)


@pytest.mark.parametrize("buckets", [4, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("most", [40, 300, 512, 1_024])
def test_log_buckets_are_transformers_at_every_distance(buckets, most):
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    roomy = most - 1 > buckets // 2  # else transformers is right up to ``most`` only
    distances = torch.arange(-5_000, 5_001) if roomy else torch.arange(1 - most, most)
    reach = 2 * most
    rows = np.clip(distances.numpy(), -reach, reach) + reach
    ours = log_bucket_table(buckets, most, reach)[rows]
    theirs = make_log_bucket_position(distances, buckets, most).long()
    # Beyond the last bucket both are cut off before use.
    np.testing.assert_array_equal(ours.clip(-buckets, buckets), theirs.clip(-buckets, buckets))


@pytest.mark.parametrize("theta", [10_000.0, 160_000.0, 1e6])
@pytest.mark.parametrize("dim", [8, 64, 128])
def test_rotary_frequencies_are_transformers_to_the_last_bit_but_one(theta, dim):
    theirs = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=torch.float) / dim))
    np.testing.assert_array_max_ulp(rotary_frequencies(dim, theta), theirs.numpy(), 2)


def test_positions_skip_padding_wherever_it_is():
    ids = np.array([[9, 9, 1, 9, 1], [1, 1, 9, 9, 9]])
    expected = [[2, 3, 1, 4, 1], [1, 1, 2, 3, 4]]
    np.testing.assert_array_equal(positions_after_padding(NUMPY, ids, 1, 40), expected)


def test_a_window_reaches_as_far_as_it_says_and_never_to_padding():
    mask = np.array([[[[True, True, True, False, True]]]])
    seen = window_mask(NUMPY, np.zeros((1, 5)), 1, mask)[0, 0]
    expected = [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 1]]
    np.testing.assert_array_equal(seen, np.array(expected, bool))


def test_a_mean_counts_tokens_only_and_is_zero_without_any():
    hidden = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    mask = np.array([[1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(mean_of_tokens(NUMPY, hidden, mask), [[2, 3], [0, 0]])
    np.testing.assert_array_equal(mean_of_tokens(NUMPY, hidden, None), hidden.mean(1))
