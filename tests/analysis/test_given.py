"""Where an object is wanted, the path it is read from is taken too, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_ifa as ifa
from napari_ifa import samples
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.errors import AnalysisError, BundleError

IMAGE = samples.sample_data() / "clean" / "head_001.nii.gz"


@pytest.fixture(scope="module")
def bundle() -> Path:
    return samples.bundle("clean")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return IMAGE


def test_paths_stand_for_model_and_image(bundle: Path, image: Path) -> None:
    by_path = ifa.explain(str(bundle), image)
    by_object = ifa.explain(ifa.load_classifier(bundle), ifa.read_volume(image))
    np.testing.assert_array_equal(by_path.logits, by_object.logits)


@pytest.mark.parametrize(
    ("call", "needed"),
    [
        (lambda b, i: ifa.explain(b, None), "Volume"),
        (lambda b, i: ifa.explain(None, i), "Classifier"),
        (lambda b, i: ifa.explain(b, i, 3), "Analysis"),
        (lambda b, i: ifa.explain(b, np.zeros((2, 2, 2))), "Volume"),
        (lambda b, i: ifa.analyze(b, [i, i]), "Cohort"),
        (lambda b, i: ifa.evaluate(b, None, i), "Analysis"),
        (lambda b, i: ifa.findings(b"x"), "Analysis"),
    ],
)
def test_what_is_neither_is_told_with_what_to_call(call, needed, bundle, image) -> None:
    with pytest.raises(TypeError, match=f"A {needed} is needed here, or the path that"):
        call(bundle, image)


@pytest.mark.parametrize(
    ("how", "kind", "reason"),
    [
        ({"class_idx": "no such class"}, BundleError, "no class 'no such class'"),
        ({"class_idx": -1}, BundleError, "no class '-1'"),
        ({"mask": FeatureMask.all(3)}, AnalysisError, "for 3 features"),
    ],
)
def test_what_a_model_lacks_is_said_before_the_image_is_read(how, kind, reason, bundle) -> None:
    with pytest.raises(kind, match=reason):
        ifa.explain(bundle, "no such image", **how)
