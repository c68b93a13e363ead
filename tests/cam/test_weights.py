"""The weight functions alone, on numbers for paper."""

from __future__ import annotations

import pytest
import torch

from napari_ifa.cam import GRADIENT_METHODS
from napari_ifa.cam.weights import from_moments

FEATURES = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])  # [1 case, 2 features, 2 voxels]
GRADIENTS = torch.tensor([[[[1.0, -3.0], [2.0, 6.0]]]])  # [1 case, 1 class, 2 features, 2 voxels]


def weights_of(method, features, gradients, dtype=torch.float64):
    """The weights of one class for one feature, given as its numbers at the voxels."""
    values = torch.tensor(features, dtype=dtype)[None, None]
    slopes = torch.tensor(gradients, dtype=dtype)[None, None, None]
    return GRADIENT_METHODS[method].weigh(values, slopes)[0, 0, 0]


def test_cam_is_the_sum_of_the_gradient():
    assert GRADIENT_METHODS["cam"].weigh(FEATURES, GRADIENTS).tolist() == [[[-2.0, 8.0]]]


def test_cam_needs_the_gradient_of_a_pooled_head_at_one_voxel_only():
    pooled = torch.tensor([[[[0.5], [-1.0]]]])  # W = 1 and -2, divided by the two voxels
    assert GRADIENT_METHODS["cam"].weigh(FEATURES, pooled).tolist() == [[[1.0, -2.0]]]


def test_gradcam_is_the_signed_mean_of_the_gradient():
    assert GRADIENT_METHODS["gradcam"].weigh(FEATURES, GRADIENTS).tolist() == [[[-1.0, 4.0]]]


def test_gradcam_plus_plus_by_hand():
    # S = Σ A = 3 and 7. First feature: α = 1 / (2 + 3·1) where G = 1, and G = -3 is cut off.
    # Second: α = 4 / (2·4 + 7·8) = 1/16 where G = 2, and 36 / (2·36 + 7·216) = 1/44 where G = 6.
    weights = GRADIENT_METHODS["gradcam++"].weigh(FEATURES, GRADIENTS)
    expected = torch.tensor([[[1 / 5, 2 / 16 + 6 / 44]]])
    torch.testing.assert_close(weights, expected)


def test_xgradcam_by_hand():
    # Σ G·A = 1 - 6 and 6 + 24, over Σ A = 3 and 7.
    weights = GRADIENT_METHODS["xgradcam"].weigh(FEATURES, GRADIENTS)
    torch.testing.assert_close(weights, torch.tensor([[[-5 / 3, 30 / 7]]]))


def test_layercam_is_the_gradient_where_it_is_positive():
    weights = GRADIENT_METHODS["layercam"].weigh(FEATURES, GRADIENTS)
    assert weights.tolist() == [[[[1.0, 0.0], [2.0, 6.0]]]]


def test_pixelwise_is_the_signed_gradient():
    weights = GRADIENT_METHODS["pixelwise"].weigh(FEATURES, GRADIENTS)
    assert weights.tolist() == [[[[1.0, -3.0], [2.0, 6.0]]]]


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_cases_and_classes_are_weighed_each_for_itself(method):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((2, 4, 3, 5), generator=generator, dtype=torch.float64)
    gradients = torch.randn((2, 3, 4, 3, 5), generator=generator, dtype=torch.float64)
    weigh = GRADIENT_METHODS[method].weigh
    together = weigh(features, gradients)
    for b in range(2):
        for k in range(3):
            alone = weigh(features[b : b + 1], gradients[b : b + 1, k : k + 1])
            torch.testing.assert_close(together[b : b + 1, k : k + 1], alone)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([-1.0, -1.0], 0.0),  # 2 - 2
        ([-1.0, -1.0 + 1e-6], 0.0),  # 1e-6, below 1e-6 of 2 + 2
        ([-1.0, -1.0 + 1e-3], 2000.0),  # α = 1 / 1e-3, twice
    ],
)
def test_gradcam_plus_plus_does_not_divide_by_a_cancelled_denominator(features, expected):
    found = weights_of("gradcam++", features, [1.0, 1.0])
    torch.testing.assert_close(found.item(), expected)


def test_gradcam_plus_plus_is_zero_without_gradient():
    assert weights_of("gradcam++", [1.0, 2.0], [0.0, 0.0]) == 0
    found = weights_of("gradcam++", [0.0, 1.0], [1.0, 0.0])  # S = 1: α = 1/3, and 0 where G = 0
    torch.testing.assert_close(found.item(), 1 / 3)
    assert weights_of("gradcam++", [-1.0, 1.0], [0.0, -1.0]) == 0


def test_gradcam_plus_plus_of_small_gradients_in_float32():
    # G³ = 1e-36 and less is lost beside 2G² = 2e-24, as it should be: α = 1/2.
    found = weights_of("gradcam++", [1.0, 2.0, 3.0], [1e-12, 3e-12, -1e-12], torch.float32)
    torch.testing.assert_close(found.item(), 2e-12, rtol=1e-6, atol=0.0)
    # G² is below float32's range here.
    found = weights_of("gradcam++", [1.0, 2.0], [1e-25, 3e-25], torch.float32)
    torch.testing.assert_close(found.item(), 2e-25, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e15])
def test_gradcam_plus_plus_in_float32_is_that_in_float64(size):
    # G³ leaves the range of float32 on either side, and S·G³ counts beside 2G² in each case.
    features = [1.0 / size, 0.0, 2.0 / size]
    gradients = [size, -size / 2, size / 4]
    exact = weights_of("gradcam++", features, gradients).item()
    # In units of the size, S = 3: α = 1 / (2 + 3) and (1/16) / (2/16 + 3/64) = 4/11.
    by_hand = size * (1 / 5 + (1 / 4) * (4 / 11))
    torch.testing.assert_close(exact, by_hand, rtol=1e-12, atol=0.0)
    found = weights_of("gradcam++", features, gradients, torch.float32).item()
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=0.0)


def test_weights_from_moments_by_hand():
    # First voxel: gradients 1 and 3, with means 2, 5 of the squares, 14 of the cubes; second: 0.
    # S = 8: α = 5 / (2·5 + 8·14).
    features = torch.tensor([[[1.0, 7.0]]])
    first, second, third = (torch.tensor([[[[value, 0.0]]]]) for value in (2.0, 5.0, 14.0))
    expected = torch.tensor([[[2 * 5 / (10 + 112)]]])
    for size in (1.0, 4.0):
        moments = (first / size, second / size**2, third / size**3)
        found = from_moments(features, *moments, torch.tensor([[[size]]]))
        torch.testing.assert_close(found, expected)


def test_moments_of_one_sample_are_gradcam_plus_plus(same):
    generator = torch.Generator().manual_seed(2)
    features = torch.randn((2, 3, 4, 5), generator=generator, dtype=torch.float64)
    gradients = torch.randn((2, 2, 3, 4, 5), generator=generator, dtype=torch.float64)
    one = gradients.new_ones(gradients.shape[:3])
    found = from_moments(features, gradients, gradients**2, gradients**3, one)
    same(found, GRADIENT_METHODS["gradcam++"].weigh(features, gradients))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([0.0, 0.0], 0.0),
        ([1.0, -1.0], 0.0),
        ([1.0, -1.0 + 1e-6], 0.0),  # Σ A = 1e-6, below 1e-6 of Σ |A|, which is almost 2
        ([1.0, -0.99], 101.0),  # (2 - 0.99) / 0.01
    ],
)
def test_xgradcam_does_not_divide_by_a_cancelled_sum(features, expected):
    found = weights_of("xgradcam", features, [2.0, 1.0])
    torch.testing.assert_close(found.item(), expected)


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_gradient_that_is_not_finite_is_not_taken_for_zero(method):
    found = weights_of(method, [1.0, 2.0], [torch.nan, 1.0])
    assert found.isnan().any()


def test_only_cam_asks_for_a_pooled_head():
    assert [m.name for m in GRADIENT_METHODS.values() if m.pooled_head_only] == ["cam"]


def test_methods_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        GRADIENT_METHODS["mine"] = None  # type: ignore[index]
