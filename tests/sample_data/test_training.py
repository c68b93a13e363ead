"""The parts of the training objective by hand, and that training can be repeated."""

from __future__ import annotations

import pytest
import torch

from sample_data.making import training
from sample_data.making.training import Recipe, augment, keep_carriers, place_loss


def evidence(bright, dark):
    """Evidence of one image with 5 places, the last of them zero, ``[1, 3, 5, 1, 1]``."""
    values = torch.zeros(1, 3, 5, 1, 1)
    values[0, 1, :4, 0, 0] = bright
    values[0, 2, :4, 0, 0] = dark
    return values


def test_clear_evidence_where_the_lesion_is_and_none_elsewhere_costs_nothing():
    right = place_loss(evidence(12.0, -1.0), torch.tensor([1]), tolerance=0.1)
    assert right == pytest.approx(0.0, abs=1e-3)


def test_a_missing_place_costs_what_it_lacks():
    """The four strongest of 0 and -18 four times have the mean -13.5: softplus(2 + 13.5) = 15.5.

    The dark lesion costs nothing, and the loss is the mean of both.
    """
    missing = place_loss(evidence(-18.0, -1.0), torch.tensor([1]), tolerance=0.1)
    assert missing == pytest.approx((2 + 13.5) / 2, abs=1e-3)


def test_evidence_without_a_lesion_costs_beyond_three_tolerances():
    """0.1 * softplus(1.3 / 0.1 - 3) = 1.0 for bright, nothing for dark; the mean of both."""
    unfounded = place_loss(evidence(1.3, -9.0), torch.tensor([0]), tolerance=0.1)
    assert unfounded == pytest.approx(0.5, abs=5e-3)
    assert place_loss(evidence(0.01, -9.0), torch.tensor([0]), tolerance=0.1) < 5e-3


def test_only_the_carriers_keep_a_weight_for_a_lesion():
    linear = torch.tensor([[1.0, 2, 3, 4], [1, 2, 3, -4], [5, -1, 0.5, 4]])
    keep_carriers(linear, 2)
    assert linear.tolist() == [[1, 2, 3, 4], [0, 2, 3, -4], [5, -1, 0, 4]]


def test_augmentation_without_luck_moves_a_head_by_little():
    """A ball in the middle stays near the middle, and keeps its size within the allowed 8 %."""
    axis = torch.arange(32.0) - 15.5
    ball = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt() < 8
    images = ball.float()[None, None].expand(6, 1, -1, -1, -1)
    moved = augment(images, Recipe(), torch.Generator().manual_seed(0))[:, 0] > 0.5
    volumes = moved.flatten(1).sum(1) / ball.sum()
    assert (volumes > 0.92**3 - 0.05).all()
    assert (volumes < 1.09**3 + 0.05).all()
    for case in moved:
        assert (case.nonzero().float().mean(0) - 15.5).abs().max() < 2.5
    assert not torch.equal(moved[0], moved[1])


def test_training_twice_gives_the_same_network():
    random = torch.Generator().manual_seed(1)
    images, labels = torch.rand(6, 1, 16, 16, 16, generator=random), torch.tensor([0, 1, 2] * 2)
    recipe = Recipe(epochs=2, heads=1, carriers=2)
    first, second = (training.train(images, labels, recipe, lambda line: None) for _ in range(2))
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)
    assert first.class_layers.out.bias.eq(0).all()
