"""Real NIfTI files with known answers, of shape, place and values at points in the patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_ifa.reading import list_series, read_volume
from napari_ifa.volumes import Volume

NAMES = [
    "nii_CT_AVM", "nii_MR_Gd", "nib_anatomical", "nib_standard",
    "nib_example4d", "nib_functional", "nib_example_nifti2",
]  # fmt: skip
FILES = [
    "CT_AVM", "MR_Gd", "example_ct", "example_ct_sm", "example_mr_sm", "example_seg", "spm152",
]  # fmt: skip


@pytest.fixture(scope="module")
def truth(shared_data: Path) -> dict[str, dict[str, Any]]:
    entries = json.loads((shared_data / "geometry_truth.json").read_text())["series"]
    return {entry["id"]: entry for entry in entries if entry["kind"] == "nifti"}


def images_of(entry: dict[str, Any], shared_data: Path) -> list[Volume]:
    at_nibabel = Path(nibabel.__file__).parent / "tests" / "data"
    folder = at_nibabel if "root" in entry else shared_data
    return [read_volume(series) for series in list_series(folder / entry["path"])]


def test_every_known_nifti_file_is_here(truth: dict[str, dict[str, Any]]) -> None:
    assert sorted(truth) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_known_answer(
    truth: dict[str, dict[str, Any]], shared_data: Path, name: str
) -> None:
    entry = truth[name]
    images = images_of(entry, shared_data)
    tolerance = entry["tolerance"]
    assert len(images) == entry["n_volumes"]
    for volume in images:
        assert list(volume.shape) == entry["shape_ipl"]
        np.testing.assert_allclose(volume.spacing, entry["spacing_ipl_mm"], atol=1e-4)
        np.testing.assert_allclose(
            volume.affine, entry["affine_lps_ipl"], atol=tolerance["affine_mm"], rtol=0
        )
        assert volume.oblique_degrees == pytest.approx(entry["oblique_deg"], abs=0.01)
        assert volume.report.notes == ()
    extremes = [min(v.array.min() for v in images), max(v.array.max() for v in images)]
    assert extremes == pytest.approx(entry["value_range"], abs=tolerance["value"])
    for point in entry["points"]:
        volume = images[point["t"]]
        index = (np.linalg.inv(volume.affine) @ [*point["lps_mm"], 1])[:3]
        np.testing.assert_allclose(index, point["index_ipl"], atol=0.01)
        value = volume.array[tuple(np.rint(index).astype(int))]
        assert value == pytest.approx(point["value"], abs=tolerance["value"])


@pytest.mark.parametrize("name", FILES)
def test_every_shared_file_opens(shared_data: Path, name: str) -> None:
    path = shared_data / "nifti" / f"{name}.nii.gz"
    (series,) = list_series(path)
    volume = read_volume(series)
    assert (series.shape, series.spacing) == (volume.shape, volume.spacing)
    assert volume.report.notes == ()
    canonical = nibabel.as_closest_canonical(nibabel.load(path))
    np.testing.assert_allclose(
        volume.array,
        canonical.get_fdata(dtype=np.float32).transpose(2, 1, 0)[::-1, ::-1, ::-1],
        rtol=1e-6,
        atol=1e-4,
    )


def test_no_shared_file_is_forgotten(shared_data: Path) -> None:
    found = {path.name.removesuffix(".nii.gz") for path in (shared_data / "nifti").iterdir()}
    assert found == set(FILES)


@pytest.mark.parametrize("name", ["example4d.nii.gz", "functional.nii", "example_nifti2.nii.gz"])
def test_source_order_of_each_image_is_that_of_monais_reader(name: str) -> None:
    from monai.transforms import EnsureChannelFirst, LoadImage

    path = Path(nibabel.__file__).parent / "tests" / "data" / name
    expected = EnsureChannelFirst()(LoadImage(reader="NibabelReader")(path))
    listed = list_series(path)
    assert len(expected) == len(listed)
    for k, series in enumerate(listed):
        array, affine = read_volume(series).in_source_order()
        np.testing.assert_array_equal(array.astype(np.float32), expected[k])
        np.testing.assert_allclose(affine, expected.affine, atol=1e-10)
