"""Which logit of which case is explained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ifa.cam import CutNetwork, class_activation, masked_logits
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.cam.targets import chosen_classes, logits_of
from napari_ifa.errors import ExplanationError
from tests.problems import refused

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
    ("class_idx", "kind", "facts"),
    [
        (3, Problem.NO_SUCH_CLASS, {"asked": 3, "classes": 3}),
        (-1, Problem.NO_SUCH_CLASS, {"asked": -1}),
        ([0, 7], Problem.NO_SUCH_CLASS, {"asked": 7}),
        ([0, 1, 2], Problem.CLASSES_PER_CASE, {"cases": 2, "found": [3]}),
        ("lesion", Problem.CLASS_TYPE, {"found": "lesion"}),
        (0.5, Problem.CLASS_NUMBER, {}),
        (True, Problem.CLASS_NUMBER, {}),
    ],
)
def test_a_class_that_does_not_exist_is_a_sentence(class_idx, kind, facts):
    with refused(ExplanationError, kind, **facts):
        chosen_classes(LOGITS, class_idx)


def test_single_output_has_class_zero_only():
    with refused(ExplanationError, Problem.NO_SUCH_CLASS, asked=1, classes=1):
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
    ("output", "kind", "facts"),
    [
        (torch.zeros(()), Problem.SINGLE_NUMBER, {}),
        (torch.zeros(1, 2, 8, 8), Problem.MAP_OF_LOGITS, {"gives": [2, 8, 8]}),
        (torch.zeros(2, 3, dtype=torch.long), Problem.NOT_LOGITS, {"found": torch.int64}),
        ((torch.zeros(2), torch.zeros(2)), Problem.SEVERAL_OUTPUTS, {"outputs": [0, 1]}),
        (dict.fromkeys("ab", torch.zeros(2)), Problem.SEVERAL_OUTPUTS, {"outputs": ["a", "b"]}),
        ("text", Problem.OUTPUT_TYPE, {"found": "str"}),
    ],
)
def test_other_outputs_are_a_sentence(output, kind, facts):
    with refused(ExplanationError, kind, **facts):
        logits_of(output)


def test_named_output_is_taken():
    output = {"a": torch.zeros(2, 5), "b": torch.ones(2, 3)}
    assert logits_of(output, "b").shape == (2, 3)


def test_several_classes_per_case():
    assert chosen_classes(LOGITS, torch.tensor([[0, 2], [1, 2]])).tolist() == [[0, 2], [1, 2]]
    with refused(ExplanationError, Problem.CLASSES_PER_CASE, cases=2, found=[1, 2]):
        chosen_classes(LOGITS, [[0, 2]])


def test_a_list_of_neither_classes_nor_functions_is_a_sentence():
    with refused(ExplanationError, Problem.CLASS_NUMBER):
        chosen_classes(LOGITS, [sum, "lesion"])


def test_labels_of_a_multi_label_network_are_explained_together(small_network, images, same):
    network, batch = small_network(2, "mlp"), images(2, 2)
    every = class_activation(network, batch, "stage", class_idx="all")
    labels = torch.tensor([[0, 2], [2, 1]])
    found = class_activation(network, batch, "stage", class_idx=labels)
    assert found.class_idx.tolist() == labels.tolist()
    for case in range(2):
        same(found.maps()[case], every.maps()[case, labels[case]])


@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_function_that_takes_a_logit_explains_that_class(
    small_network, images, same, head, method
):
    network, batch = small_network(2, head), images(2, 3)
    expected = class_activation(network, batch, "stage", method, 1)
    found = class_activation(network, batch, "stage", method, lambda logits: logits[1])
    same(found.maps(), expected.maps())
    same(found.logits, expected.logits[:, 1:2])
    assert found.class_idx.tolist() == [[0]] * 3
    mixed = class_activation(
        network, batch, "stage", method, [lambda y, c=c: y[c] for c in (0, 2, 1)]
    )
    same(mixed.maps(), class_activation(network, batch, "stage", method, [0, 2, 1]).maps())


def test_a_function_by_hand(by_hand):
    """Features x and 2x of one voxel x = 3, logits their sums (3, 6): y = 3 · 6 by hand."""
    network = by_hand(lambda a: a.sum((2, 3)))
    x = torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 2)
    found = class_activation(network, x, "features", "pixelwise", lambda y: y[0] * y[1])
    assert found.logits.tolist() == [[18.0]]
    # dy/dA is 6 for the first feature and 3 for the second, at both voxels.
    assert found.weights.tolist() == [[[[[6.0, 6.0]], [[3.0, 3.0]]]]]
    assert found.contributions().tolist() == [[[18.0, 18.0]]]
    assert not found.affine_head


def test_a_function_sees_a_case_of_a_structured_output(by_hand):
    network = by_hand(lambda a: {"main": a.sum((2, 3)), "other": [a.mean((2, 3)), "text"]})
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 1, 1, 2)
    found = class_activation(
        network, x, "features", class_idx=lambda out: out["main"][0] + out["other"][0][1]
    )
    assert found.logits.tolist() == [[6.0], [14.0]]
    chosen = class_activation(
        network, x, "features", output="main", class_idx=lambda logits: logits[1]
    )
    assert chosen.logits.tolist() == [[6.0], [14.0]]


@pytest.mark.parametrize(
    ("choice", "kind", "facts"),
    [
        (lambda y: y, Problem.FUNCTION_RESULT, {"found": [3]}),
        (lambda y: 4.0, Problem.FUNCTION_RESULT, {"found": "float"}),
        ([lambda y: y[0]], Problem.FUNCTIONS_PER_CASE, {"cases": 2, "found": 1}),
        (lambda y: y[7], Problem.FUNCTION_FAILS, {"error": "IndexError"}),
        (lambda y: y.detach()[0], Problem.FUNCTION_WITHOUT_GRADIENT, {}),
    ],
)
def test_a_function_that_gives_no_number_is_a_sentence(small_network, images, choice, kind, facts):
    with refused(ExplanationError, kind, **facts):
        class_activation(small_network(2), images(2, 2), "stage", class_idx=choice)


@pytest.mark.parametrize("classes", [1, 3])
def test_a_network_that_squeezes_its_output_keeps_its_one_case(
    small_network, images, same, classes
):
    network = small_network(2, "mlp")
    network.head[-1] = torch.nn.Linear(5, classes).double()
    expected = class_activation(network, images(2), "stage", class_idx="all")
    network.register_forward_hook(lambda module, args, output: output.squeeze())
    with CutNetwork(network, "stage") as cut:
        for _ in range(2):
            found = class_activation(cut, images(2), class_idx="all")
            same(found.logits, expected.logits)
            same(found.maps(), expected.maps())
        assert masked_logits(cut, images(2), masks=torch.ones(1, 6)).shape == (1, 1, classes)
    scores = class_activation(network, images(2), "stage", "scorecam", "all")
    assert scores.weights.shape == (1, classes, 6)


def test_the_name_of_an_output_that_there_is_not_is_refused():
    with refused(ExplanationError, Problem.NO_SUCH_OUTPUT, asked="main"):
        logits_of(torch.zeros(1, 2), "main")
