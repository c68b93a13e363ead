"""The cohort pass on every device there is, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_ifa.analysis import analyze, explain
from napari_ifa.cohorts import read_cohort
from napari_ifa.evaluation import evaluate
from napari_ifa.reading import read_volume
from tests.tiny import tiny_classifier, write_cohort

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
# Means 1, 2 and 0; the features are (x, −x).
CASES = [
    ([8.0, 0, 0, 0, 0, 0, 0, 0], "none"),
    ([8.0, 8.0, 0, 0, 0, 0, 0, 0], 1),
    ([4.0, -4.0, 0, 0, 0, 0, 0, 0], 0),
]


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_a_cohort_is_analysed_and_explained(tmp_path, device, bent):
    cohort = read_cohort(write_cohort(tmp_path, CASES), "training")
    classifier = tiny_classifier(bent)
    classifier = replace(
        classifier, network=classifier.network.to(device), device=torch.device(device)
    )
    # A single image whose features have no gradient behind the bend cannot be explained.
    kept = replace(cohort, cases=cohort.cases[:2])
    analysis = analyze(classifier, kept, batch_size=2)
    # Straight: k = W · mean of the feature, (1, −1) and (2, −2). Bent: nothing of the second.
    second = [0.0, 0.0] if bent else [0.0, -3.0]
    np.testing.assert_allclose(analysis.importance_all.values, [[1.5, 0.75], second])
    # Logits 10 + k and 20 + k/2 − 2k, or 20 + k/2.
    logits = [[11, 20.5], [12, 21]] if bent else [[11, 18.5], [12, 17]]
    np.testing.assert_allclose(analysis.dataset["logits"].values, logits)
    assert analysis.scale(0).p_high == pytest.approx(1.0)  # 8 / 8 voxels

    found = explain(classifier, read_volume(kept.cases[1].path), analysis, class_idx=0)
    np.testing.assert_allclose(found.logits, logits[1])
    np.testing.assert_allclose(np.sort(found.class_activation.array.ravel())[-2:], [1, 1])
    evaluation = evaluate(classifier, analysis, kept)
    assert evaluation is not None
