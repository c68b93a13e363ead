"""Which logit of which case is explained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ifa.cam.targets import chosen_classes, logits_of
from napari_ifa.errors import ExplanationError

LOGITS = torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]])


@pytest.mark.parametrize(
    ("class_idx", "expected"),
    [
        (2, [[2], [2]]),
        (np.int64(1), [[1], [1]]),
        ([0, 2], [[0], [2]]),
        (torch.tensor([2, 1]), [[2], [1]]),
        (np.array([1, 1]), [[1], [1]]),
        ("predicted", [[1], [0]]),
        ("all", [[0, 1, 2], [0, 1, 2]]),
    ],
)
def test_choices_of_class(class_idx, expected):
    assert chosen_classes(LOGITS, class_idx).tolist() == expected


@pytest.mark.parametrize(
    ("class_idx", "message"),
    [
        (3, "no class 3: the network has 3 classes, 0 to 2"),
        (-1, "no class -1"),
        ([0, 7], "no class 7"),
        ([0, 1, 2], "2 cases, and classes of shape \\[3\\]"),
        ("lesion", "not 'lesion'"),
        (0.5, "whole number"),
        (True, "whole number"),
    ],
)
def test_a_class_that_does_not_exist_is_a_sentence(class_idx, message):
    with pytest.raises(ExplanationError, match=message):
        chosen_classes(LOGITS, class_idx)


def test_single_output_has_class_zero_only():
    with pytest.raises(ExplanationError, match="1 output, class 0"):
        chosen_classes(LOGITS[:, :1], 1)


@pytest.mark.parametrize(
    ("output", "shape"),
    [
        (torch.zeros(4), (4, 1)),
        (torch.zeros(4, 1), (4, 1)),
        (torch.zeros(4, 3), (4, 3)),
        (torch.zeros(4, 3, 1, 1), (4, 3)),
        ((torch.zeros(4, 3), "hidden"), (4, 3)),
        ({"logits": torch.zeros(4, 3)}, (4, 3)),
    ],
)
def test_logits_are_cases_by_classes(output, shape):
    assert logits_of(output).shape == shape


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(()), "single number"),
        (torch.zeros(1, 2, 8, 8), "a map of \\[2, 8, 8\\]"),
        (torch.zeros(2, 3, dtype=torch.long), "int64"),
        ((torch.zeros(2), torch.zeros(2)), "0, 1"),
        ({"a": torch.zeros(2), "b": torch.zeros(2)}, "'a', 'b'"),
        ("text", "str"),
    ],
)
def test_other_outputs_are_a_sentence(output, message):
    with pytest.raises(ExplanationError, match=message):
        logits_of(output)


def test_named_output_is_taken():
    output = {"a": torch.zeros(2, 5), "b": torch.ones(2, 3)}
    assert logits_of(output, "b").shape == (2, 3)
