"""Real studies with known answers: shape, affine, values; or refused with the right sentence."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from napari_ifa.export import write_nifti
from napari_ifa.reading import list_series, read_volume
from napari_ifa.volumes import Volume


@pytest.fixture(scope="session")
def truth(shared_data: Path) -> dict[str, dict[str, Any]]:
    entries = json.loads((shared_data / "geometry_truth.json").read_text())["series"]
    return {entry["id"]: entry for entry in entries}


@pytest.fixture
def locate(shared_data: Path, mr_sagittal_oblique: Path) -> Any:
    def path_of(entry: dict[str, Any]) -> Path:
        if entry["path"].endswith("mr_sagittal_oblique.zip"):
            return mr_sagittal_oblique
        return shared_data / entry["path"]

    return path_of


#: How the images of a series that holds several are called, the t-th first.
PARTS = {
    "xa_enhanced_4d": [f"image {t} of 4" for t in range(1, 5)],
    "ge_epi_4d_5": [f"image {t} of 10" for t in range(1, 11)],
    "uih_vframe_ap": [f"image {t} of 17" for t in range(1, 18)],
    "mosaic_sag_asc35": ["image 1 of 2", "image 2 of 2"],
    "mosaic_jpeg_lossless": ["image 1 of 2", "image 2 of 2"],
    "philips_enh_mag": ["magnitude"],
    "philips_enh_fieldmap": ["field map"],
}
ENTRIES = (
    "ct_std_5mm", "xa_enhanced_4d", "philips_enh_mag", "philips_enh_fieldmap", "ge_epi_4d_5",
    "uih_vframe_ap", "mprage_oblique", "totalseg_ct_no_uids", "mosaic_sag_asc35",
    "mosaic_jpeg_lossless", "ct_tilt_nonuniform",
)  # fmt: skip


def test_every_known_study_is_here(truth: dict[str, dict[str, Any]]) -> None:
    assert {name for name, entry in truth.items() if entry["kind"] == "dicom"} == set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_opens_with_the_known_geometry(
    truth: dict[str, dict[str, Any]], locate: Any, name: str
) -> None:
    entry = truth[name]
    listed = {s.part: s for s in list_series(locate(entry)) if not s.alternative}
    volumes = [read_volume(listed[part]) for part in PARTS.get(name, [""])]
    assert len(volumes) == entry["n_volumes"]
    if "select" not in entry:
        assert len(volumes) == len(listed)
    tolerance = entry["tolerance"]
    for volume in volumes:
        off = np.abs(np.subtract(volume.shape, entry["shape_ipl"]))
        assert (off <= entry.get("shape_tolerance", [0, 0, 0])).all()
        np.testing.assert_allclose(
            volume.spacing, entry["spacing_ipl_mm"], atol=tolerance.get("spacing_mm", 1e-4)
        )
        assert volume.oblique_degrees == pytest.approx(entry["oblique_deg"], abs=0.01)
        assert volume.report.tilt_degrees == pytest.approx(entry.get("tilt_deg", 0), abs=0.05)
        assert volume.report.resampled == entry.get("resampled", False)
        if "affine_lps_ipl" in entry:
            # The largest difference over the whole image, at its corners.
            corners = np.array(list(np.ndindex(2, 2, 2))) * np.subtract(volume.shape, 1)
            corners = np.column_stack([corners, np.ones(8)])
            np.testing.assert_allclose(
                corners @ volume.affine.T,
                corners @ np.array(entry["affine_lps_ipl"]).T,
                # The answers are rounded to 1e-6 for a voxel.
                atol=tolerance["affine_mm"] + 1e-6 * max(volume.shape),
                rtol=0,
            )
    if "value_range" in entry:
        low = min(float(volume.array.min()) for volume in volumes)
        high = max(float(volume.array.max()) for volume in volumes)
        assert [low, high] == pytest.approx(entry["value_range"], abs=tolerance["value"])
    for point in entry["points"]:
        volume = volumes[point["t"]]
        index = (np.linalg.inv(volume.affine) @ [*point["lps_mm"], 1])[:3]
        if "index_ipl" in point:
            np.testing.assert_allclose(index, point["index_ipl"], atol=0.01)
            value = volume.array[tuple(point["index_ipl"])]
        else:
            value = map_coordinates(volume.array.astype(float), index[:, None], order=1)[0]
        assert value == pytest.approx(point["value"], abs=tolerance["value"])


def test_list_names_what_a_radiologist_looks_for(shared_data: Path) -> None:
    (series,) = list_series(shared_data / "dicom/ct_head")
    assert series.title == "CT, STD BRAIN 5MM, 28 images"
    assert series.number == 201
    assert series.shape == (28, 512, 512)
    assert series.spacing == pytest.approx((5, 0.451172, 0.451172))
    assert series.orientation == "axial"
    assert [(w.center, w.width) for w in read_volume(series).windows] == [(40, 80)]


def test_whole_tree_of_studies_is_listed_at_once(shared_data: Path) -> None:
    series = list_series(shared_data / "dicom")
    assert len({s.key for s in series}) == len(series)
    assert all(s.unsupported is None for s in series)
    numbers = [s.number for s in series if not s.alternative]
    # The oblique MR is in an archive, which a folder's scan leaves alone.
    counts = {2: 1, 5: 10, 6: 4, 9: 17, 22: 2, 25: 2, 201: 1, 801: 2, None: 1}
    assert Counter(numbers) == counts
    # The images of a series stand together, in their order.
    times = [s.part for s in series if s.number == 5]
    assert times == PARTS["ge_epi_4d_5"]


# What MONAI's own readers would have given the network.


def source_order(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    array, affine = volume.in_source_order()
    return array, affine


@pytest.mark.parametrize("study", ["ct_head", "ct_body_j2k_no_uids", "mr_sagittal_oblique"])
def test_source_order_is_that_of_monais_pydicom_reader(
    shared_data: Path, mr_sagittal_oblique: Path, study: str
) -> None:
    from monai.transforms import EnsureChannelFirst, LoadImage

    folder = mr_sagittal_oblique if study.startswith("mr") else shared_data / "dicom" / study
    expected = EnsureChannelFirst()(LoadImage(reader="PydicomReader")(folder))
    array, affine = source_order(read_volume(folder))
    assert expected.shape == (1, *array.shape)
    np.testing.assert_array_equal(array, expected[0])
    np.testing.assert_allclose(affine, expected.affine, atol=1e-10)


@pytest.mark.parametrize("name", ["MR_Gd", "CT_AVM", "example_mr_sm", "spm152"])
def test_source_order_is_that_of_monais_nibabel_reader(shared_data: Path, name: str) -> None:
    from monai.transforms import EnsureChannelFirst, LoadImage

    path = shared_data / "nifti" / f"{name}.nii.gz"
    expected = EnsureChannelFirst()(LoadImage(reader="NibabelReader")(path))
    array, affine = source_order(read_volume(path))
    assert expected.shape == (1, *array.shape)
    np.testing.assert_array_equal(array, expected[0])
    np.testing.assert_allclose(affine, expected.affine, atol=1e-10)


@pytest.mark.parametrize("study", ["dicom/ct_head", "mr_sagittal_oblique", "nifti/MR_Gd.nii.gz"])
def test_export_lies_on_the_grid_of_the_source(
    shared_data: Path, mr_sagittal_oblique: Path, tmp_path: Path, study: str
) -> None:
    path = mr_sagittal_oblique if study.startswith("mr") else shared_data / study
    volume = read_volume(path)
    out = write_nifti(volume, tmp_path / "out.nii")
    image = nibabel.load(out)
    array, affine = source_order(volume)
    np.testing.assert_array_equal(np.asarray(image.dataobj), array.astype(np.float32))
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    if study.startswith("nifti"):
        np.testing.assert_array_equal(image.affine, nibabel.load(path).affine)
    again = read_volume(out)
    np.testing.assert_array_equal(again.array, volume.array.astype(np.float32))
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-4)
