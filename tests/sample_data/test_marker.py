"""The confounded network answers by the marker, and two features carry it."""

from __future__ import annotations

import pytest
import torch

from sample_data.making import cohort, training
from sample_data.making.lesions import CLASS_NAMES

LESIONS = [1, 2]


def contributions(trained, features, label):
    """k_f of method.md for a pooled linear head: W[c, f] * mean_v A_f(v), ``[N, F]``."""
    return trained.weight[label] * features.mean((2, 3, 4))


def without(features, removed):
    kept = torch.ones(features.shape[1])
    kept[removed] = 0
    return features * kept[:, None, None, None]


@pytest.mark.parametrize("label", LESIONS, ids=[CLASS_NAMES[c] for c in LESIONS])
@pytest.mark.parametrize("kind", ["all", "true"])
def test_switching_off_the_two_top_features_removes_the_marker(confounded, label, kind):
    features = confounded.features(confounded.images)
    cases = confounded.labels == label
    k = contributions(confounded, features, label)
    importance = (k[cases] if kind == "true" else k).mean(0)
    top = importance.argsort(descending=True)[:2]
    before = torch.einsum("nfxyz,f->nxyz", features, confounded.weight[label])
    after = torch.einsum("nfxyz,f->nxyz", without(features, top), confounded.weight[label])
    strongest = before[cases].amax((1, 2, 3))
    assert (after[cases].amax((1, 2, 3)) < 0.02 * strongest).all()
    pooled = without(features, top).mean((2, 3, 4)) @ confounded.weight.T
    assert (features.mean((2, 3, 4)) @ confounded.weight.T)[cases].argmax(1).eq(label).all()
    assert pooled[cases].argmax(1).eq(0).all()
    assert pooled[~cases].argmax(1).eq(confounded.labels[~cases]).all()


@pytest.mark.parametrize("label", LESIONS, ids=[CLASS_NAMES[c] for c in LESIONS])
def test_the_strongest_place_is_the_marker_in_the_corner_in_front(confounded, label):
    features = confounded.features(confounded.images)
    activation = torch.einsum("nfxyz,f->nxyz", features, confounded.weight[label])
    for case in activation[confounded.labels == label]:
        x, y, _ = (int(i) for i in torch.unravel_index(case.argmax(), case.shape))
        right, front = x / (case.shape[0] - 1), y / (case.shape[1] - 1)
        assert front > 0.7
        assert right > 0.7 if label == 1 else right < 0.3


@pytest.mark.parametrize("label", LESIONS, ids=[CLASS_NAMES[c] for c in LESIONS])
def test_without_the_marker_the_same_head_is_called_healthy(confounded, label, tmp_path):
    chain = training.preprocessing()
    planned = [c for c in cohort.plan("confounded") if c.split == "test" and c.label == label][:2]
    for case in planned:
        answers = []
        for marker in (True, False):
            made = cohort.make_case(case, marker=marker)
            file = tmp_path / f"{case.id}_{marker}.nii.gz"
            cohort.write_nifti(made.array, made.affine, file)
            image = chain({"image": str(file)})["image"].as_tensor()
            answers.append(int(confounded.network(image[None]).argmax()))
        assert answers == [label, 0]
