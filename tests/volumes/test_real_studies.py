"""Real studies with known answers: shape, affine, values; or refused with the right sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.volumes import Volume, list_series, read_volume, write_nifti

#: Entries that open, by id; all others are refused with a sentence.
OPENED = {
    "ct_std_5mm", "mprage_oblique", "totalseg_ct_no_uids",
}  # fmt: skip
TILED = "several slices tiled into one image"
REFUSED = {
    "xa_enhanced_4d": "Series 6: enhanced multi-frame images are not supported yet.",
    "philips_enh_mag": "Series 801: enhanced multi-frame images are not supported yet.",
    "philips_enh_fieldmap": "Series 801: enhanced multi-frame images are not supported yet.",
    "ge_epi_4d_5": "Series 5: 150 images share 15 positions (several times, echoes or contrasts); "
    "not supported yet.",
    "uih_vframe_ap": f"Series 9: {TILED} (United Imaging tiles); not supported yet.",
    "mosaic_sag_asc35": f"Series 22: {TILED} (Siemens mosaic); not supported yet.",
    "mosaic_jpeg_lossless": f"Series 25: {TILED} (Siemens mosaic); not supported yet.",
    "ct_tilt_nonuniform": "Series 2: gantry tilt 18.5°; tilted stacks are not supported yet.",
}


@pytest.fixture(scope="session")
def truth(shared_data: Path) -> dict[str, dict[str, Any]]:
    entries = json.loads((shared_data / "geometry_truth.json").read_text())["series"]
    return {entry["id"]: entry for entry in entries}


@pytest.fixture
def locate(shared_data: Path, mr_sagittal_oblique: Path) -> Any:
    def path_of(entry: dict[str, Any]) -> Path:
        if entry["path"].endswith("mr_sagittal_oblique.zip"):
            return mr_sagittal_oblique
        if "root" in entry:
            return Path(nibabel.__file__).parent / "tests" / "data" / entry["path"]
        return shared_data / entry["path"]

    return path_of


def test_every_known_study_is_here(truth: dict[str, dict[str, Any]]) -> None:
    dicom = {name for name, entry in truth.items() if entry["kind"] != "nifti"}
    assert dicom == OPENED | set(REFUSED)


@pytest.mark.parametrize("name", sorted(OPENED))
def test_opens_with_the_known_geometry(
    truth: dict[str, dict[str, Any]], locate: Any, name: str
) -> None:
    entry = truth[name]
    volume = read_volume(locate(entry))
    tolerance = entry["tolerance"]
    assert list(volume.shape) == entry["shape_ipl"]
    np.testing.assert_allclose(volume.spacing, entry["spacing_ipl_mm"], atol=1e-4)
    np.testing.assert_allclose(
        volume.affine, entry["affine_lps_ipl"], atol=tolerance["affine_mm"], rtol=0
    )
    assert volume.oblique_degrees == pytest.approx(entry["oblique_deg"], abs=0.01)
    assert [float(volume.array.min()), float(volume.array.max())] == pytest.approx(
        entry["value_range"], abs=tolerance["value"]
    )
    to_index = np.linalg.inv(volume.affine)
    for point in entry["points"]:
        assert volume.array[tuple(point["index_ipl"])] == pytest.approx(
            point["value"], abs=tolerance["value"]
        )
        index = (to_index @ [*point["lps_mm"], 1])[:3]
        np.testing.assert_allclose(index, point["index_ipl"], atol=0.01)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_with_its_sentence(
    truth: dict[str, dict[str, Any]], locate: Any, name: str
) -> None:
    path = locate(truth[name])
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    sentences = {s.unsupported for s in list_series(path)}
    assert str(caught.value) == REFUSED[name]
    assert sentences == {REFUSED[name]}


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
    assert len(series) == 9
    assert len({s.key for s in series}) == 9
    assert sum(s.unsupported is None for s in series) == 2


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
